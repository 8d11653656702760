//! Issues as a compiler would print them.

use std::fmt::Write as _;

use super::Issue;

/// The issues as errors, one block each, and a count at the end. Empty when there are none.
///
/// ```text
/// error: objectName is missing.
///   --> amp.yaml:12
///    |  $.integrations[0].write.objects[1].objectName
///
/// 1 error in amp.yaml
/// ```
#[must_use]
pub fn render(issues: &[Issue], file_name: &str) -> String {
    blocks(issues, file_name, "error")
}

/// The same for warnings.
#[must_use]
pub fn render_warnings(issues: &[Issue], file_name: &str) -> String {
    blocks(issues, file_name, "warning")
}

fn blocks(issues: &[Issue], file_name: &str, word: &str) -> String {
    let mut text = String::new();
    for issue in issues {
        let line = issue.line.map(|line| format!(":{line}")).unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{word}: {}", issue.detail);
        let _ = writeln!(text, "  --> {file_name}{line}");
        let _ = writeln!(text, "   |  {}\n", issue.path);
    }
    if !issues.is_empty() {
        let plural = if issues.len() == 1 { "" } else { "s" };
        let _ = writeln!(text, "{} {word}{plural} in {file_name}", issues.len());
    }
    text
}
