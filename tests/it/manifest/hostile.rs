//! Sources that try to hang or exhaust the reader, and sources that are broken at random.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use amp_write::rules::parse;

use super::Catalogue;

/// Far above what any source may take on a slow machine in a debug build, far below a hang.
const LONGEST: Duration = Duration::from_secs(20);

/// What this answers, and how long this thread has worked at it, where the system tells that: other tests run at the same
/// time. Else the time that has passed.
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let at_work = || {
        let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
        let nanos = told.and_then(|text| text.split(' ').next()?.parse().ok());
        nanos.map_or_else(|| start.elapsed(), Duration::from_nanos)
    };
    let before = at_work();
    let done = work();
    (done, at_work().saturating_sub(before))
}

fn refused(name: &str, source: &str) -> String {
    let (issues, took) = timed(|| parse(source, &Catalogue).expect_err(name));
    println!("{name:?}: {took:?}");
    assert!(took < LONGEST, "{name} took {took:?}");
    assert!(!issues.is_empty(), "{name}");
    issues[0].detail.clone()
}

#[test]
fn a_source_over_one_mebibyte_is_refused_unread() {
    let detail = refused("size", &"a".repeat((1 << 20) + 1));
    assert!(detail.contains("1 MiB"), "{detail}");
}

#[test]
fn aliases_that_multiply_are_refused() {
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for n in 1..30 {
        let items = vec![format!("*a{}", n - 1); 10].join(", ");
        writeln!(laughs, "a{n}: &a{n} [{items}]").unwrap();
    }
    let detail = refused("billion laughs", &laughs);
    assert!(detail.contains("aliases"), "{detail}");

    let quadratic = format!(
        "a: &a [{}]\nb: [{}]\n",
        "x, ".repeat(100_000),
        "*a, ".repeat(100_000)
    );
    let detail = refused("quadratic", &quadratic);
    assert!(detail.contains("aliases"), "{detail}");

    let text = format!("a: &a {}\nb: [{}]\n", "x".repeat(500_000), "*a, ".repeat(100_000));
    let detail = refused("long text", &text);
    assert!(detail.contains("aliases"), "{detail}");
}

#[test]
fn an_alias_inside_its_own_anchor_is_refused() {
    refused("list", "integrations: &a [*a]\n");
    refused("mapping", "integrations: &a {b: *a}\n");
}

#[test]
fn deep_nesting_is_refused_quickly() {
    for open in ["[", "{", "{a: ", "- ", "? ", "[{", "a:\n - "] {
        refused(open, &open.repeat((1 << 20) / open.len()));
    }
    let mut indented = String::new();
    for depth in 0..1_000 {
        writeln!(indented, "{}a:", " ".repeat(depth)).unwrap();
    }
    let detail = refused("indentation", &indented);
    assert!(detail.contains("128 levels"), "{detail}");
}

#[test]
fn a_source_full_of_mistakes_is_answered_with_a_limited_list() {
    let mut source = String::from("specVersion: 1.0.0\nintegrations:\n");
    while source.len() < 1_000_000 {
        source.push_str("  - {}\n");
    }
    let (issues, took) = timed(|| parse(&source, &Catalogue).unwrap_err());
    assert!(took < LONGEST, "{took:?}");
    assert!(issues.len() <= 501, "{}", issues.len());
    assert!(
        issues
            .iter()
            .any(|issue| issue.detail.ends_with("more problems are not listed."))
    );
}

#[test]
fn what_is_not_yaml_of_one_document_is_refused_with_its_line() {
    let cases = [
        ("a: b: c", 1),
        ("specVersion: 1.0.0\n\tintegrations: []", 2),
        ("specVersion: \"1.0.0\nintegrations: []", 2),
        ("a: 1\nb: 2\na: 3", 3),
        ("a: !secret x", 1),
        ("a: *nothing", 1),
    ];
    for (source, line) in cases {
        let issues = parse(source, &Catalogue).unwrap_err();
        assert_eq!(issues.len(), 1, "{source}: {issues:?}");
        assert_eq!(
            (issues[0].path.as_str(), issues[0].line),
            ("$", Some(line)),
            "{source}: {issues:?}"
        );
    }
    assert!(refused("documents", "a: 1\n---\nb: 2\n").contains("several YAML documents"));
    assert!(refused("empty", "").contains("must be a mapping"));
    assert!(refused("scalar", "hello").contains("must be a mapping"));
}

#[test]
fn no_broken_source_panics() {
    let whole = include_str!("../../../amp.example.yaml");
    let pieces: Vec<&str> = vec![
        "- ", "[", "]", "{", "}", ": ", "\n", "  ", "&a ", "*a", "!t ", "|", ">", "'", "\"", "#", "~",
        "<<: ", "\t", "\u{feff}", "0x1f", "1e999", ".nan", "-.inf", "%", "@", "`", "? ", "---\n", "...\n",
        "é", "\0",
    ];
    let seed: u64 = std::env::var("AMP_PROPERTY_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..));
    let mut rng = fastrand::Rng::with_seed(seed);
    println!("AMP_PROPERTY_SEED={seed}");
    for _ in 0..300 {
        let mut source: Vec<char> = whole.chars().collect();
        for _ in 0..rng.usize(1..8) {
            let at = rng.usize(..source.len());
            if rng.bool() {
                let end = (at + rng.usize(1..40)).min(source.len());
                source.drain(at..end);
            } else {
                source.splice(at..at, pieces[rng.usize(..pieces.len())].chars());
            }
        }
        let source: String = source.into_iter().collect();
        if let Err(issues) = parse(&source, &Catalogue) {
            assert!(!issues.is_empty());
        }
    }
}
