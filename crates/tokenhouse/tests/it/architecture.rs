//! The strata hold: `base` knows nothing of accounts, the kernel nothing of features, a feature nothing of
//! another. Read off the sources, since the compiler would allow it.

use std::path::{Path, PathBuf};

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The lines of code under `folder` (in `src`) that name one of `words`.
fn breaches(folder: &str, words: &[String]) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(folder);
    let files = sources(&folder);
    assert!(!files.is_empty(), "nothing in {}", folder.display());
    let mut found = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for (number, line) in text.lines().enumerate() {
            let code = line.trim_start();
            if !code.starts_with("//") && words.iter().any(|word| names(code, word)) {
                found.push(format!("{}:{}: {code}", file.display(), number + 1));
            }
        }
    }
    found
}

/// Whether `word` stands in `code`, also as a branch of `use crate::{…}`.
fn names(code: &str, word: &str) -> bool {
    let braces = code.strip_prefix("use crate::{").unwrap_or_default();
    code.contains(&format!("crate::{word}"))
        || braces.split([',', '{', '}']).any(|branch| {
            let branch = branch.trim();
            branch == word || branch.starts_with(&format!("{word}::"))
        })
}

#[test]
fn imports_go_left_only() {
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    let none: Vec<String> = Vec::new();
    assert_eq!(
        breaches("base", &words(&["kernel", "features", "builder", "router"])),
        none
    );
    assert_eq!(
        breaches("kernel", &words(&["features", "builder", "router"])),
        none
    );

    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/features");
    let features: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert!(!features.is_empty());
    for feature in &features {
        let others: Vec<String> = features
            .iter()
            .filter(|other| *other != feature)
            .flat_map(|other| [format!("features::{other}"), format!("features::{{{other}")])
            .chain(["builder".to_owned(), "router".to_owned()])
            .collect();
        assert_eq!(breaches(&format!("features/{feature}"), &others), none);
    }
}

#[test]
fn what_is_looked_for_would_be_found() {
    assert!(names("use crate::kernel::house::Tokenhouse;", "kernel"));
    assert!(names("use crate::{base::id, kernel::house};", "kernel"));
    assert!(names("let x = crate::features::password::open();", "features"));
    assert!(!names("use crate::base::store;", "kernel"));
    assert!(!names("use super::kernel_of_truth;", "kernel"));
}

#[test]
fn the_engines_are_told_apart_in_the_store_only() {
    let kernel = breaches(
        "kernel",
        &[
            "base::store::sqlite".to_owned(),
            "base::store::postgres".to_owned(),
        ],
    );
    let features = breaches(
        "features",
        &[
            "base::store::sqlite".to_owned(),
            "base::store::postgres".to_owned(),
        ],
    );
    assert_eq!((kernel, features), (Vec::new(), Vec::new()));
}
