//! The reply of a model: its text within a limit, and the JSON object in it.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::Value;
use tokio::time::timeout;

use super::asking::AskError;
use crate::engines::core::usage::Meter;
use crate::engines::llm::{Delta, Llm, Prompt};

/// The most bytes of a reply. More are no answer to any questions.
const LONGEST: usize = 32 << 10;
/// How long the count of tokens is waited for after the end of a reply.
const LAST_COUNT: Duration = Duration::from_secs(2);
/// The most places at which an object is looked for.
const MOST_PLACES: usize = 20;

/// The whole text of a reply. Usage that the server reports after the end is waited for.
///
/// # Errors
/// The engine's; a reply that is too long, or that the server withheld.
pub async fn text(llm: &dyn Llm, prompt: Prompt, meter: Meter) -> Result<String, AskError> {
    let mut deltas = llm.reply(prompt, meter).await?;
    let mut text = String::new();
    while let Some(delta) = deltas.next().await {
        match delta? {
            Delta::Text(piece) => text.push_str(&piece),
            Delta::Declined => return Err(AskError::Refused("the server withheld the reply".to_owned())),
            Delta::ToolCall(_) | Delta::Writing => {}
            Delta::End => {
                // The server counts its tokens after the end.
                let rest = timeout(LAST_COUNT, async { while deltas.next().await.is_some() {} });
                rest.await.unwrap_or_default();
                break;
            }
        }
        if text.len() > LONGEST {
            return Err(AskError::Refused(format!("the reply is longer than {LONGEST} bytes")));
        }
    }
    Ok(text)
}

/// The first JSON object in a text, which may have prose or a code fence around it.
pub fn object(text: &str) -> Option<Value> {
    let places = text.match_indices('{').map(|(at, _)| at).take(MOST_PLACES);
    places
        .filter_map(|at| serde_json::Deserializer::from_str(&text[at..]).into_iter::<Value>().next()?.ok())
        .next()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_is_found_in_prose_and_fences() {
        for text in [
            r#"{"a": 1}"#,
            "Here is the analysis:\n```json\n{\"a\": 1}\n```\nDone {really}.",
            "The set {x} is: {\"a\": 1} {\"a\": 2}",
        ] {
            assert_eq!(object(text), Some(json!({ "a": 1 })), "{text}");
        }
        for text in ["", "No.", "[1]", r#"{"a": 1"#, "{a: 1}"] {
            assert_eq!(object(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "[{}\\[\\]\":,a1 \\\\]{0,80}") {
            if let Some(found) = object(&text) {
                prop_assert!(found.is_object());
            }
        }
    }
}
