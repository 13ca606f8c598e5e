//! Conditions that are part of a statement only when they are asked for, so that the database sees what it can
//! use an index for. Their texts are the program's own; what comes from outside is bound, never written.

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// A value to be bound.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Id(Uuid),
    Text(String),
    Number(i64),
    Moment(DateTime<Utc>),
}

/// A statement in the making, and the values of its placeholders in their order.
#[derive(Debug, Clone)]
pub(super) struct Conditions {
    text: String,
    pub values: Vec<Value>,
}

impl Conditions {
    /// Begins with a statement up to its first condition, such as `SELECT … WHERE tenant_id =`.
    pub fn new(statement: impl Into<String>, value: Value) -> Conditions {
        let mut conditions = Conditions { text: statement.into(), values: Vec::new() };
        conditions.place(value);
        conditions
    }

    /// One more, such as `status =`.
    pub fn and(&mut self, condition: &'static str, value: Value) {
        self.text.push_str(" AND ");
        self.text.push_str(condition);
        self.place(value);
    }

    /// The same, if there is a value.
    pub fn and_if(&mut self, condition: &'static str, value: Option<Value>) {
        if let Some(value) = value {
            self.and(condition, value);
        }
    }

    /// One that has a value of two.
    pub fn and_either(&mut self, column: &'static str, [one, other]: [Value; 2]) {
        self.text.push_str(" AND ");
        self.text.push_str(column);
        self.text.push_str(" IN (");
        self.place(one);
        self.text.push(',');
        self.place(other);
        self.text.push(')');
    }

    /// What follows the conditions.
    pub fn then(&mut self, rest: &'static str) {
        self.text.push(' ');
        self.text.push_str(rest);
    }

    /// `LIMIT`.
    pub fn limit(&mut self, rows: i64) {
        self.text.push_str(" LIMIT");
        self.place(Value::Number(rows));
    }

    /// The statement.
    pub fn sql(&self) -> sqlx::AssertSqlSafe<String> {
        sqlx::AssertSqlSafe(self.text.clone())
    }

    fn place(&mut self, value: Value) {
        self.values.push(value);
        self.text.push_str(&format!(" ${}", self.values.len()));
    }
}

/// A query with the values bound, whichever database it is for.
macro_rules! bound {
    ($query:expr, $values:expr) => {{
        let mut query = $query;
        for value in $values {
            query = match value {
                $crate::store::conditions::Value::Id(id) => query.bind(*id),
                $crate::store::conditions::Value::Text(text) => query.bind(text.as_str()),
                $crate::store::conditions::Value::Number(number) => query.bind(*number),
                $crate::store::conditions::Value::Moment(moment) => query.bind(*moment),
            };
        }
        query
    }};
}

/// All rows of a statement.
macro_rules! fetch {
    ($reach:expr, $row:ty, $conditions:expr) => {{
        let conditions: &$crate::store::conditions::Conditions = &$conditions;
        let reach = &$reach;
        $crate::store::pool::run!($crate::store::pool::Listing(reach), connection => async {
            let query = sqlx::query_as::<_, $row>(conditions.sql());
            $crate::store::conditions::bound!(query, &conditions.values).fetch_all(connection).await
        })
    }};
}

pub(super) use {bound, fetch};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_numbered_as_their_values_come() {
        let mut conditions =
            Conditions::new("SELECT id FROM calls WHERE tenant_id =", Value::Id(Uuid::nil()));
        conditions.and_if("status =", None);
        conditions.and_if("ended_by =", Some(Value::Text("agent".into())));
        conditions.and_either("caller_number", [Value::Text("1".into()), Value::Text("+1".into())]);
        conditions.then("ORDER BY id DESC");
        conditions.limit(3);
        assert_eq!(
            conditions.text,
            "SELECT id FROM calls WHERE tenant_id = $1 AND ended_by = $2 AND caller_number IN ( $3, $4) \
             ORDER BY id DESC LIMIT $5"
        );
        assert_eq!(conditions.values.len(), 5);
    }
}
