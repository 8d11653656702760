//! The files that `docs/connectors.md` shows are files that work.

use amp_write::connectors::{declarative::examples, parse};

#[test]
fn every_file_in_the_documentation_is_sound_and_its_examples_hold() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/connectors.md")).unwrap();
    let mut shown = 0;
    for block in text.split("```yaml\n").skip(1) {
        let block = block.split("```").next().unwrap();
        // A block inside a list is indented as a whole.
        let indent = block.len() - block.trim_start().len();
        let file: Vec<&str> = block
            .lines()
            .map(|line| line.get(indent..).unwrap_or(""))
            .collect();
        let parsed = match parse("docs/connectors.md", &file.join("\n"), None) {
            Ok(parsed) => parsed,
            Err(errors) => panic!("{errors:?}\n{block}"),
        };
        assert_eq!(parsed.without_example(), Vec::<String>::new(), "{block}");
        for example in &parsed.examples {
            let found = examples::run(parsed.module(None).unwrap(), example);
            assert!(found.is_empty(), "{}: {found:?}", example.name);
            shown += 1;
        }
    }
    assert!(shown >= 20, "only {shown} examples were found");
}
