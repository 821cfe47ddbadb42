//! CSV, JSON and lines of JSON, read record by record in little memory.

use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::rc::Rc;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::fields::Mapping;
use crate::failure::Failure;

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Csv,
    Json,
    Jsonl,
}

/// A record: the names of its fields, and what they hold.
pub(super) type Record = Map<String, Value>;

/// No user's record is nearly as long; a quote or a bracket that is left open does not fill the memory.
const LONGEST: u64 = 16 * 1024 * 1024;

pub(super) fn open(path: &Path) -> Result<Box<dyn BufRead + Send>, Failure> {
    let reader: Box<dyn Read + Send> = if path.as_os_str() == "-" {
        Box::new(io::stdin())
    } else {
        let opened = File::open(path).map_err(|error| unread(path, &error))?;
        Box::new(opened)
    };
    Ok(Box::new(BufReader::with_capacity(256 * 1024, reader)))
}

fn unread(path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("{} cannot be read: {error}", path.display()))
}

/// Gives every record with the number of its line to `take`, until that wants no more.
pub(super) fn read(
    mut reader: Box<dyn BufRead + Send>,
    format: Option<Format>,
    mapping: &Mapping,
    mut take: impl FnMut(u64, Result<Record, String>) -> bool,
) -> Result<(), Failure> {
    const MARK: &[u8] = b"\xef\xbb\xbf";
    let begin = reader.fill_buf()?;
    if begin.starts_with(MARK) {
        reader.consume(MARK.len());
    }
    let first = reader.fill_buf()?.iter().find(|byte| !byte.is_ascii_whitespace());
    let format = format.unwrap_or(match first {
        Some(b'[') => Format::Json,
        Some(b'{') => Format::Jsonl,
        _ => Format::Csv,
    });
    match format {
        Format::Csv => csv(reader, mapping, take),
        Format::Jsonl => lines(reader, take),
        Format::Json => json(reader, &mut take),
    }
}

fn csv(
    reader: impl Read,
    mapping: &Mapping,
    mut take: impl FnMut(u64, Result<Record, String>) -> bool,
) -> Result<(), Failure> {
    let held = Rc::new(Cell::new(0));
    let mut reader = csv::Reader::from_reader(Bounded {
        reader,
        held: Rc::clone(&held),
    });
    let names: Vec<String> = reader
        .headers()
        .map_err(|error| Failure::new(format!("the line of names cannot be read: {error}")))?
        .iter()
        .map(|name| name.trim().to_owned())
        .collect();
    let mut seen = HashSet::new();
    if let Some(twice) = names.iter().find(|name| !seen.insert(name.as_str())) {
        return Err(Failure::usage(format!(
            "two columns are called `{}`: give each a name of its own",
            twice.escape_debug()
        )));
    }
    mapping.check_names(&names)?;
    for record in reader.byte_records() {
        held.set(0);
        let (number, record) = match record {
            Ok(record) => {
                let number = record.position().map_or(0, csv::Position::line);
                (number, named(&names, &record))
            }
            Err(error) if matches!(error.kind(), csv::ErrorKind::Io(_)) => {
                return Err(Failure::new(format!("the file cannot be read: {error}")));
            }
            Err(error) => {
                let number = error.position().map_or(0, csv::Position::line);
                let reason = match error.kind() {
                    csv::ErrorKind::UnequalLengths {
                        expected_len, len, ..
                    } => {
                        format!("has {len} fields where the first line names {expected_len}")
                    }
                    _ => error.to_string(),
                };
                (number, Err(reason))
            }
        };
        if !take(number, record) {
            break;
        }
    }
    Ok(())
}

/// Gives up on a record that does not end.
struct Bounded<R> {
    reader: R,
    /// What was read since the last record.
    held: Rc<Cell<u64>>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(out)?;
        self.held.set(self.held.get() + count as u64);
        if self.held.get() > LONGEST {
            return Err(endless());
        }
        Ok(count)
    }
}

fn endless() -> io::Error {
    io::Error::other("a record is longer than 16 MiB; is a quote or a bracket left open?")
}

/// A field without text is a field that is not there.
fn named(names: &[String], record: &csv::ByteRecord) -> Result<Record, String> {
    let mut fields = Record::new();
    for (name, field) in names.iter().zip(record) {
        let text = str::from_utf8(field).map_err(|_| format!("{name} is not UTF-8"))?;
        if !text.is_empty() {
            fields.insert(name.clone(), Value::from(text));
        }
    }
    Ok(fields)
}

fn lines(
    mut reader: impl BufRead,
    mut take: impl FnMut(u64, Result<Record, String>) -> bool,
) -> Result<(), Failure> {
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        (&mut reader).take(LONGEST).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            break;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let record = serde_json::from_slice(&line).map_err(|error| {
            let place = if error.column() > 0 {
                format!(" (column {})", error.column())
            } else {
                String::new()
            };
            format!("is no JSON object{place}")
        });
        if !take(number, record) {
            break;
        }
    }
    Ok(())
}

fn json(reader: impl Read, take: &mut dyn FnMut(u64, Result<Record, String>) -> bool) -> Result<(), Failure> {
    let at = Rc::new(At {
        line: Cell::new(1),
        begun: Cell::new(None),
        held: Cell::new(None),
    });
    let counting = Counting {
        reader,
        at: Rc::clone(&at),
    };
    let mut stopped = false;
    let users = Users {
        at: &at,
        take,
        stopped: &mut stopped,
        is_whole: true,
    };
    let mut deserializer = serde_json::Deserializer::from_reader(counting);
    let read = users.deserialize(&mut deserializer);
    if stopped {
        return Ok(());
    }
    read.and_then(|()| deserializer.end())
        .map_err(|error| Failure::new(format!("the file cannot be read further: {error}")))
}

/// Where in the file a record began.
struct At {
    line: Cell<u64>,
    begun: Cell<Option<u64>>,
    /// Bytes of the record that is being read.
    held: Cell<Option<u64>>,
}

/// Counts lines for serde, which reads byte by byte and does not tell where it is.
struct Counting<R> {
    reader: R,
    at: Rc<At>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let one = out.len().min(1);
        let count = self.reader.read(&mut out[..one])?;
        if count == 1 {
            if let Some(held) = self.at.held.get() {
                self.at.held.set(Some(held + 1));
                if held >= LONGEST {
                    return Err(endless());
                }
            }
            match out[0] {
                b'\n' => self.at.line.set(self.at.line.get() + 1),
                b' ' | b'\t' | b'\r' | b',' => {}
                _ if self.at.begun.get().is_none() => self.at.begun.set(Some(self.at.line.get())),
                _ => {}
            }
        }
        Ok(count)
    }
}

/// The array of users, or the object around it.
struct Users<'a> {
    at: &'a At,
    take: &'a mut dyn FnMut(u64, Result<Record, String>) -> bool,
    stopped: &'a mut bool,
    is_whole: bool,
}

impl<'de> DeserializeSeed<'de> for Users<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.is_whole {
            deserializer.deserialize_any(self)
        } else {
            deserializer.deserialize_seq(self)
        }
    }
}

impl<'de> Visitor<'de> for Users<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of users")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut users: A) -> Result<(), A::Error> {
        loop {
            self.at.begun.set(None);
            self.at.held.set(Some(0));
            let user = users.next_element::<Value>()?;
            self.at.held.set(None);
            let Some(user) = user else {
                return Ok(());
            };
            let record = match user {
                Value::Object(record) => Ok(record),
                _ => Err("is no JSON object".to_owned()),
            };
            let number = self.at.begun.get().unwrap_or(self.at.line.get());
            if !(self.take)(number, record) {
                *self.stopped = true;
                return Err(serde::de::Error::custom("nobody listens"));
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut whole: A) -> Result<(), A::Error> {
        let mut found = false;
        let Self {
            at,
            take,
            stopped,
            is_whole,
        } = self;
        if !is_whole {
            return Err(serde::de::Error::custom("`users` is no array"));
        }
        while let Some(name) = whole.next_key::<String>()? {
            if name == "users" {
                found = true;
                whole.next_value_seed(Users {
                    at,
                    take: &mut *take,
                    stopped: &mut *stopped,
                    is_whole: false,
                })?;
            } else {
                whole.next_value::<IgnoredAny>()?;
            }
        }
        if found {
            return Ok(());
        }
        Err(serde::de::Error::custom("there is no `users` in it"))
    }
}
