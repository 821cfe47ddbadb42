//! A language: its texts, how it writes dates, and every template with both at hand.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use minijinja::value::Kwargs;
use minijinja::{AutoEscape, Environment, ErrorKind, HtmlEscape, State, UndefinedBehavior, Value};

use super::TemplateError;
use crate::base::error::Error;

/// Texts by their keys: `[sign_in] title = "…"` is `sign_in.title`.
#[derive(Clone, Debug, Default)]
pub(super) struct Texts(BTreeMap<String, String>);

impl Texts {
    pub(super) fn parse(file: &str, text: &str) -> Result<Self, TemplateError> {
        let faulty = |detail: String| TemplateError::Faulty(file.to_owned(), detail);
        let table: toml::Table = text
            .parse()
            .map_err(|error: toml::de::Error| faulty(error.to_string()))?;
        let mut texts = Self::default();
        texts.flatten("", table).map_err(faulty)?;
        Ok(texts)
    }

    fn flatten(&mut self, prefix: &str, table: toml::Table) -> Result<(), String> {
        for (name, value) in table {
            let key = if prefix.is_empty() {
                name
            } else {
                format!("{prefix}.{name}")
            };
            match value {
                toml::Value::String(text) => {
                    self.0.insert(key, text);
                }
                toml::Value::Table(table) => self.flatten(&key, table)?,
                _ => return Err(format!("`{key}` must be a text")),
            }
        }
        Ok(())
    }

    /// What `other` has takes the place of what is here.
    pub(super) fn overlay(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, text)| (key.as_str(), text.as_str()))
    }
}

/// The names in braces of a text, in their order.
pub(super) fn places(text: &str) -> impl Iterator<Item = &str> {
    text.split('{')
        .skip(1)
        .filter_map(|rest| rest.split_once('}').map(|(name, _)| name))
}

/// One language, and the templates in it.
pub(crate) struct Language {
    tag: String,
    texts: Arc<Texts>,
    environment: Environment<'static>,
}

impl Language {
    pub(super) fn new(
        tag: String,
        texts: Texts,
        templates: &BTreeMap<String, String>,
    ) -> Result<Self, TemplateError> {
        let texts = Arc::new(texts);
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        let syntax = minijinja::syntax::SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()
            .map_err(|error| TemplateError::Faulty("the syntax".to_owned(), error.to_string()))?;
        environment.set_syntax(syntax);
        let own = Arc::clone(&texts);
        environment.add_function("t", move |state: &State, key: &str, arguments: Kwargs| {
            translate(&own, state, key, &arguments)
        });
        let own = Arc::clone(&texts);
        environment.add_function("has_text", move |key: &str| own.get(key).is_some());
        let own = Arc::clone(&texts);
        environment.add_filter("date", move |at: &str| date(&own, at));
        let own = Arc::clone(&texts);
        environment.add_filter("moment", move |at: &str| moment(&own, at));
        for (name, source) in templates {
            environment
                .add_template_owned(name.clone(), source.clone())
                .map_err(|error| TemplateError::Faulty(name.clone(), sentence(&error)))?;
        }
        Ok(Self {
            tag,
            texts,
            environment,
        })
    }

    /// As in `lang="…"`: `en`, `pt-BR`.
    pub(crate) fn tag(&self) -> &str {
        &self.tag
    }

    /// What it is called in itself: `Deutsch`.
    pub(crate) fn name(&self) -> &str {
        self.texts.get("language.name").unwrap_or(&self.tag)
    }

    /// `ltr` or `rtl`.
    pub(crate) fn direction(&self) -> &str {
        match self.texts.get("language.direction") {
            Some("rtl") => "rtl",
            _ => "ltr",
        }
    }

    /// The text of a key with its places filled, for where no template is: the subject of a mail, say. `None` where no
    /// language has it. A place that nothing fills stays as it is.
    pub(crate) fn text(&self, key: &str, arguments: &[(&str, &str)]) -> Option<String> {
        let fill = |name: &str, out: &mut String| match arguments.iter().find(|(known, _)| *known == name) {
            Some((_, value)) => out.push_str(value),
            None => {
                let _ = write!(out, "{{{name}}}");
            }
        };
        Some(filled(self.texts.get(key)?, fill))
    }

    /// An instant as a person writes it: `3 May 2026, 14:05 UTC`.
    pub(crate) fn moment(&self, at: Timestamp) -> String {
        written(&self.texts, "language.moment", at)
    }

    /// Renders a template.
    ///
    /// # Errors
    /// When the template is not there or asks for what is not: a mistake of ours, or of an override.
    pub(crate) fn render(&self, name: &str, context: Value) -> Result<String, Error> {
        self.try_render(name, context).map_err(Error::internal)
    }

    /// The same, for whoever wants to say what is wrong.
    pub(crate) fn try_render(&self, name: &str, context: Value) -> Result<String, TemplateError> {
        self.environment
            .get_template(name)
            .and_then(|template| template.render(context))
            .map_err(|error| TemplateError::Faulty(name.to_owned(), sentence(&error)))
    }
}

/// With its causes: an error in an included template is one.
fn sentence(error: &minijinja::Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        let _ = write!(text, ": {cause}");
        next = cause.source();
    }
    text
}

fn translate(texts: &Texts, state: &State, key: &str, arguments: &Kwargs) -> Result<Value, minijinja::Error> {
    let unknown = |what: String| minijinja::Error::new(ErrorKind::InvalidOperation, what);
    let text = texts
        .get(key)
        .ok_or_else(|| unknown(format!("no language has the text `{key}`")))?;
    let html = matches!(state.auto_escape(), AutoEscape::Html);
    let mut missing = None;
    let escaped = if html {
        HtmlEscape(text).to_string()
    } else {
        text.to_owned()
    };
    let argument = |name: &str| {
        arguments
            .has(name)
            .then(|| arguments.get::<Value>(name).ok())
            .flatten()
    };
    let out = filled(&escaped, |name, out| match argument(name) {
        Some(value) if html && !value.is_safe() => {
            let _ = write!(out, "{}", HtmlEscape(&value.to_string()));
        }
        Some(value) => out.push_str(&value.to_string()),
        None => missing = Some(name.to_owned()),
    });
    if let Some(name) = missing {
        return Err(unknown(format!("the text `{key}` needs the argument `{name}`")));
    }
    Ok(if html {
        Value::from_safe_string(out)
    } else {
        Value::from(out)
    })
}

fn filled(text: &str, mut fill: impl FnMut(&str, &mut String)) -> String {
    let mut out = String::with_capacity(text.len() + 32);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        match after.split_once('}') {
            Some((name, after)) => {
                fill(name, &mut out);
                rest = after;
            }
            None => {
                out.push('{');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

fn date(texts: &Texts, at: &str) -> Result<String, minijinja::Error> {
    Ok(written(texts, "language.date", instant(at)?))
}

fn moment(texts: &Texts, at: &str) -> Result<String, minijinja::Error> {
    Ok(written(texts, "language.moment", instant(at)?))
}

fn instant(at: &str) -> Result<Timestamp, minijinja::Error> {
    at.parse()
        .map_err(|_| minijinja::Error::new(ErrorKind::InvalidOperation, "this is no instant (RFC 3339)"))
}

fn written(texts: &Texts, pattern: &str, at: Timestamp) -> String {
    let time = at.to_zoned(TimeZone::UTC);
    let month = format!("month.{}", time.month());
    let two = |number: i8| format!("{number:02}");
    filled(
        texts.get(pattern).unwrap_or("{year}-{month}-{day}"),
        |name, out| {
            out.push_str(&match name {
                "day" => time.day().to_string(),
                "month" => texts.get(&month).map_or_else(|| two(time.month()), str::to_owned),
                "year" => time.year().to_string(),
                "hour" => two(time.hour()),
                "minute" => two(time.minute()),
                other => other.to_owned(),
            });
        },
    )
}
