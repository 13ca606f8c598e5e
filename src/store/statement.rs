//! Statements and the values of their placeholders, the same for both databases.

use chrono::{DateTime, SubsecRound, Utc};
use sqlx::{Arguments, AssertSqlSafe, Database, Encode, SqlSafeStr, SqlStr, Type};
use uuid::Uuid;

/// A value of a placeholder. An absent one keeps its type, which PostgreSQL needs to know.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Id(Option<Uuid>),
    Text(Option<String>),
    Integer(Option<i64>),
    Flag(Option<bool>),
    Time(Option<DateTime<Utc>>),
    Bytes(Option<Vec<u8>>),
}

/// SQL and the values of `$1`, `$2` and so on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Statement {
    text: Text,
    values: Vec<Value>,
}

#[derive(Debug, Clone, PartialEq)]
enum Text {
    Fixed(&'static str),
    Composed(String),
}

/// A statement with a fixed text.
pub(super) fn sql(text: &'static str) -> Statement {
    Statement { text: Text::Fixed(text), values: Vec::new() }
}

/// A statement composed of the program's own texts. Never add outside data to the text: bind it.
pub(super) fn composed(text: String) -> Statement {
    Statement { text: Text::Composed(text), values: Vec::new() }
}

/// The most placeholders of one statement. SQLite takes 32,766 and PostgreSQL 65,535; a statement of this size is parsed
/// quickly and its values are spread over several statements without a noticeable cost.
const MOST_PLACEHOLDERS: usize = 900;

/// Statements that write rows: `before ($1, $2), ($3, $4) after`. All rows have the same length.
pub(super) fn rows(before: &str, rows: Vec<Vec<Value>>, after: &str) -> Vec<Statement> {
    let width = rows.first().map_or(1, Vec::len).max(1);
    in_chunks(rows, MOST_PLACEHOLDERS / width, |rows| {
        let mut numbers = 1..;
        let row = |row: &Vec<Value>| format!("({})", placeholders(numbers.by_ref().take(row.len())));
        let list = rows.iter().map(row).collect::<Vec<_>>().join(", ");
        composed(format!("{before} {list} {after}")).bind_all(rows.into_iter().flatten())
    })
}

/// Statements about any of several values: `before ($1, $2) after`.
pub(super) fn any_of(before: &str, values: Vec<Value>, after: &str) -> Vec<Statement> {
    in_chunks(values, MOST_PLACEHOLDERS, |values| {
        let list = placeholders(1..=values.len());
        composed(format!("{before} ({list}) {after}")).bind_all(values)
    })
}

fn in_chunks<T>(mut items: Vec<T>, size: usize, statement: impl Fn(Vec<T>) -> Statement) -> Vec<Statement> {
    let mut statements = Vec::new();
    while !items.is_empty() {
        let rest = items.split_off(size.min(items.len()));
        statements.push(statement(items));
        items = rest;
    }
    statements
}

fn placeholders(numbers: impl Iterator<Item = usize>) -> String {
    numbers.map(|number| format!("${number}")).collect::<Vec<_>>().join(", ")
}

impl Statement {
    /// Gives the next placeholder its value.
    pub fn bind(mut self, value: impl Into<Value>) -> Statement {
        self.values.push(value.into());
        self
    }

    /// Gives the next placeholders their values, in order.
    pub fn bind_all(mut self, values: impl IntoIterator<Item = Value>) -> Statement {
        self.values.extend(values);
        self
    }

    /// The text and the values, as a driver takes them.
    pub(super) fn arguments<DB: Database>(self) -> Result<(SqlStr, DB::Arguments), sqlx::Error>
    where
        Option<Uuid>: for<'q> Encode<'q, DB> + Type<DB>,
        Option<String>: for<'q> Encode<'q, DB> + Type<DB>,
        Option<i64>: for<'q> Encode<'q, DB> + Type<DB>,
        Option<bool>: for<'q> Encode<'q, DB> + Type<DB>,
        Option<DateTime<Utc>>: for<'q> Encode<'q, DB> + Type<DB>,
        Option<Vec<u8>>: for<'q> Encode<'q, DB> + Type<DB>,
    {
        let text = match self.text {
            Text::Fixed(text) => text.into_sql_str(),
            Text::Composed(text) => AssertSqlSafe(text).into_sql_str(),
        };
        let mut arguments = DB::Arguments::default();
        let added = self.values.into_iter().try_for_each(|value| match value {
            Value::Id(id) => arguments.add(id),
            Value::Text(text) => arguments.add(text),
            Value::Integer(number) => arguments.add(number),
            Value::Flag(flag) => arguments.add(flag),
            Value::Time(time) => arguments.add(time),
            Value::Bytes(bytes) => arguments.add(bytes),
        });
        added.map_err(sqlx::Error::Encode)?;
        Ok((text, arguments))
    }
}

impl From<Uuid> for Value {
    fn from(id: Uuid) -> Value {
        Value::Id(Some(id))
    }
}

impl From<Option<Uuid>> for Value {
    fn from(id: Option<Uuid>) -> Value {
        Value::Id(id)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(Some(text.to_owned()))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(Some(text))
    }
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Value {
        Value::Text(text.map(str::to_owned))
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Value {
        Value::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Integer(Some(number))
    }
}

impl From<Option<i64>> for Value {
    fn from(number: Option<i64>) -> Value {
        Value::Integer(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Value {
        Value::Flag(Some(flag))
    }
}

impl From<Option<bool>> for Value {
    fn from(flag: Option<bool>) -> Value {
        Value::Flag(flag)
    }
}

impl From<DateTime<Utc>> for Value {
    fn from(time: DateTime<Utc>) -> Value {
        Value::from(Some(time))
    }
}

/// Cut to microseconds, as precisely as PostgreSQL keeps a time, so that both databases return the same value.
impl From<Option<DateTime<Utc>>> for Value {
    fn from(time: Option<DateTime<Utc>>) -> Value {
        Value::Time(time.map(|time| time.trunc_subsecs(6)))
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Value {
        Value::Bytes(Some(bytes.to_owned()))
    }
}

impl From<Option<Vec<u8>>> for Value {
    fn from(bytes: Option<Vec<u8>>) -> Value {
        Value::Bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_numbered_through_and_split_by_their_placeholders() {
        let row = |n: i64| vec![Value::from(n), Value::from("x")];
        let two = composed("INSERT INTO t VALUES ($1, $2), ($3, $4) RETURNING a".to_owned());
        let two = two.bind_all([row(1), row(2)].concat());
        assert_eq!(rows("INSERT INTO t VALUES", vec![row(1), row(2)], "RETURNING a"), [two]);
        let many = rows("INSERT INTO t VALUES", (0..1_000).map(row).collect(), "");
        assert_eq!(many.iter().map(|it| it.values.len()).collect::<Vec<_>>(), [900, 900, 200]);
        assert_eq!(rows("INSERT INTO t VALUES", Vec::new(), ""), []);
        let any = any_of("DELETE FROM t WHERE a IN", vec![1.into(), 2.into()], "AND b");
        let one = composed("DELETE FROM t WHERE a IN ($1, $2) AND b".to_owned());
        assert_eq!(any, [one.bind_all([1.into(), 2.into()])]);
    }
}
