//! One value of a row, between the database and JSON.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::tables::Kind;

/// A value to be written, or the absence of one of that kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    Id(Option<Uuid>),
    Text(Option<String>),
    Count(Option<i64>),
    Flag(Option<bool>),
    Moment(Option<DateTime<Utc>>),
}

impl Cell {
    /// Reads a value of a document; `None` when it is not of that kind.
    pub fn of_json(kind: Kind, value: &Value) -> Option<Cell> {
        let absent = value.is_null();
        let given = |read: bool| read || absent;
        Some(match kind {
            Kind::Id => {
                let id = value.as_str().and_then(|text| text.parse().ok());
                given(id.is_some()).then_some(Cell::Id(id))?
            }
            Kind::Text | Kind::Secret => {
                given(value.is_string()).then(|| Cell::Text(value.as_str().map(str::to_owned)))?
            }
            Kind::Json => Cell::Text((!absent).then(|| value.to_string())),
            Kind::Count => given(value.is_i64()).then(|| Cell::Count(value.as_i64()))?,
            Kind::Flag => given(value.is_boolean()).then(|| Cell::Flag(value.as_bool()))?,
            Kind::Moment => {
                let moment = value.as_str().and_then(|text| text.parse().ok());
                given(moment.is_some()).then_some(Cell::Moment(moment))?
            }
        })
    }
}

/// A row of either database as a JSON object.
macro_rules! read_cells {
    ($row:expr, $table:expr) => {{
        let mut object = serde_json::Map::new();
        for (at, (name, kind)) in $table.travelling().enumerate() {
            let value = match kind {
                $crate::store::transfer::tables::Kind::Id => {
                    serde_json::json!(sqlx::Row::try_get::<Option<uuid::Uuid>, usize>($row, at)?)
                }
                $crate::store::transfer::tables::Kind::Text
                | $crate::store::transfer::tables::Kind::Secret => {
                    serde_json::json!(sqlx::Row::try_get::<Option<String>, usize>($row, at)?)
                }
                $crate::store::transfer::tables::Kind::Json => {
                    let text = sqlx::Row::try_get::<Option<String>, usize>($row, at)?;
                    let read = |text: String| {
                        serde_json::from_str(&text).map_err(|error| sqlx::Error::Decode(error.into()))
                    };
                    text.map(read).transpose()?.unwrap_or(serde_json::Value::Null)
                }
                $crate::store::transfer::tables::Kind::Count => {
                    serde_json::json!(sqlx::Row::try_get::<Option<i64>, usize>($row, at)?)
                }
                $crate::store::transfer::tables::Kind::Flag => {
                    serde_json::json!(sqlx::Row::try_get::<Option<bool>, usize>($row, at)?)
                }
                $crate::store::transfer::tables::Kind::Moment => {
                    serde_json::json!(sqlx::Row::try_get::<Option<chrono::DateTime<chrono::Utc>>, usize>(
                        $row, at
                    )?)
                }
            };
            object.insert(name.to_owned(), value);
        }
        Ok(object)
    }};
}

/// Binds a row's cells to a statement of either database.
macro_rules! bind_cells {
    ($query:expr, $cells:expr) => {{
        let mut query = $query;
        for cell in $cells {
            query = match cell {
                $crate::store::transfer::cell::Cell::Id(value) => query.bind(*value),
                $crate::store::transfer::cell::Cell::Text(value) => query.bind(value.as_deref()),
                $crate::store::transfer::cell::Cell::Count(value) => query.bind(*value),
                $crate::store::transfer::cell::Cell::Flag(value) => query.bind(*value),
                $crate::store::transfer::cell::Cell::Moment(value) => query.bind(*value),
            };
        }
        query
    }};
}

pub(super) use {bind_cells, read_cells};
