//! Names that are paths.

use amp_write::mapping::{FieldPath, PathError};

#[test]
fn a_name_is_one_key_unless_it_is_in_bracket_notation() {
    for (name, keys, text) in [
        ("email", vec!["email"], "email"),
        ("a.b", vec!["a.b"], "a.b"),
        ("$email", vec!["$email"], "$email"),
        ("$['email']", vec!["email"], "email"),
        ("$['a']['b']", vec!["a", "b"], "$['a']['b']"),
        ("$[\"a\"][\"b\"]", vec!["a", "b"], "$['a']['b']"),
        (
            "$['it\\'s']['a\\\\b']",
            vec!["it's", "a\\b"],
            "$['it\\'s']['a\\\\b']",
        ),
        ("$['é'][' ']", vec!["é", " "], "$['é'][' ']"),
        ("$['[x]']", vec!["[x]"], "[x]"),
        ("$['$[x]']", vec!["$[x]"], "$['$[x]']"),
    ] {
        let path = FieldPath::parse(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(path.keys(), keys, "{name}");
        assert_eq!(path.as_str(), text, "{name}");
        assert_eq!(
            FieldPath::parse(path.as_str()).as_ref(),
            Ok(&path),
            "{name}: what is written reads the same"
        );
    }
}

#[test]
fn what_is_no_path_is_told_with_the_place_where_it_breaks() {
    for (name, at) in [
        ("$[", 3),
        ("$['a", 3),
        ("$['a'", 6),
        ("$['a'][", 8),
        ("$['a']b", 7),
        ("$[a]", 3),
        ("$['']", 3),
        ("$['é']x", 7),
    ] {
        assert_eq!(
            FieldPath::parse(name),
            Err(PathError::Syntax {
                name: name.to_owned(),
                at
            }),
            "{name}"
        );
    }
    for name in ["$", "$.a", "$.a['b']"] {
        assert_eq!(
            FieldPath::parse(name),
            Err(PathError::NotBrackets(name.to_owned()))
        );
    }
    assert_eq!(FieldPath::parse(""), Err(PathError::Empty));
    let deep = |depth: usize| FieldPath::parse(&format!("${}", "['a']".repeat(depth)));
    assert!(deep(32).is_ok());
    assert_eq!(deep(100_000), Err(PathError::TooDeep(100_000)));
}

#[test]
fn list_items_can_be_read_but_not_written() {
    for name in ["$['a'][*]", "$['a'][0]['b']", "$[*]"] {
        assert_eq!(FieldPath::check_readable(name), Ok(()));
        assert_eq!(
            FieldPath::parse(name),
            Err(PathError::NotWritable(name.to_owned()))
        );
    }
    assert!(FieldPath::check_readable("$['a'][x]").is_err());
}

#[test]
fn no_text_breaks_the_parser() {
    let pieces = ["$", "[", "]", "'", "\"", "\\", "a", "é", "*", "0", ".", ""];
    let mut rng = fastrand::Rng::new();
    println!("seed {}", rng.get_seed());
    for _ in 0..20_000 {
        let name: String = (0..rng.usize(..10))
            .map(|_| pieces[rng.usize(..pieces.len())])
            .collect();
        if let Ok(path) = FieldPath::parse(&name) {
            assert_eq!(FieldPath::parse(path.as_str()), Ok(path), "{name}");
        }
    }
}
