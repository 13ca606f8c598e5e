//! Statements with optional conditions: the text contains only the conditions in use, so that the database can
//! choose its index by them. Texts are the program's own; values are always bound.

use uuid::Uuid;

use super::statement::{Statement, Value, composed};

/// A statement under construction.
#[derive(Debug, Clone)]
pub(super) struct Conditions {
    text: String,
    values: Vec<Value>,
}

impl Conditions {
    /// Begins with a statement up to its first condition, such as `SELECT … WHERE tenant_id =`.
    pub fn new(statement: impl Into<String>, value: impl Into<Value>) -> Conditions {
        let mut conditions = Conditions { text: statement.into(), values: Vec::new() };
        conditions.place(value.into());
        conditions
    }

    /// Adds a condition, such as `status =`.
    pub fn and(&mut self, condition: &'static str, value: impl Into<Value>) {
        self.text.push_str(" AND ");
        self.text.push_str(condition);
        self.place(value.into());
    }

    /// Adds a condition if there is a value.
    pub fn and_if(&mut self, condition: &'static str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.and(condition, value);
        }
    }

    /// Adds a condition that is met by either of two values.
    pub fn and_either(&mut self, column: &'static str, [one, other]: [Value; 2]) {
        self.text.push_str(" AND ");
        self.text.push_str(column);
        self.text.push_str(" IN (");
        self.place(one);
        self.text.push(',');
        self.place(other);
        self.text.push(')');
    }

    /// Adds the condition that the analysis of the row's call has a result with this name and value.
    pub fn and_label(&mut self, tenant: Option<Uuid>, name: impl Into<Value>, value: impl Into<Value>) {
        self.and("id IN (SELECT call_id FROM analysis_labels WHERE name =", name);
        self.and("value =", value);
        self.and_if("tenant_id =", tenant);
        self.text.push(')');
    }

    /// Adds the condition that the caller gave the row's call this rating.
    pub fn and_callers_rating(&mut self, tenant: Option<Uuid>, rating: u8) {
        self.and(
            "id IN (SELECT call_id FROM call_feedback WHERE source = 'caller' AND rating =",
            i64::from(rating),
        );
        self.and_if("tenant_id =", tenant);
        self.text.push(')');
    }

    /// Adds the text that follows the conditions.
    pub fn then(&mut self, rest: &'static str) {
        self.text.push(' ');
        self.text.push_str(rest);
    }

    /// Adds `LIMIT`.
    pub fn limit(&mut self, rows: i64) {
        self.text.push_str(" LIMIT");
        self.place(rows.into());
    }

    /// The finished statement.
    pub fn statement(self) -> Statement {
        composed(self.text).bind_all(self.values)
    }

    fn place(&mut self, value: Value) {
        self.values.push(value);
        self.text.push_str(&format!(" ${}", self.values.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_numbered_in_the_order_of_their_values() {
        let mut conditions = Conditions::new("SELECT id FROM calls WHERE tenant_id =", Uuid::nil());
        conditions.and_if("status =", None::<&str>);
        conditions.and_if("ended_by =", Some("agent"));
        conditions.and_either("caller_number", ["1".into(), "+1".into()]);
        conditions.then("ORDER BY id DESC");
        conditions.limit(3);
        let expected = composed(
            "SELECT id FROM calls WHERE tenant_id = $1 AND ended_by = $2 AND caller_number IN ( $3, $4) \
             ORDER BY id DESC LIMIT $5"
                .to_owned(),
        );
        let values = [Value::from(Uuid::nil()), "agent".into(), "1".into(), "+1".into(), 3.into()];
        assert_eq!(conditions.statement(), expected.bind_all(values));
    }
}
