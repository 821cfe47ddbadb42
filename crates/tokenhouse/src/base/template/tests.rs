use std::collections::BTreeMap;

use minijinja::context;

use super::language::{Texts, places};
use super::*;

const FILES: &[Embedded] = &[
    (
        "languages/en.toml",
        "[language]\nname = \"English\"\ndate = \"{day} {month} {year}\"\nmoment = \"{day} {month} {year}, {hour}:{minute} UTC\"\n\
         [month]\n5 = \"May\"\n[hello]\nto = \"Hello <{name}> & all\"\nonly = \"only English\"",
    ),
    (
        "languages/de.toml",
        "[language]\nname = \"Deutsch\"\n[hello]\nto = \"Hallo <{name}>\"",
    ),
    ("pages/hello.html", "{{ t('hello.to', name=name) }}"),
    ("mails/hello.txt", "{{ t('hello.to', name=name) }}"),
    (
        "pages/only.html",
        "{{ t('hello.only') }}|{{ at|date }}|{{ at|moment }}",
    ),
    ("pages/wrong.html", "{{ absent }}"),
    ("pages/unknown.html", "{{ t('no.such') }}"),
    ("pages/without.html", "{{ t('hello.to') }}"),
    ("pages/too_many.html", "{{ t('hello.only', name='x') }}"),
    (
        "pages/macros.html",
        "{% macro greet(name) %}{{ t('hello.to', name=name) }}{% endmacro %}",
    ),
    (
        "pages/uses.html",
        "{% from 'pages/macros.html' import greet %}{{ greet(name) }}",
    ),
];

fn templates() -> Templates {
    Templates::load(FILES, None, "en").unwrap()
}

#[test]
fn texts_and_arguments_are_escaped_where_the_template_is_html() {
    let templates = templates();
    let name = "<b>";
    let page = templates
        .language("en")
        .render("pages/hello.html", context! { name })
        .unwrap();
    assert_eq!(page, "Hello &lt;&lt;b&gt;&gt; &amp; all");
    let mail = templates
        .language("de")
        .render("mails/hello.txt", context! { name })
        .unwrap();
    assert_eq!(mail, "Hallo <<b>>");
    let page = templates
        .language("de")
        .render("pages/uses.html", context! { name })
        .unwrap();
    assert_eq!(
        page, "Hallo &lt;&lt;b&gt;&gt;",
        "a macro escapes once and speaks the language too"
    );
}

#[test]
fn english_stands_in_and_what_nobody_has_is_an_error() {
    let templates = templates();
    let at = "2026-05-03T14:05:00Z";
    let german = templates.language("de");
    assert_eq!(
        german.render("pages/only.html", context! { at }).unwrap(),
        "only English|3 May 2026|3 May 2026, 14:05 UTC"
    );
    // A text of an operator's need not say everything that it could.
    let said = german.render("pages/too_many.html", context! {});
    assert_eq!(said.unwrap(), "only English");
    for name in ["wrong.html", "unknown.html", "without.html", "nowhere.html"] {
        let rendered = german.render(&format!("pages/{name}"), context! {});
        assert!(rendered.is_err(), "{name}: {rendered:?}");
    }
    assert_eq!(
        german.text("hello.to", &[("name", "Ada")]).as_deref(),
        Some("Hallo <Ada>")
    );
    assert_eq!(german.text("no.such", &[]), None);
}

#[test]
fn the_best_language_is_chosen() {
    let templates = templates();
    for (accepted, expected) in [
        (None, "en"),
        (Some(""), "en"),
        (Some("de"), "de"),
        (Some("de-AT"), "de"),
        (Some("fr, de;q=0.5"), "de"),
        (Some("en;q=0.8, DE-de;q=0.9"), "de"),
        (Some("de;q=0, *"), "en"),
        (Some("fr, *;q=0.1"), "en"),
        (Some("de;q=nonsense"), "en"),
        (Some(";;;,,,=,-"), "en"),
    ] {
        assert_eq!(templates.best(accepted).tag(), expected, "{accepted:?}");
    }
}

#[test]
fn an_operator_overrides_a_template_some_texts_and_adds_a_language() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("pages/hello.html", "Moin {{ name }}"),
        ("languages/en.toml", "[hello]\nonly = \"changed\""),
        (
            "languages/ar.toml",
            "[language]\nname = \"العربية\"\ndirection = \"rtl\"",
        ),
    ] {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let templates = Templates::load(FILES, Some(folder.path()), "en").unwrap();
    let at = "2026-05-03T14:05:00Z";
    let render = |tag: &str, name: &str| {
        templates
            .language(tag)
            .render(name, context! { name => "Ada", at })
    };
    assert_eq!(render("de", "pages/hello.html").unwrap(), "Moin Ada");
    assert!(
        render("de", "pages/only.html").unwrap().starts_with("changed|"),
        "German has no text of its own"
    );
    assert!(render("ar", "mails/hello.txt").unwrap().starts_with("Hello"));
    assert_eq!(templates.language("ar").direction(), "rtl");
    assert_eq!(templates.languages().count(), 3);

    std::fs::write(folder.path().join("pages/hello.html"), "{% if %}").unwrap();
    let error = Templates::load(FILES, Some(folder.path()), "en")
        .err()
        .unwrap()
        .to_string();
    assert!(error.starts_with("pages/hello.html: "), "{error}");
    let empty = tempfile::tempdir().unwrap();
    assert!(Templates::load(FILES, Some(empty.path()), "en").is_err());
    assert!(Templates::load(FILES, None, "fr").is_err());
}

/// Every text of English is there in the other languages of the binary, with the same places, and nothing else.
#[test]
fn the_languages_of_the_binary_are_complete() {
    let files: BTreeMap<&str, Texts> = crate::templates::EMBEDDED
        .iter()
        .filter(|(name, _)| name.starts_with("languages/"))
        .map(|(name, text)| (*name, Texts::parse(name, text).unwrap()))
        .collect();
    assert!(files.len() >= 3);
    let english: BTreeMap<&str, &str> = files["languages/en.toml"].all().collect();
    for (file, texts) in &files {
        let texts: BTreeMap<&str, &str> = texts.all().collect();
        let keys = |texts: &BTreeMap<&str, &str>| texts.keys().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(keys(&texts), keys(&english), "{file}");
        for (key, text) in &texts {
            let sorted = |text: &str| {
                let mut names: Vec<_> = places(text).map(str::to_owned).collect();
                names.sort();
                names
            };
            assert_eq!(sorted(text), sorted(english[key]), "{file}: {key}");
            // WCAG 2.2, 2.5.3: who says what they see must be understood.
            if let Some(seen) = key.strip_suffix("_label").and_then(|key| texts.get(key)) {
                let label = text.to_lowercase();
                assert!(
                    label.contains(&seen.to_lowercase()),
                    "{file}: {key} = {text:?} lacks {seen:?}"
                );
            }
            assert!(
                !text.trim().is_empty() && text.trim() == *text,
                "{file}: {key} = {text:?}"
            );
        }
    }
}
