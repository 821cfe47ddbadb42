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

/// The tests that docs/security/standards.md names are there.
#[test]
fn every_test_that_shows_a_line_of_the_standards_exists() {
    let page = include_str!("../../../../docs/security/standards.md");
    let named = named_tests(page);
    assert!(named > 100, "only {named} tests were found on the page");
    // And no line stands there with neither a test nor a reason.
    for line in page.lines().filter(|line| line.starts_with("| ")) {
        let shown_by = line.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        let told =
            shown_by.contains(".rs::") || shown_by.starts_with("not yet") || shown_by.starts_with("open: ");
        assert!(told || shown_by == "shown by", "{line}");
    }
}

/// The same for docs/security/recovery.md, where every line has one.
#[test]
fn every_way_to_get_something_back_has_its_tests() {
    let page = include_str!("../../../../docs/security/recovery.md");
    assert!(named_tests(page) > 10);
    for line in page.lines().filter(|line| line.starts_with("| ")) {
        assert!(line.contains(".rs::") || line.ends_with("| shown by |"), "{line}");
    }
}

/// The same for docs/security/asvs.md, where a row may be without a test, and says so.
#[test]
fn every_row_of_asvs_has_a_state_and_its_tests() {
    const STATES: [&str; 5] = ["met", "partly", "not met", "operator", "not here"];
    let page = include_str!("../../../../docs/security/asvs.md");
    let named = named_tests(page);
    assert!(named > 150, "only {named} tests were found on the page");
    for line in page.lines().filter(|line| line.starts_with("| V")) {
        let cells: Vec<&str> = line.split(" | ").collect();
        let [_, _, state, _, shown_by] = cells.as_slice() else {
            panic!("not five cells: {line}")
        };
        assert!(STATES.contains(state), "{line}");
        let told = shown_by.contains("::") || shown_by.starts_with("no test") || *state == "not here";
        assert!(told, "{line}");
    }
    let [met, partly, not, operator, elsewhere] = STATES.map(|state| {
        let of = |line: &&str| line.starts_with("| V") && line.split(" | ").nth(2) == Some(state);
        page.lines().filter(of).count()
    });
    let counted = format!(
        "Of {} rows that concern it {met} are met, {partly} partly, {not} not, and {operator} are the operator's to decide; \
         {elsewhere} stand at the end.",
        met + partly + not + operator
    );
    assert!(page.contains(&counted), "the page does not say: {counted}");
}

/// Asserts that every test a page names is there, and counts them.
fn named_tests(page: &str) -> usize {
    let crates = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut named = 0;
    let names_a_test = |text: &&str| text.contains(".rs::") || text.contains(".test.js::");
    for reference in page.split('`').filter(names_a_test) {
        let (file, name) = reference.split_once("::").unwrap();
        let path = match file.split_once('/') {
            None => format!("tokenhouse/tests/it/{file}"),
            Some(("verify", file)) => format!("tokenhouse-verify/tests/it/{file}"),
            Some(("server", file)) => format!("tokenhouse-server/tests/it/{file}"),
            Some(("hashing", file)) => format!("tokenhouse/src/base/hashing/tests/{file}"),
            Some(("src", file)) => format!("tokenhouse/src/{file}"),
            Some(("browser", file)) => format!("../tests/browser/{file}"),
            Some((other, _)) => panic!("{reference}: no folder is called {other}"),
        };
        let source = std::fs::read_to_string(crates.join(&path)).unwrap_or_else(|_| panic!("no {path}"));
        let is_there = if path.contains(".test.js") {
            source.contains(&format!("test(\"{name}\"")) || source.contains(&format!("test(`{name}`"))
        } else {
            source.contains(&format!("fn {name}("))
        };
        assert!(is_there, "{path} has no test {name}");
        named += 1;
    }
    named
}
