//! What is printed at the end.

/// The lines.
#[derive(Debug, Default)]
pub struct Report {
    lines: Vec<String>,
}

/// The middle of some numbers; zero of none.
pub fn median(numbers: &[f64]) -> f64 {
    percentile(numbers, 0.5)
}

/// The number below which this part of them lies.
pub fn percentile(numbers: &[f64], part: f64) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let index = ((sorted.len() as f64 - 1.0) * part).round().max(0.0) as usize;
    sorted.get(index).copied().unwrap_or(0.0)
}

/// Which side of a goal is good.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    /// The ratio stays at or below this.
    AtMost(f64),
    /// The ratio reaches this.
    AtLeast(f64),
}

impl Report {
    /// Adds the ratios of pairs `(a, b)`, with the goal of `a / b`.
    pub fn pairs(&mut self, name: &str, unit: &str, goal: Goal, pairs: &[(f64, f64)]) {
        let ratios: Vec<f64> = pairs.iter().map(|(a, b)| a / b.max(f64::MIN_POSITIVE)).collect();
        let ratio = median(&ratios);
        let (met, goal) = match goal {
            Goal::AtMost(most) => (ratio <= most, format!("≤ {most}")),
            Goal::AtLeast(least) => (ratio >= least, format!("≥ {least}")),
        };
        let side = |of: fn(&(f64, f64)) -> f64| median(&pairs.iter().map(of).collect::<Vec<_>>());
        let line = format!(
            "{name}\n    {ratio:.2} [{:.2}–{:.2}], goal {goal}: {}   ({:.2} / {:.2} {unit}, {} pairs)",
            percentile(&ratios, 0.0),
            percentile(&ratios, 1.0),
            if met { "met" } else { "MISSED" },
            side(|pair| pair.0),
            side(|pair| pair.1),
            pairs.len(),
        );
        self.add(line);
    }

    /// Adds a line that has no goal, or says what was skipped and why.
    pub fn note(&mut self, line: String) {
        self.add(format!("    {line}"));
    }

    fn add(&mut self, line: String) {
        println!("{line}");
        self.lines.push(line);
    }

    /// Prints everything once more, together.
    pub fn print(&self) {
        println!("\n==== medians of pairs measured in turns ====");
        for line in &self.lines {
            println!("{line}");
        }
    }
}
