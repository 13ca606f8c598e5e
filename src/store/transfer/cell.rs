//! One value of a row, between the database and JSON.

use chrono::{DateTime, Datelike, Utc};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::tables::Kind;
use crate::store::StoreError;
use crate::store::statement::Value;
use crate::store::tx::AnyRow;

/// The largest count that is read. Sums of some thousands of them stay within 64 bits.
const MOST: i64 = 1_000_000_000_000_000;

/// Reads a value of a document. The program can read every accepted value later.
///
/// # Errors
/// The problem of the value.
pub fn from_json(kind: Kind, json: &Json) -> Result<Value, String> {
    if json.is_null() {
        return Ok(absent(kind));
    }
    match kind {
        Kind::Id => {
            let id = json.as_str().and_then(|text| text.parse::<Uuid>().ok());
            id.map(Value::from).ok_or_else(|| "this is not a UUID".to_owned())
        }
        Kind::Text | Kind::Secret => text(json).map(Value::from),
        Kind::Word(check) => {
            let text = text(json)?;
            check(text)?;
            Ok(Value::from(text))
        }
        Kind::Json(check) => {
            check(json)?;
            Ok(Value::from(json.to_string()))
        }
        Kind::Count => count(json, MOST).map(Value::from),
        Kind::UpTo(most) => count(json, most).map(Value::from),
        Kind::Flag => {
            json.as_bool().map(Value::from).ok_or_else(|| "this is neither true nor false".to_owned())
        }
        Kind::Moment => moment(json).map(Value::from),
    }
}

/// The value of a column as JSON.
pub fn to_json(kind: Kind, row: &AnyRow, column: usize) -> Result<Json, StoreError> {
    Ok(match kind {
        Kind::Id => json!(row.get::<Option<Uuid>>(column)?),
        Kind::Text | Kind::Secret | Kind::Word(_) => json!(row.get::<Option<String>>(column)?),
        Kind::Json(_) => {
            let text = row.get::<Option<String>>(column)?;
            let json = text.map(|text| serde_json::from_str(&text)).transpose();
            json.map_err(StoreError::corrupt)?.unwrap_or(Json::Null)
        }
        Kind::Count | Kind::UpTo(_) => json!(row.get::<Option<i64>>(column)?),
        Kind::Flag => json!(row.get::<Option<bool>>(column)?),
        Kind::Moment => json!(row.get::<Option<DateTime<Utc>>>(column)?),
    })
}

/// No value, of the type that PostgreSQL needs to know.
fn absent(kind: Kind) -> Value {
    match kind {
        Kind::Id => Value::Id(None),
        Kind::Text | Kind::Secret | Kind::Word(_) | Kind::Json(_) => Value::Text(None),
        Kind::Count | Kind::UpTo(_) => Value::Integer(None),
        Kind::Flag => Value::Flag(None),
        Kind::Moment => Value::Time(None),
    }
}

/// PostgreSQL keeps no NUL in a text.
fn text(json: &Json) -> Result<&str, String> {
    let text = json.as_str().ok_or("this is not a text")?;
    if text.contains('\0') { Err("a NUL character cannot be kept".to_owned()) } else { Ok(text) }
}

fn count(json: &Json, most: i64) -> Result<i64, String> {
    let count = json.as_i64().filter(|count| (0..=most).contains(count));
    count.ok_or_else(|| format!("this is not a whole number from 0 to {most}"))
}

/// Both databases keep and order the years that are written with four digits.
fn moment(json: &Json) -> Result<DateTime<Utc>, String> {
    let moment = json.as_str().and_then(|text| text.parse::<DateTime<Utc>>().ok());
    let moment = moment.filter(|moment| (1970..=9999).contains(&moment.year()));
    moment.ok_or_else(|| "this is not a time from 1970 to 9999, such as 2026-11-01T09:00:00Z".to_owned())
}
