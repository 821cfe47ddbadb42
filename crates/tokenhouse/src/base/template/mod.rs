//! Templates of pages and mails: in the binary, each overridable by a file of the same name, in every language
//! there is a file of texts for.
//!
//! A template says `{{ t("sign_in.title") }}`, or with arguments `{{ t("mail.sent_to", address=email) }}` where the text
//! has `{address}`. What ends in `.html` is escaped, arguments included; what ends in `.txt` is not. What a template
//! asks for and is not there is an error, never an empty place.

mod language;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use minijinja::Value;

pub(crate) use self::language::Language;
use self::language::{Texts, places};

/// A file in the binary: its name (`pages/sign_in.html`, `languages/en.toml`) and its text.
pub(crate) type Embedded = (&'static str, &'static str);

/// The language whose texts stand in where another lacks one.
const COMPLETE: &str = "en";

/// Why templates cannot be used; each is a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// A file cannot be read.
    #[error("{path}: {problem}", path = .0.display(), problem = .1)]
    File(PathBuf, String),
    /// A template or a file of texts is not right.
    #[error("{0}: {1}")]
    Faulty(String, String),
    /// There is no file of texts for the language of the settings.
    #[error("there is no language `{0}`; there are {1}")]
    NoLanguage(String, String),
}

/// Every template in every language.
pub(crate) struct Templates {
    languages: BTreeMap<String, Language>,
    usual: String,
}

impl Templates {
    /// Those in the binary and, over them, those in `folder`; `usual` is the language of those who ask for none.
    pub(crate) fn load(
        embedded: &[Embedded],
        folder: Option<&Path>,
        usual: &str,
    ) -> Result<Self, TemplateError> {
        let mut files: BTreeMap<String, String> = embedded
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect();
        let mut own = BTreeMap::new();
        if let Some(folder) = folder {
            for (name, text) in read(folder)? {
                // A file of texts may have only those that are to be others.
                if name.starts_with("languages/") {
                    own.insert(name, text);
                } else {
                    files.insert(name, text);
                }
            }
        }
        let texts = texts(&files, &own)?;
        files.retain(|name, _| !name.starts_with("languages/"));
        let languages = texts
            .into_iter()
            .map(|(tag, texts)| Ok((tag.clone(), Language::new(tag, texts, &files)?)))
            .collect::<Result<BTreeMap<_, _>, TemplateError>>()?;
        if !languages.contains_key(usual) {
            let there = languages.keys().cloned().collect::<Vec<_>>().join(", ");
            return Err(TemplateError::NoLanguage(usual.to_owned(), there));
        }
        Ok(Self {
            languages,
            usual: usual.to_owned(),
        })
    }

    /// The language of this tag, or the usual one where it is not there (any more).
    #[expect(clippy::indexing_slicing, reason = "`load` has seen the usual one")]
    pub(crate) fn language(&self, tag: &str) -> &Language {
        self.languages
            .get(tag)
            .unwrap_or_else(|| &self.languages[&self.usual])
    }

    /// The language of exactly this tag.
    pub(crate) fn named(&self, tag: &str) -> Option<&Language> {
        self.languages.get(tag)
    }

    /// Every language there is.
    pub(crate) fn languages(&self) -> impl Iterator<Item = &Language> {
        self.languages.values()
    }

    /// The language that an `Accept-Language` header (RFC 9110 §12.5.4) wants most: `de-AT` is served by `de`.
    pub(crate) fn best(&self, accepted: Option<&str>) -> &Language {
        let mut best: Option<(f32, &Language)> = None;
        for range in accepted.unwrap_or_default().split(',').take(32) {
            let (tag, parameter) = range.split_once(';').unwrap_or((range, ""));
            let weight = match parameter.trim().strip_prefix("q=") {
                Some(text) => text.trim().parse().unwrap_or(0.0),
                None => 1.0,
            };
            let tag = tag.trim().to_ascii_lowercase();
            let found = if tag == "*" {
                self.languages.get(&self.usual)
            } else {
                self.matching(&tag)
            };
            if let Some(language) = found
                && weight > best.map_or(0.0, |(weight, _)| weight)
            {
                best = Some((weight, language));
            }
        }
        best.map_or_else(|| self.language(&self.usual), |(_, language)| language)
    }

    /// The language that a person of this language (`de-AT`) understands, where there is one.
    pub(crate) fn understood(&self, tag: &str) -> Option<&Language> {
        self.matching(&tag.to_ascii_lowercase())
    }

    /// RFC 4647 §3.4: the range is shortened until it fits.
    fn matching(&self, tag: &str) -> Option<&Language> {
        let mut tag = tag;
        loop {
            let found = self
                .languages
                .values()
                .find(|language| language.tag().eq_ignore_ascii_case(tag));
            if found.is_some() {
                return found;
            }
            tag = tag.rsplit_once('-')?.0;
        }
    }
}

/// What a template is rendered with, from what a page or a mail is made of.
pub(crate) fn context(of: &impl serde::Serialize) -> Value {
    Value::from(minijinja::value::Serde(of))
}

/// Every file under `folder` that could be a template or a file of texts, by its name relative to it.
fn read(folder: &Path) -> Result<Vec<(String, String)>, TemplateError> {
    let mut found = Vec::new();
    let mut there_was_one = false;
    for (kind, endings) in [
        ("pages", &["html"][..]),
        ("mails", &["html", "txt"]),
        ("languages", &["toml"]),
    ] {
        let folder = folder.join(kind);
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(TemplateError::File(folder, error.to_string())),
        };
        there_was_one = true;
        for entry in entries {
            let path = entry
                .map_err(|error| TemplateError::File(folder.clone(), error.to_string()))?
                .path();
            let ending = path.extension().and_then(|ending| ending.to_str());
            let (Some(name), Some(ending)) = (path.file_name().and_then(|name| name.to_str()), ending) else {
                continue;
            };
            if endings.contains(&ending) {
                let text = std::fs::read_to_string(&path)
                    .map_err(|error| TemplateError::File(path.clone(), error.to_string()))?;
                found.push((format!("{kind}/{name}"), text));
            }
        }
    }
    if there_was_one {
        Ok(found)
    } else {
        Err(TemplateError::File(
            folder.to_owned(),
            "has none of the folders pages, mails and languages".to_owned(),
        ))
    }
}

/// Nothing fills a place that the texts of the house do not have; of texts that only the operator has nothing is known.
fn refuse_unknown_places(
    name: &str,
    own: &Texts,
    files: &BTreeMap<String, String>,
) -> Result<(), TemplateError> {
    let english = format!("languages/{COMPLETE}.toml");
    let ours = match files.get(&english) {
        Some(text) => Texts::parse(&english, text)?,
        None => return Ok(()),
    };
    for (key, text) in own.all() {
        let Some(our_text) = ours.get(key) else { continue };
        let mut known: Vec<&str> = places(our_text).collect();
        // Each text of such a section is filled with the same.
        if let Some((section, _)) = key.rsplit_once('.')
            && (section.starts_with("mail.") || matches!(section, "fault" | "trouble"))
        {
            let beside = ours.all().filter(|(other, _)| {
                other
                    .strip_prefix(section)
                    .is_some_and(|rest| rest.starts_with('.') && !rest[1..].contains('.'))
            });
            known.extend(beside.flat_map(|(_, text)| places(text)));
        }
        known.sort_unstable();
        known.dedup();
        if let Some(unknown) = places(text).find(|place| !known.contains(place)) {
            let there = if known.is_empty() {
                "it has no places".to_owned()
            } else {
                format!("there is {{{}}}", known.join("}, {"))
            };
            return Err(TemplateError::Faulty(
                name.to_owned(),
                format!("nothing fills {{{unknown}}} in `{key}`; {there}"),
            ));
        }
    }
    Ok(())
}

/// The texts of each language: those of the binary under those of the operator, and English under both.
fn texts(
    files: &BTreeMap<String, String>,
    own: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, Texts>, TemplateError> {
    let mut all: BTreeMap<String, Texts> = BTreeMap::new();
    for (name, text) in files.iter().chain(own) {
        let tag = name
            .strip_prefix("languages/")
            .and_then(|name| name.strip_suffix(".toml"));
        if let Some(tag) = tag {
            let texts = Texts::parse(name, text)?;
            if own.contains_key(name) {
                refuse_unknown_places(name, &texts, files)?;
            }
            all.entry(tag.to_owned()).or_default().overlay(texts);
        }
    }
    let complete = all.get(COMPLETE).cloned().unwrap_or_default();
    for texts in all.values_mut() {
        let own = std::mem::replace(texts, complete.clone());
        texts.overlay(own);
    }
    Ok(all)
}
