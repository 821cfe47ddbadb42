//! What stands inside the envelope: lines of JSON.
//!
//! The first line says what follows, then comes a line for each row, table after table, and the last line says how
//! many there were. A row is an array of its columns; bytes are `{"u": …}` where they read as a UUID and `{"b": …}` in
//! base64 otherwise, so that the same row is the same line whichever engine it comes from.

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use uuid::Uuid;

use crate::base::store::{ColumnKind, Table, Value};

/// The first line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Head {
    /// The version of the form; its presence says what the file is.
    pub(super) tokenhouse_export: u64,
    /// Of this export alone: whoever goes on with an import knows by it that it is the same.
    pub(super) id: Uuid,
    pub(super) made_at: jiff::Timestamp,
    pub(super) made_by: String,
    pub(super) migrations: Vec<String>,
    pub(super) tables: Vec<Heading>,
}

/// What is said of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Heading {
    pub(super) name: String,
    pub(super) columns: Vec<String>,
    pub(super) rows: u64,
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct End {
    pub(super) rows: u64,
}

/// A row as a line; nothing where a value is not of its column's kind.
pub(super) fn write(table: &Table, row: &[Value], line: &mut Vec<u8>) -> Option<()> {
    let cells: Option<Vec<Json>> = table
        .columns
        .iter()
        .zip(row)
        .map(|(column, value)| cell(column.kind, value))
        .collect();
    serde_json::to_writer(&mut *line, &cells?).ok()?;
    line.push(b'\n');
    Some(())
}

fn cell(kind: ColumnKind, value: &Value) -> Option<Json> {
    Some(match (kind, value) {
        (_, Value::Null) => Json::Null,
        (ColumnKind::Bool, Value::Bool(value)) => Json::Bool(*value),
        (ColumnKind::Bool, Value::Integer(value @ (0 | 1))) => Json::Bool(*value == 1),
        (ColumnKind::Integer, Value::Integer(value)) => Json::from(*value),
        (ColumnKind::Text, Value::Text(text)) => Json::from(text.as_str()),
        (ColumnKind::Bytes, Value::Bytes(bytes)) => octets(bytes),
        (ColumnKind::Bytes, Value::Uuid(id)) => octets(id.as_bytes()),
        _ => return None,
    })
}

fn octets(bytes: &[u8]) -> Json {
    match Uuid::from_slice(bytes) {
        Ok(id) if id.get_variant() == uuid::Variant::RFC4122 && id.get_version().is_some() => {
            serde_json::json!({ "u": id })
        }
        _ => serde_json::json!({ "b": BASE64.encode(bytes) }),
    }
}

/// A line as a row; nothing where it is none of this table.
pub(super) fn read(table: &Table, line: &[u8]) -> Option<Vec<Value>> {
    let cells: Vec<Json> = serde_json::from_slice(line).ok()?;
    if cells.len() != table.columns.len() {
        return None;
    }
    let values = table.columns.iter().zip(cells);
    values.map(|(column, cell)| value(column.kind, cell)).collect()
}

fn value(kind: ColumnKind, cell: Json) -> Option<Value> {
    Some(match (kind, cell) {
        (_, Json::Null) => Value::Null,
        (ColumnKind::Bool, Json::Bool(value)) => Value::Bool(value),
        (ColumnKind::Integer, Json::Number(value)) => Value::Integer(value.as_i64()?),
        (ColumnKind::Text, Json::String(text)) => Value::Text(text),
        (ColumnKind::Bytes, Json::Object(octets)) => {
            let mut octets = octets.into_iter();
            let bytes = match (octets.next(), octets.next()) {
                (Some((form, Json::String(text))), None) => match form.as_str() {
                    "u" => text.parse::<Uuid>().ok()?.as_bytes().to_vec(),
                    "b" => BASE64.decode(text.as_bytes()).ok()?,
                    _ => return None,
                },
                _ => return None,
            };
            // PostgreSQL wants to know which it is, and takes an id for bytes too.
            Uuid::from_slice(&bytes).map_or(Value::Bytes(bytes), Value::Uuid)
        }
        _ => return None,
    })
}
