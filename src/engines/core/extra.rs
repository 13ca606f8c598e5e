//! Fields of a vendor's request that vca has no setting for.

use serde::Deserialize;
use serde_json::{Map, Value};

/// Further fields of a request's body, from the configuration. They replace fields of the same name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Extra(Map<String, Value>);

impl Extra {
    /// Adds the fields to a body, which is an object.
    pub fn merge_into(&self, body: &mut Value) {
        if let Value::Object(fields) = body {
            fields.extend(self.0.clone());
        }
    }

    /// The names of the fields.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The fields as a form has them: a list is one field for each item, under the name with `[]` behind it, as OpenAI's
    /// clients write it.
    pub fn form_fields(&self) -> Vec<(String, String)> {
        self.texts(|name| format!("{name}[]"))
    }

    /// The fields as a query has them: a list is one parameter for each item, all of the same name.
    pub fn query_fields(&self) -> Vec<(String, String)> {
        self.texts(str::to_owned)
    }

    fn texts(&self, name_of_item: impl Fn(&str) -> String) -> Vec<(String, String)> {
        let fields = self.0.iter().flat_map(|(name, value)| match value {
            Value::Array(items) => items.iter().map(|item| (name_of_item(name), form_text(item))).collect(),
            other => vec![(name.clone(), form_text(other))],
        });
        fields.collect()
    }
}

fn form_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn extra(toml: &str) -> Extra {
        toml::from_str(toml).expect("fields")
    }

    #[test]
    fn fields_are_added_and_replaced() {
        let mut body = json!({ "model": "m", "speed": 1 });
        extra("speed = 1.5\nchat_template_kwargs = { enable_thinking = false }").merge_into(&mut body);
        let expected =
            json!({ "model": "m", "speed": 1.5, "chat_template_kwargs": { "enable_thinking": false } });
        assert_eq!(body, expected);
    }

    #[test]
    fn a_form_has_texts_and_repeated_fields() {
        let fields = extra("temperature = 0.0\nkeywords = [\"Ada\", \"Zoë\"]\nprompt = \"a b\"\nvad = true")
            .form_fields();
        let expected = [
            ("keywords[]", "Ada"),
            ("keywords[]", "Zoë"),
            ("prompt", "a b"),
            ("temperature", "0.0"),
            ("vad", "true"),
        ];
        let expected: Vec<_> = expected.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
        assert_eq!(fields, expected);
    }
}
