//! Reading the file, and telling what is not an option.

use std::collections::BTreeMap;
use std::path::Path;

use tokenhouse::settings::OptionDoc;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::{Given, Source};

/// The file that is read when none is named.
const USUAL_FILE: &str = "tokenhouse.toml";

/// Reads the file; without a name only if it is there.
pub(super) fn read(
    named: Option<&Path>,
    options: &[OptionDoc],
    given: &mut BTreeMap<String, Given>,
    mistakes: &mut Vec<String>,
) {
    let path = named.unwrap_or(Path::new(USUAL_FILE));
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => return,
        Err(error) => {
            mistakes.push(format!(
                "{}: the configuration file cannot be read: {error}",
                path.display()
            ));
            return;
        }
    };
    // Twice: once with the place of every value, once as values.
    let (places, values) = match (DeTable::parse(&text), text.parse::<Table>()) {
        (Ok(places), Ok(values)) => (places, values),
        (Err(error), _) | (_, Err(error)) => {
            let line = error.span().map_or(1, |span| line(&text, span.start));
            // Only the reason: the whole error shows the line, which may hold a secret.
            mistakes.push(format!(
                "{}:{line}: {}",
                path.display(),
                error.message().trim_end()
            ));
            return;
        }
    };
    let mut walk = Walk {
        path,
        text: &text,
        options,
        given,
        mistakes,
    };
    walk.table("", places.get_ref(), &values);
}

struct Walk<'a> {
    path: &'a Path,
    text: &'a str,
    options: &'a [OptionDoc],
    given: &'a mut BTreeMap<String, Given>,
    mistakes: &'a mut Vec<String>,
}

impl Walk<'_> {
    fn table(&mut self, prefix: &str, places: &DeTable<'_>, values: &Table) {
        for (key, place) in places {
            let Some(value) = values.get(key.get_ref().as_ref()) else {
                continue;
            };
            let name = match prefix {
                "" => key.get_ref().to_string(),
                prefix => format!("{prefix}.{}", key.get_ref()),
            };
            let source = Source::File(self.path.to_owned(), line(self.text, key.span().start));
            let section = format!("{name}.");
            let is_section = self
                .options
                .iter()
                .any(|option| option.path.starts_with(&section));
            if self.options.iter().any(|option| option.path == name) {
                self.given.insert(
                    name,
                    Given {
                        value: value.clone(),
                        source,
                    },
                );
            } else if let (DeValue::Table(inner), Value::Table(values)) = (place.get_ref(), value)
                && (is_section || !inner.is_empty())
            {
                self.table(&name, inner, values);
            } else if is_section {
                self.mistakes.push(format!(
                    "{source}: {name}: is a section: write `[{name}]`, and its options below"
                ));
            } else {
                let meant = nearest(&name, self.options).map(|option| option.path.clone());
                self.mistakes.push(unknown(&source, &name, meant));
            }
        }
    }
}

fn line(text: &str, at: usize) -> usize {
    text.as_bytes()
        .iter()
        .take(at)
        .filter(|byte| **byte == b'\n')
        .count()
        + 1
}

pub(super) fn unknown(source: &Source, name: &str, meant: Option<String>) -> String {
    let remedy = match meant {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "`tokenhouse config default` lists those there are".to_owned(),
    };
    match source {
        Source::File(..) => format!("{source}: {name}: there is no such option; {remedy}"),
        _ => format!("{source}: there is no such option; {remedy}"),
    }
}

/// The option somebody probably meant: by its whole path, or by its last part when the section was left out.
pub(super) fn nearest<'a>(name: &str, options: &'a [OptionDoc]) -> Option<&'a OptionDoc> {
    let plain = |text: &str| text.to_lowercase().replace(['.', '_', '-'], "");
    let last = |text: &str| plain(text.rsplit('.').next().unwrap_or(text));
    options
        .iter()
        .map(|option| {
            let whole = strsim::normalized_damerau_levenshtein(&plain(name), &plain(&option.path));
            let end = strsim::normalized_damerau_levenshtein(&last(name), &last(&option.path)) * 0.95;
            (whole.max(end), option)
        })
        .filter(|(likeness, _)| *likeness > 0.65)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, option)| option)
}
