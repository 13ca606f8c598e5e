//! Where in the configuration an engine is, and so what to do about its failures.

use crate::engines::core::{EngineError, FailureReason};

/// The sections of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineSections {
    /// `stt`, `llm`, `tts` or `realtime`.
    pub kind: &'static str,
    /// Of its options, such as `llm.openai`.
    pub section: String,
    /// Of its server, such as `openai`.
    pub server: String,
}

impl EngineSections {
    pub fn remedy(&self, error: &EngineError) -> String {
        let EngineSections { section, server, .. } = self;
        if self.kind == "llm" && error.to_string().contains("tool") {
            return format!(
                "let the server call tools (vLLM: --enable-auto-tool-choice and --tool-call-parser; llama.cpp: --jinja), \
                 or take end_call from the profiles' tools; else see {section}.extra"
            );
        }
        match error.reason() {
            FailureReason::Auth => format!("see {server}.key and {server}.base_url"),
            FailureReason::Quota => "add credit at the vendor, or choose another engine".into(),
            FailureReason::Busy => "raise the limit at the vendor, or choose another engine".into(),
            FailureReason::Limited => "raise the tenant's share in [engine_shares]".into(),
            FailureReason::Timeout | FailureReason::Unavailable => self.server(),
            FailureReason::Empty => format!(
                "switch reasoning off ({section}.reasoning_effort = \"none\", or {section}.extra), or raise \
                 {section}.max_tokens"
            ),
            FailureReason::Model => self.another_model(),
            FailureReason::Missing => self.install(),
            FailureReason::Refused => {
                format!("see [{section}] and docs/engines.md, which has settings by server")
            }
        }
    }

    pub fn server(&self) -> String {
        format!("see that the server runs, and {}.base_url", self.server)
    }

    pub fn another_model(&self) -> String {
        match self.kind {
            "tts" => format!(
                "set {0}.model and {0}.voice to what the server has, or choose another engine",
                self.section
            ),
            _ => format!("set {}.model to one that the server has", self.section),
        }
    }

    pub fn another_engine(&self) -> String {
        format!("vca profile update NAME --{} ENGINE; openai needs a key", self.kind)
    }

    pub fn install(&self) -> String {
        format!("install what the engine needs (see [{}]), or choose another engine", self.section)
    }
}
