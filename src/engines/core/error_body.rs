//! The body of an error as vendors write it: its message, its reason, and the parameter that it refuses.

use reqwest::StatusCode;

use super::{EngineError, FailureReason};

/// How much of a message is repeated, in characters.
pub const LONGEST: usize = 200;
/// Words of servers for a parameter that they do not have.
const UNSUPPORTED: [&str; 5] = ["unsupported", "not supported", "unrecognized", "unknown", "not permitted"];
/// Words of servers that have no tools: vLLM without its tool parser, llama.cpp without `--jinja` (status 500), Ollama and Groq
/// by model, OpenRouter (status 404).
const NO_TOOLS: [&str; 5] = [
    "--enable-auto-tool-choice",
    "tools param requires --jinja",
    "does not support tools",
    "tool calling` is not supported",
    "support tool use",
];

/// Words of chat templates that have no system prompt, as that of Gemma 2 (in vLLM status 400, in llama.cpp 500).
const NO_SYSTEM: [&str; 2] = ["system role not supported", "system role is not supported"];

/// The vendor's own words in an error's body, cut short.
pub fn message(body: &[u8]) -> String {
    ErrorBody::read(body).message
}

/// An error within a stream, which has no status.
pub fn in_stream(body: &[u8]) -> EngineError {
    let error = ErrorBody::read(body);
    let is_busy =
        ["rate_limit_exceeded", "rate_limit_error", "overloaded_error"].iter().any(|code| error.has(code));
    match error.reason(StatusCode::INTERNAL_SERVER_ERROR) {
        _ if is_busy => EngineError::RateLimited(error.message),
        reason @ (FailureReason::Quota | FailureReason::Model) => EngineError::refused(reason, error.message),
        _ => EngineError::Temporary(error.message),
    }
}

/// The error in a body, as OpenAI and servers with its API write it: `{"error": {"message", "type", "param", "code"}}`, or
/// as ElevenLabs (`{"detail": {"status", "message"}}`), as FastAPI (`{"detail": [{"msg"}]}`), as Deepgram
/// (`{"err_code", "err_msg"}`), or as plain text.
pub struct ErrorBody {
    message: String,
    /// `code`, `type`, `status` and `err_code`, those that there are.
    codes: Vec<String>,
    parameter: Option<String>,
}

impl ErrorBody {
    pub fn read(body: &[u8]) -> ErrorBody {
        let json: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        let error = ["error", "detail"].iter().find_map(|key| json.get(key)).unwrap_or(&json);
        let error = error.get(0).unwrap_or(error);
        let field = |name: &str| error.get(name).and_then(serde_json::Value::as_str);
        let text = ["message", "msg", "err_msg"].iter().find_map(|name| field(name)).or(error.as_str());
        let text = text.map(str::to_owned);
        let text = text.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        ErrorBody {
            message: words.chars().take(LONGEST).collect(),
            codes: ["code", "type", "status", "err_code"]
                .iter()
                .filter_map(|name| field(name))
                .map(str::to_owned)
                .collect(),
            parameter: field("param").map(str::to_owned),
        }
    }

    pub fn message(&self) -> &str {
        &self.message
    }

    fn has(&self, code: &str) -> bool {
        self.codes.iter().any(|it| it == code)
    }

    pub fn reason(&self, status: StatusCode) -> FailureReason {
        // Anthropic refuses for want of credit with status 400 and no code of its own.
        let is_quota =
            ["insufficient_quota", "quota_exceeded", "billing_error"].iter().any(|code| self.has(code))
                || self.message.contains("credit balance is too low");
        match status.as_u16() {
            _ if is_quota => FailureReason::Quota,
            _ if self.has("model_not_found") => FailureReason::Model,
            402 => FailureReason::Quota,
            401 | 403 => FailureReason::Auth,
            404 if self.message.to_lowercase().contains("model") => FailureReason::Model,
            // 529: overloaded, at Anthropic.
            429 | 529 => FailureReason::Busy,
            408 | 504 => FailureReason::Timeout,
            500.. => FailureReason::Unavailable,
            _ => FailureReason::Refused,
        }
    }

    /// The parameter that the server does not support: by its name, or in quotes in the message; or `tools`, or `system` for
    /// a system prompt, where the message is one that servers without them are known to send.
    pub fn unsupported_parameter(&self, status: StatusCode) -> Option<String> {
        let text = self.message.to_lowercase();
        let known = NO_TOOLS
            .map(|words| (words, "tools"))
            .into_iter()
            .chain(NO_SYSTEM.map(|words| (words, "system")));
        let mut known = known.filter(|(words, _)| text.contains(words));
        if let Some((_, parameter)) = known.next()
            && matches!(status.as_u16(), 400 | 404 | 422 | 500 | 501)
        {
            return Some(parameter.into());
        }
        let is_unsupported = ["unsupported_parameter", "unsupported_value", "unknown_parameter"]
            .iter()
            .any(|code| self.has(code))
            || UNSUPPORTED.iter().any(|word| text.contains(word));
        if !matches!(status.as_u16(), 400 | 422) || !is_unsupported {
            return None;
        }
        // OpenAI's models that reason refuse tools unless the effort is `none`, and quote that value.
        if text.contains("reasoning_effort") {
            return Some("reasoning_effort".into());
        }
        let quoted = || self.message.split(['\'', '"', '`']).nth(1).map(str::to_owned);
        self.parameter.clone().or_else(quoted)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_vendors_message_is_read() {
        for (body, expected) in [
            (r#"{"error":{"message":"m"}}"#, "m"),
            (r#"{"error":"m"}"#, "m"),
            (r#"{"detail":{"status":"s","message":"m"}}"#, "m"),
            (r#"{"detail":[{"loc":["body"],"msg":"m"}]}"#, "m"),
            (r#"{"detail":"m"}"#, "m"),
            (r#"{"err_code":"C","err_msg":"m","request_id":"r"}"#, "m"),
            (r#"{"category":"C","message":"m","details":"d"}"#, "m"),
            ("bad  gateway", "bad gateway"),
            ("[]", "[]"),
        ] {
            assert_eq!(message(body.as_bytes()), expected, "{body}");
        }
    }

    #[test]
    fn errors_within_a_stream_have_their_reasons() {
        for (body, reason, retry) in [
            (r#"{"error":{"type":"overloaded_error","message":"Overloaded"}}"#, FailureReason::Busy, true),
            (r#"{"code":"rate_limit_exceeded","message":"m"}"#, FailureReason::Busy, true),
            (r#"{"code":"insufficient_quota","message":"m"}"#, FailureReason::Quota, false),
            (r#"{"error":{"type":"api_error","message":"m"}}"#, FailureReason::Unavailable, true),
            ("", FailureReason::Unavailable, true),
        ] {
            let error = in_stream(body.as_bytes());
            assert_eq!((error.reason(), error.worth_retrying()), (reason, retry), "{body}");
        }
        let credit =
            br#"{"error":{"type":"invalid_request_error","message":"Your credit balance is too low."}}"#;
        assert_eq!(ErrorBody::read(credit).reason(StatusCode::BAD_REQUEST), FailureReason::Quota);
        let overloaded = StatusCode::from_u16(529).expect("a status");
        assert_eq!(ErrorBody::read(b"").reason(overloaded), FailureReason::Busy);
    }

    #[test]
    fn servers_without_tools_are_recognised() {
        for (status, text) in [
            (400, "\"auto\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set"),
            (500, "tools param requires --jinja flag"),
            (400, "registry.ollama.ai/library/gemma3:4b does not support tools"),
            (400, "`tool calling` is not supported with this model"),
            (404, "No endpoints found that support tool use. Try disabling \"end_call\"."),
        ] {
            let body = serde_json::json!({ "error": { "message": text } }).to_string();
            let status = StatusCode::from_u16(status).expect("a status");
            let parameter = ErrorBody::read(body.as_bytes()).unsupported_parameter(status);
            assert_eq!(parameter.as_deref(), Some("tools"), "{text}");
        }
        let effort =
            "Function tools with reasoning_effort are not supported for this model: set it to 'none'.";
        let body = ErrorBody::read(effort.as_bytes());
        assert_eq!(body.unsupported_parameter(StatusCode::BAD_REQUEST).as_deref(), Some("reasoning_effort"));
        let body = ErrorBody::read(br#"{"error":{"message":"Invalid tools[0].function.name"}}"#);
        assert_eq!(body.unsupported_parameter(StatusCode::BAD_REQUEST), None);
    }

    proptest! {
        #[test]
        fn any_body_gives_a_short_message(body: Vec<u8>) {
            prop_assert!(message(&body).chars().count() <= LONGEST);
        }
    }
}
