//! Tool calls that a model spells out in its text, because its server does not parse them.
//!
//! Most models write JSON with a name and arguments, in tags or brackets of their own. Some write the name alone.

use serde_json::{Map, Value};

use super::tool_calls::{MOST_CALLS, new_id, offered_name};
use super::{ToolCall, ToolSpec};

/// Fields with the arguments of a call, as models name them.
const ARGUMENTS: [&str; 4] = ["arguments", "parameters", "input", "args"];

/// The calls of offered tools in a text, the first [`MOST_CALLS`]. Of a text that was cut off, only those with whole arguments.
pub fn calls(text: &str, offered: &[ToolSpec], is_cut_off: bool) -> Vec<ToolCall> {
    let mut calls = in_json(text, offered);
    let is_unfinished = is_cut_off && (text.contains('{') || text.contains("<parameter="));
    if calls.is_empty() && !is_unfinished {
        calls = by_name(text, offered);
    }
    calls.truncate(MOST_CALLS);
    calls
}

/// Beginnings of a call by name. A name of several words is a call wherever it occurs; one that is a word of the language
/// only within marks.
pub fn marks(names: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<String> {
    let marks = |name: &str| match name.contains('_') {
        true => ["[", "(", "<", "*", "`", ""].map(|mark| format!("{mark}{name}")).to_vec(),
        false => vec![format!("[{name}]"), format!("<{name}>"), format!("{name}(")],
    };
    names.into_iter().flat_map(|name| marks(name.as_ref())).collect()
}

fn in_json(text: &str, offered: &[ToolSpec]) -> Vec<ToolCall> {
    let mut calls = Vec::new();
    let mut from = 0;
    while let Some(at) = text[from..].find('{') {
        let start = from + at;
        let mut values = serde_json::Deserializer::from_str(&text[start..]).into_iter::<Value>();
        let call = values.next().and_then(Result::ok).and_then(|value| json_call(&value, offered));
        // An object that is no call may contain one.
        from = start + if call.is_some() { values.byte_offset() } else { 1 };
        calls.extend(call);
    }
    calls
}

fn json_call(value: &Value, offered: &[ToolSpec]) -> Option<ToolCall> {
    let function = Some(&value["function"]).filter(|it| it.is_object()).unwrap_or(value);
    let names = [&function["name"], &value["function"], &value["tool"]];
    let name = offered_name(offered, names.into_iter().find_map(Value::as_str)?)?;
    let arguments = ARGUMENTS.iter().find_map(|field| function.get(field));
    let arguments = match arguments {
        Some(Value::String(text)) => text.clone(),
        Some(arguments @ Value::Object(_)) => arguments.to_string(),
        _ => "{}".to_owned(),
    };
    Some(ToolCall { id: new_id(), name, arguments: arguments.into() })
}

/// Each tool once that the text names, in the order of their names in it.
fn by_name(text: &str, offered: &[ToolSpec]) -> Vec<ToolCall> {
    let mut found: Vec<(usize, &ToolSpec)> =
        offered.iter().filter_map(|tool| Some((place(text, &tool.name)?, tool))).collect();
    found.sort_by_key(|(at, _)| *at);
    let ends = found.iter().skip(1).map(|(at, _)| *at).chain([text.len()]);
    let call = |((at, tool), end): (&(usize, &ToolSpec), usize)| ToolCall {
        id: new_id(),
        name: tool.name.clone(),
        arguments: arguments(&text[at + tool.name.len()..end.max(at + tool.name.len())]).into(),
    };
    found.iter().zip(ends).map(call).collect()
}

/// The place of a whole word.
fn place(text: &str, word: &str) -> Option<usize> {
    let is_inner = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    text.match_indices(word)
        .map(|(at, _)| at)
        .find(|at| !text[..*at].ends_with(is_inner) && !text[at + word.len()..].starts_with(is_inner))
}

/// The arguments after the name of a tool: a JSON object, or Qwen's tags (`<parameter=city>Wien</parameter>`), or none.
fn arguments(text: &str) -> String {
    let object = text.find('{').and_then(|at| {
        let mut values = serde_json::Deserializer::from_str(&text[at..]).into_iter::<Map<String, Value>>();
        values.next()?.ok()
    });
    let tags = || {
        let tags = text.split("<parameter=").skip(1).filter_map(|tag| {
            let (name, value) = tag.split_once('>')?;
            let value = value.split("</parameter>").next()?.trim();
            Some((name.trim().to_owned(), serde_json::from_str(value).unwrap_or_else(|_| value.into())))
        });
        tags.collect()
    };
    Value::Object(object.unwrap_or_else(tags)).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn offered() -> Vec<ToolSpec> {
        let tool = |name: &str| ToolSpec { name: name.into(), ..ToolSpec::end_call() };
        ["end_call", "transfer"].map(tool).into()
    }

    fn shown(text: &str) -> Vec<String> {
        calls(text, &offered(), false).iter().map(|it| format!("{}{}", it.name, it.arguments)).collect()
    }

    #[test]
    fn the_spellings_of_models_are_read() {
        for (text, expected) in [
            (
                "<tool_call>{\"name\": \"transfer\", \"arguments\": {\"to\": 7}}</tool_call>",
                "transfer{\"to\":7}",
            ),
            ("[TOOL_CALLS][{\"name\":\"transfer\",\"arguments\":{\"to\":7}}]", "transfer{\"to\":7}"),
            ("<|python_tag|>{\"name\": \"transfer\", \"parameters\": {\"to\": 7}}", "transfer{\"to\":7}"),
            (
                "{\"type\": \"function\", \"function\": {\"name\": \"transfer\", \"arguments\": \"{}\"}}",
                "transfer{}",
            ),
            ("{\"tool_calls\": [{\"name\": \"end_call\"}]}", "end_call{}"),
            ("<function=transfer>{\"to\": 7}</function>", "transfer{\"to\":7}"),
            (
                "<function=transfer>\n<parameter=to>\nSales\n</parameter>\n</function>",
                "transfer{\"to\":\"Sales\"}",
            ),
            ("<｜tool▁sep｜>transfer\n```json\n{\"to\": 7}\n```", "transfer{\"to\":7}"),
            ("[end_call]", "end_call{}"),
            ("end_call()", "end_call{}"),
            ("{\"name\": \"end_call\", \"argum", "end_call{}"),
        ] {
            assert_eq!(shown(text), [expected], "{text}");
        }
    }

    #[test]
    fn several_calls_are_read_in_order() {
        let two = "<tool_call>{\"name\": \"transfer\"}</tool_call>\n<tool_call>{\"name\": \"end_call\"}</tool_call>";
        assert_eq!(shown(two), ["transfer{}", "end_call{}"]);
        assert_eq!(calls(&"{\"name\": \"end_call\"}".repeat(40), &offered(), false).len(), MOST_CALLS);
    }

    #[test]
    fn only_offered_tools_are_called() {
        assert!(shown("{\"name\": \"fly\", \"arguments\": {}}").is_empty());
        assert!(shown("no_end_call_here transferred").is_empty());
        assert!(calls("[end_call]", &[], false).is_empty());
    }

    #[test]
    fn a_call_that_was_cut_off_is_left_out() {
        for (text, count) in [
            ("{\"name\": \"transfer\", \"argum", 0),
            ("<function=transfer>{\"to\": ", 0),
            ("<function=transfer>\n<parameter=to>\nSa", 0),
            ("{\"name\": \"transfer\", \"arguments\": {\"to\": 7}} and {", 1),
            ("[end_call] Good", 1),
        ] {
            assert_eq!(calls(text, &offered(), true).len(), count, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(
            text in "(end_call|transfer|\\{|\\}|\"name\"|:|<parameter=|>|ä|[a-z]| ){0,20}", is_cut_off: bool,
        ) {
            calls(&text, &offered(), is_cut_off);
        }
    }
}
