//! What is written about the house holds.

use tokenhouse::Code;

const ERRORS: &str = include_str!("../../../../docs/errors.md");

#[test]
fn every_code_has_its_heading_and_status() {
    for code in Code::ALL {
        let entry = format!("## {}\n\n{}. ", code.as_str(), code.status().as_u16());
        assert!(ERRORS.contains(&entry), "docs/errors.md lacks {entry:?}");
    }
}

#[test]
fn the_embedding_example_has_at_most_fifteen_lines() {
    let readme = include_str!("../../../../README.md");
    let example = readme
        .split("```rust,no_run\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    assert!(example.lines().filter(|line| !line.trim().is_empty()).count() <= 15);
}
