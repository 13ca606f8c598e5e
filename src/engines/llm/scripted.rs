//! A script in place of a language model: for demonstrations, tests and the simulator.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use serde::Deserialize;
use tokio::time::sleep;

use super::script::{Script, ScriptCall};
use super::tool_calls::{new_id, offered_name};
use super::{Delta, Deltas, Llm, Message, Prompt, ToolCall, ToolSpec};
use crate::engines::core::EngineError;
use crate::engines::core::retry::Kind;
use crate::engines::core::usage::{LOCAL, Meter, Unit, characters};

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The script's file (see [`super::script`]); a small built-in script when absent, as it is by default.
    pub script: Option<PathBuf>,
    /// The pause between two words. Milliseconds, 0 by default.
    pub word_ms: u64,
}

pub struct ScriptedLlm {
    name: Arc<str>,
    script: Script,
    word: Duration,
    replies: String,
}

impl ScriptedLlm {
    /// Reads the script. A permanent error if the file cannot be read or has a fault; it names the line.
    pub fn new(name: Arc<str>, settings: &Settings) -> Result<ScriptedLlm, EngineError> {
        let (text, source) = match &settings.script {
            Some(path) => (read(path)?, path.display().to_string()),
            None => (include_str!("builtin.toml").to_owned(), "the built-in script".to_owned()),
        };
        let script = Script::parse(&text).map_err(|e| EngineError::Permanent(format!("{source}, {e}")))?;
        Ok(ScriptedLlm { name, script, word: Duration::from_millis(settings.word_ms), replies: source })
    }

    /// Phrases of callers, for a recogniser's grammar.
    pub fn phrases(&self) -> &[String] {
        &self.script.phrases
    }
}

/// The newest words of the caller, or the newest result of a tool.
fn asked(messages: &[Message]) -> String {
    let asked = messages.iter().rev().find_map(|message| match message {
        Message::Caller(text) => Some(text.clone()),
        Message::ToolResult { call, content } => Some(format!("{}: {content}", called_tool(messages, call))),
        Message::Agent(_) | Message::ToolCall(_) => None,
    });
    asked.unwrap_or_default()
}

/// The name of the tool that was called under an id.
fn called_tool<'a>(messages: &'a [Message], id: &str) -> &'a str {
    let name = messages.iter().rev().find_map(|message| match message {
        Message::ToolCall(call) if *call.id == *id => Some(&*call.name),
        _ => None,
    });
    name.unwrap_or_default()
}

/// The call of an offered tool.
fn tool_call(call: ScriptCall, offered: &[ToolSpec]) -> Option<ToolCall> {
    let name = offered_name(offered, &call.tool)?;
    Some(ToolCall { id: new_id(), name, arguments: call.arguments.into() })
}

fn read(path: &Path) -> Result<String, EngineError> {
    std::fs::read_to_string(path).map_err(|error| {
        EngineError::Permanent(format!(
            "the script {}: {error}: name a file that vca may read",
            path.display()
        ))
    })
}

impl Llm for ScriptedLlm {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn reply(&self, prompt: Prompt, meter: Meter) -> BoxFuture<'_, Result<Deltas, EngineError>> {
        let turns = prompt.messages.iter().filter(|m| matches!(m, Message::Caller(_))).count();
        let answer = self.script.answer(&asked(&prompt.messages), turns.saturating_sub(1));
        meter.charge(Kind::Llm, &self.name, LOCAL).set(Unit::Characters, characters(&answer.text));
        let mut words: Vec<Delta> =
            answer.text.split_inclusive(' ').map(|word| Delta::Text(word.to_owned())).collect();
        words.extend(answer.call.and_then(|call| tool_call(call, &prompt.tools)).map(Delta::ToolCall));
        let (delay, pause) = (answer.delay, self.word);
        let deltas = stream::iter(words).enumerate().then(move |(at, word)| async move {
            let wait = if at == 0 { delay } else { pause };
            if !wait.is_zero() {
                sleep(wait).await;
            }
            Ok(word)
        });
        async move { Ok(deltas.boxed()) }.boxed()
    }

    fn is_model(&self) -> bool {
        false
    }

    fn probe(&self) -> BoxFuture<'_, Result<String, EngineError>> {
        async { Ok(format!("{}, {} phrases", self.replies, self.script.phrases.len())) }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::engines::stt::grammar::Grammar;

    fn question(said: &str) -> Prompt {
        Prompt { messages: vec![Message::Caller(said.into())], ..Prompt::default() }
    }

    fn scripted(script: &str) -> ScriptedLlm {
        let script = Script::parse(script).expect("a script");
        ScriptedLlm {
            name: "scripted".into(),
            script,
            word: Duration::from_millis(50),
            replies: String::new(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn speaks_word_by_word() {
        let script =
            "otherwise = \"One two  three.\"\n[[reply]]\npattern = \"slow\"\nsay = \"A b\"\ndelay_ms = 300";
        let engine = scripted(script);
        let words: Vec<_> =
            engine.reply(question("?"), Meter::default()).await.expect("a reply").collect().await;
        let expected: Vec<Result<Delta, EngineError>> =
            ["One ", "two ", " ", "three."].map(|w| Ok(Delta::Text(w.to_owned()))).into();
        assert_eq!(words, expected);
        let begun = Instant::now();
        engine.reply(question("slow"), Meter::default()).await.expect("a reply").count().await;
        assert_eq!(begun.elapsed(), Duration::from_millis(350));
    }

    #[tokio::test]
    async fn the_built_in_script_knows_its_own_phrases() {
        let engine = ScriptedLlm::new("scripted".into(), &Settings::default()).expect("a script");
        Grammar::new(engine.phrases()).expect("a grammar");
        let otherwise: String = text(&engine, "xyzzy").await;
        for phrase in engine.phrases() {
            let said: String = phrase.chars().filter(|c| !"[]()|".contains(*c)).collect();
            assert_ne!(text(&engine, &said).await, otherwise, "{phrase}");
        }
    }

    async fn text(engine: &ScriptedLlm, said: &str) -> String {
        let words: Vec<_> =
            engine.reply(question(said), Meter::default()).await.expect("a reply").collect().await;
        let text = |word| match word {
            Ok(Delta::Text(text)) => text,
            other => panic!("no word: {other:?}"),
        };
        words.into_iter().map(text).collect()
    }

    #[tokio::test]
    async fn hangs_up_where_it_may() {
        let engine = ScriptedLlm::new("scripted".into(), &Settings::default()).expect("a script");
        for tools in [vec![ToolSpec::end_call()], Vec::new()] {
            let prompt = Prompt { tools: tools.clone().into(), ..question("goodbye") };
            let deltas: Vec<_> =
                engine.reply(prompt, Meter::default()).await.expect("a reply").collect().await;
            let calls = deltas.iter().filter(|delta| matches!(delta, Ok(Delta::ToolCall(_)))).count();
            assert_eq!(calls, tools.len());
            assert!(matches!(deltas.first(), Some(Ok(Delta::Text(_)))), "{deltas:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_script_calls_a_tool_and_answers_its_result() {
        let engine = scripted(
            "otherwise = \"x\"\n[[reply]]\npattern = \"weather in (?<city>\\\\w+)\"\nsay = \"Wait.\"\n\
             call = { tool = \"look\", city = \"$city\" }\n\
             [[reply]]\npattern = \"^look: (?<found>.*)\"\nsay = \"It is $found.\"",
        );
        let look = ToolSpec { name: "look".into(), ..ToolSpec::end_call() };
        let mut prompt = Prompt { tools: [look].into(), ..question("the weather in Wien") };
        let deltas: Vec<_> =
            engine.reply(prompt.clone(), Meter::default()).await.expect("a reply").collect().await;
        let [Ok(Delta::Text(_)), Ok(Delta::ToolCall(call))] = &*deltas else { panic!("{deltas:?}") };
        assert_eq!((&*call.name, &*call.arguments), ("look", "{\"city\":\"Wien\"}"));
        let result = Message::ToolResult { call: call.id.clone(), content: "sunny".into() };
        prompt.messages.extend([Message::ToolCall(call.clone()), result]);
        let deltas: Vec<_> = engine.reply(prompt, Meter::default()).await.expect("a reply").collect().await;
        assert_eq!(deltas.len(), 3, "{deltas:?}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let settings = Settings { script: Some("/nonexistent/script.toml".into()), word_ms: 0 };
        let Err(error) = ScriptedLlm::new("scripted".into(), &settings) else {
            panic!("there is no such file")
        };
        assert!(error.to_string().contains("/nonexistent/script.toml"), "{error}");
    }
}
