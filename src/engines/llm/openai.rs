//! Replies by OpenAI, or by a server that speaks its API, streamed.
//!
//! <https://platform.openai.com/docs/api-reference/chat/streaming>. Servers differ in the details, so
//! whatever carries neither text nor usage is passed over.
//!
//! What a reply takes is what the server says in the end
//! (<https://platform.openai.com/docs/api-reference/chat/create#chat_create-stream_options>); of one that does not
//! say, or is cut off before, tokens are estimated from its characters.

use std::sync::Arc;

use bytes::Bytes;
use eventsource_stream::{Event, EventStreamError, Eventsource};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, Stream, StreamExt, stream};
use serde::{Deserialize, Serialize};

use super::{Delta, Deltas, Llm, Prompt, Role};
use crate::engines::core::EngineError;
use crate::engines::core::openai::{Endpoint, message};
use crate::engines::core::retry::Kind;
use crate::engines::core::usage::{Charge, Meter, Unit, characters, estimated_tokens};
use crate::names::Names;

/// The most bytes that a reply may have: far beyond what is said in a call, and an end to a server
/// that never ends a line.
const LONGEST: usize = 1 << 20;

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Default `gpt-4`.
    pub model: String,
    /// More models that profiles may choose; `*` allows every one. Default: none but `model`.
    pub models: Vec<String>,
    /// The longest reply of profiles that set none, in tokens. Default 150: callers prefer short replies.
    pub max_tokens: u32,
    /// 0.0 to 2.0; the vendor's own when absent, as it is by default.
    pub temperature: Option<f32>,
    /// Ask the server what a reply has taken. Without it tokens are estimated: for servers that refuse the
    /// question. True by default.
    pub include_usage: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            model: "gpt-4".into(),
            models: Vec::new(),
            max_tokens: 150,
            temperature: None,
            include_usage: true,
        }
    }
}

impl Settings {
    /// The models that profiles may choose.
    pub fn allowed_models(&self) -> Names {
        Names::models(&self.model, &self.models)
    }
}

pub struct OpenAi {
    name: Arc<str>,
    endpoint: Endpoint,
    settings: Settings,
    models: Names,
}

impl OpenAi {
    pub fn new(name: Arc<str>, endpoint: Endpoint, settings: Settings) -> OpenAi {
        let models = settings.allowed_models();
        OpenAi { name, endpoint, settings, models }
    }

    async fn ask(&self, prompt: Prompt, meter: Meter) -> Result<Deltas, EngineError> {
        self.models.check(self.model(&prompt)).map_err(|error| EngineError::name("model", &error))?;
        let request = self.endpoint.post("/chat/completions").json(&self.question(&prompt));
        let mut charge = meter.charge(Kind::Llm, &self.name, self.model(&prompt));
        charge.set(Unit::InputTokens, estimated_tokens(length(&prompt)));
        let (response, charge) = charge.settle(self.endpoint.send(request).await)?;
        let endpoint = self.endpoint.clone();
        let body = response.bytes_stream().map(move |piece| piece.map_err(|e| endpoint.broken(e)));
        Ok(deltas(body, Tally { charge, said: 0, is_told: false }))
    }

    /// The profile's, or the daemon's.
    fn model<'a>(&'a self, prompt: &'a Prompt) -> &'a str {
        prompt.model.as_deref().unwrap_or(&self.settings.model)
    }

    fn question<'a>(&'a self, prompt: &'a Prompt) -> Question<'a> {
        let system = Line { role: "system", content: &prompt.system };
        let said = prompt.messages.iter().map(|message| {
            let role = match message.role {
                Role::Caller => "user",
                Role::Agent => "assistant",
            };
            Line { role, content: &message.text }
        });
        Question {
            model: self.model(prompt),
            max_tokens: prompt.max_tokens.unwrap_or(self.settings.max_tokens),
            temperature: self.settings.temperature,
            stream: true,
            stream_options: self.settings.include_usage.then_some(StreamOptions { include_usage: true }),
            messages: std::iter::once(system).chain(said).collect(),
            tools: if prompt.may_hang_up { vec![hang_up()] } else { Vec::new() },
        }
    }
}

impl Llm for OpenAi {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn reply(&self, prompt: Prompt, meter: Meter) -> BoxFuture<'_, Result<Deltas, EngineError>> {
        self.ask(prompt, meter).boxed()
    }

    fn probe(&self) -> BoxFuture<'_, Result<String, EngineError>> {
        self.endpoint.probe(&self.settings.model).boxed()
    }
}

#[derive(Serialize)]
struct Question<'a> {
    model: &'a str,
    max_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f32>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
    messages: Vec<Line<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<serde_json::Value>,
}

/// <https://platform.openai.com/docs/guides/function-calling>
fn hang_up() -> serde_json::Value {
    serde_json::json!({ "type": "function", "function": {
        "name": HANG_UP,
        "description": "End the telephone call. Say goodbye in the same reply, and do it only when the caller \
                        has nothing more to say.",
        "parameters": { "type": "object", "properties": {} },
    }})
}

const HANG_UP: &str = "hang_up";

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    role: &'a str,
    content: &'a str,
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    error: Option<serde_json::Value>,
    usage: Option<serde_json::Value>,
}

/// What the server says that a reply has taken so far; the last word counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
struct Usage {
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
}

/// What a reply takes: as the server says, or else estimated from what came.
struct Tally {
    charge: Charge,
    /// Characters that came.
    said: u64,
    /// The server has said it.
    is_told: bool,
}

impl Tally {
    fn heard(&mut self, text: &str) {
        self.said += characters(text);
        if !self.is_told {
            self.charge.set(Unit::OutputTokens, estimated_tokens(self.said));
        }
    }

    fn told(&mut self, usage: Usage) {
        self.is_told = true;
        self.charge.set(Unit::InputTokens, usage.prompt_tokens);
        self.charge.set(Unit::OutputTokens, usage.completion_tokens);
    }
}

/// Characters that the model reads.
fn length(prompt: &Prompt) -> u64 {
    characters(&prompt.system) + prompt.messages.iter().map(|line| characters(&line.text)).sum::<u64>()
}

#[derive(Deserialize)]
struct Choice {
    delta: Option<Piece>,
}

#[derive(Deserialize)]
struct Piece {
    content: Option<String>,
    /// The name of a function comes whole, in the first piece of its call.
    tool_calls: Option<Vec<ToolCall>>,
}

#[derive(Deserialize)]
struct ToolCall {
    function: Option<Function>,
}

#[derive(Deserialize)]
struct Function {
    name: Option<String>,
}

/// What one event of the stream means.
enum Meaning {
    /// Nothing, most of the time a text, or what the agent does; and what it has taken so far.
    Piece {
        deltas: Vec<Delta>,
        usage: Option<Usage>,
    },
    End,
    Failure(EngineError),
}

/// The texts in a body of server-sent events, up to its end, `[DONE]` or the first error.
fn deltas<S>(body: S, mut tally: Tally) -> Deltas
where
    S: Stream<Item = Result<Bytes, EngineError>> + Send + 'static,
{
    let events = bounded(body).eventsource().map(|event| match event {
        Ok(event) => meaning(&event),
        Err(EventStreamError::Transport(error)) => Meaning::Failure(error),
        Err(EventStreamError::Utf8(_) | EventStreamError::Parser(_)) => {
            Meaning::Failure(EngineError::Temporary("the reply is no stream of events".into()))
        }
    });
    let mut failed = false;
    events
        .take_while(|meaning| std::future::ready(!matches!(meaning, Meaning::End)))
        .flat_map(move |meaning| stream::iter(items(meaning, &mut tally)))
        .take_while(move |item| std::future::ready(!std::mem::replace(&mut failed, item.is_err())))
        .boxed()
}

fn items(meaning: Meaning, tally: &mut Tally) -> Vec<Result<Delta, EngineError>> {
    match meaning {
        Meaning::Piece { deltas, usage } => {
            for delta in &deltas {
                if let Delta::Text(text) = delta {
                    tally.heard(text);
                }
            }
            if let Some(usage) = usage {
                tally.told(usage);
            }
            deltas.into_iter().map(Ok).collect()
        }
        Meaning::Failure(error) => vec![Err(error)],
        Meaning::End => Vec::new(),
    }
}

fn meaning(event: &Event) -> Meaning {
    if event.data.trim() == "[DONE]" {
        return Meaning::End;
    }
    if event.event == "error" {
        return Meaning::Failure(EngineError::Temporary(message(event.data.as_bytes())));
    }
    let Ok(chunk) = serde_json::from_str::<Chunk>(&event.data) else {
        return Meaning::Failure(EngineError::Temporary(
            "the reply has an event that is no JSON chunk".into(),
        ));
    };
    if chunk.error.is_some() {
        return Meaning::Failure(EngineError::Temporary(message(event.data.as_bytes())));
    }
    let piece = chunk.choices.into_iter().next().and_then(|choice| choice.delta);
    // A usage that cannot be read costs the estimate, not the reply.
    let usage = chunk.usage.and_then(|usage| serde_json::from_value(usage).ok());
    Meaning::Piece { deltas: piece.map(Piece::deltas).unwrap_or_default(), usage }
}

impl Piece {
    fn deltas(self) -> Vec<Delta> {
        let text = self.content.filter(|text| !text.is_empty()).map(Delta::Text);
        let calls = self.tool_calls.unwrap_or_default();
        let names = calls.into_iter().filter_map(|call| call.function?.name);
        text.into_iter().chain(names.filter(|name| name == HANG_UP).map(|_| Delta::HangUp)).collect()
    }
}

fn bounded(
    body: impl Stream<Item = Result<Bytes, EngineError>> + Send + 'static,
) -> impl Stream<Item = Result<Bytes, EngineError>> + Send + 'static {
    let mut read = 0;
    body.map(move |piece| {
        let piece = piece?;
        read += piece.len();
        if read > LONGEST { Err(EngineError::Permanent("the reply does not end".into())) } else { Ok(piece) }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engines::core::retry;
    use crate::engines::core::vendor::{Step, Vendor, answer, begun, chunked};
    use crate::engines::llm::{Message, Resilient};

    type Reply = Vec<Result<Delta, EngineError>>;

    const GOOD: &str = ": keep-alive\n\n\
        data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n\
        data: {\"choices\":[{\"delta\":{\"content\":\"Grüß\"}}]}\r\n\r\n\
        data: {\"choices\":[]}\n\n\
        data: {\"choices\":[{\"delta\":{\"content\":\" Gott\"},\"finish_reason\":null}]}\n\n\
        data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n\
        data: [DONE]\n\n";

    fn ok(texts: &[&str]) -> Reply {
        texts.iter().map(|t| Ok(Delta::Text((*t).to_owned()))).collect()
    }

    fn prompt() -> Prompt {
        let line = |role, text: &str| Message { role, text: text.into() };
        Prompt {
            system: "Be kind.".into(),
            messages: vec![line(Role::Agent, "Hello?"), line(Role::Caller, "Are you \"open\"?")],
            ..Prompt::default()
        }
    }

    async fn replied(answers: Vec<Vec<Step>>) -> (Result<Reply, EngineError>, Vec<String>) {
        metered(answers, &Meter::default()).await
    }

    async fn metered(answers: Vec<Vec<Step>>, meter: &Meter) -> (Result<Reply, EngineError>, Vec<String>) {
        let vendor = Vendor::start(answers).await;
        let patience = retry::Settings {
            timeout_ms: 500,
            retries: 2,
            budget_ms: 10_000,
            backoff_ms: 1,
            max_backoff_ms: 1,
            ..retry::Settings::default()
        };
        let engine = OpenAi::new("openai".into(), vendor.endpoint(), Settings::default());
        let engine = Resilient::new(Arc::new(engine), patience, None);
        let reply = match engine.reply(prompt(), meter.clone()).await {
            Ok(deltas) => Ok(deltas.collect().await),
            Err(error) => Err(error),
        };
        (reply, vendor.requests())
    }

    async fn read(pieces: Vec<Bytes>) -> Reply {
        let tally = Tally {
            charge: Meter::default().charge(Kind::Llm, &Arc::from("openai"), ""),
            said: 0,
            is_told: false,
        };
        deltas(stream::iter(pieces.into_iter().map(Ok)), tally).collect().await
    }

    #[tokio::test]
    async fn asks_and_hears() {
        let (reply, requests) = replied(vec![chunked(&[GOOD.as_bytes()])]).await;
        assert_eq!(reply, Ok(ok(&["Grüß", " Gott"])));
        let body = requests[0].split("\r\n\r\n").nth(1).expect("a body");
        let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(
            body,
            serde_json::json!({
                "model": "gpt-4", "max_tokens": 150, "stream": true,
                "stream_options": {"include_usage": true}, "messages": [
                    {"role": "system", "content": "Be kind."},
                    {"role": "assistant", "content": "Hello?"},
                    {"role": "user", "content": "Are you \"open\"?"},
                ],
            })
        );
    }

    fn taken(meter: &Meter) -> Vec<(Unit, u64)> {
        meter.total().into_iter().map(|(item, count)| (item.unit, count)).collect()
    }

    #[tokio::test]
    async fn takes_what_the_server_says_in_the_end() {
        let usage =
            "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":31,\"completion_tokens\":9}}\n\ndata: [DONE]";
        let body = GOOD.replace("data: [DONE]", usage);
        let meter = Meter::default();
        let down = answer("500 Oops", "{}");
        let reply = metered(vec![down, chunked(&[body.as_bytes()])], &meter).await.0;
        assert_eq!(reply, Ok(ok(&["Grüß", " Gott"])));
        let expected = [(Unit::Requests, 1), (Unit::InputTokens, 31), (Unit::OutputTokens, 9)];
        assert_eq!(taken(&meter), expected, "a refused attempt costs nothing");
    }

    #[tokio::test]
    async fn takes_an_estimate_where_the_server_says_nothing() {
        for odd in ["", "data: {\"choices\":[],\"usage\":\"much\"}\n\n"] {
            let body = GOOD.replace("data: [DONE]", &format!("{odd}data: [DONE]"));
            let meter = Meter::default();
            metered(vec![chunked(&[body.as_bytes()])], &meter).await.0.expect("a reply");
            // 9, 6 and 15 characters were asked, 9 came.
            let expected = [(Unit::Requests, 1), (Unit::InputTokens, 8), (Unit::OutputTokens, 3)];
            assert_eq!(taken(&meter), expected);
        }
    }

    #[tokio::test]
    async fn a_reply_that_nobody_wants_any_more_is_counted_as_far_as_it_came() {
        let first = b"data: {\"choices\":[{\"delta\":{\"content\":\"Well, then\"}}]}\n\n";
        let mut steps = begun(&[first]);
        steps.push(Step::Stall);
        let vendor = Vendor::start(vec![steps]).await;
        let (engine, meter) =
            (OpenAi::new("openai".into(), vendor.endpoint(), Settings::default()), Meter::default());
        let mut reply = engine.reply(prompt(), meter.clone()).await.expect("a reply");
        assert_eq!(reply.next().await, Some(Ok(Delta::Text("Well, then".into()))));
        drop(reply);
        assert_eq!(taken(&meter)[1..], [(Unit::InputTokens, 8), (Unit::OutputTokens, 3)]);
    }

    #[tokio::test]
    async fn a_profile_chooses_the_model_and_lets_the_agent_hang_up() {
        let prompt =
            Prompt { model: Some("gpt-4o".into()), max_tokens: Some(40), may_hang_up: true, ..prompt() };
        let call = "data: {\"choices\":[{\"delta\":{\"content\":\"Bye.\"}}]}\n\n\
            data: {\"choices\":[{\"delta\":{\"content\":null,\"tool_calls\":[{\"index\":0,\"id\":\"call_1\",\
            \"type\":\"function\",\"function\":{\"name\":\"hang_up\",\"arguments\":\"\"}}]}}]}\n\n\
            data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{}\"}}]}}]}\n\n\
            data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\ndata: [DONE]\n\n";
        let vendor = Vendor::start(vec![chunked(&[call.as_bytes()])]).await;
        let settings = Settings { models: vec!["gpt-4o".into()], ..Settings::default() };
        let engine = OpenAi::new("openai".into(), vendor.endpoint(), settings);
        let meter = Meter::default();
        let reply: Reply = engine.reply(prompt, meter.clone()).await.expect("a reply").collect().await;
        assert_eq!(reply, [Ok(Delta::Text("Bye.".into())), Ok(Delta::HangUp)]);
        assert!(meter.total().iter().all(|(item, _)| &*item.model == "gpt-4o"), "{:?}", meter.total());
        let body = vendor.requests()[0].split("\r\n\r\n").nth(1).expect("a body").to_owned();
        let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(
            (&body["model"], &body["max_tokens"], &body["tools"][0]["function"]["name"]),
            (&"gpt-4o".into(), &40.into(), &"hang_up".into())
        );
    }

    #[tokio::test]
    async fn a_model_that_is_not_allowed_is_not_asked() {
        let vendor = Vendor::start(vec![]).await;
        let engine = OpenAi::new("openai".into(), vendor.endpoint(), Settings::default());
        let prompt = Prompt { model: Some("gpt-5-pro".into()), ..prompt() };
        let Err(error) = engine.reply(prompt, Meter::default()).await else { panic!("it is asked") };
        assert!(!error.worth_retrying() && error.to_string().contains("use one of gpt-4"), "{error}");
        assert_eq!(vendor.requests().len(), 0);
    }

    #[tokio::test]
    async fn what_stands_in_is_charged_as_itself() {
        let vendor = Vendor::start(vec![answer("401 Unauthorized", "{}")]).await;
        let engine = Arc::new(OpenAi::new("openai".into(), vendor.endpoint(), Settings::default()));
        let script = crate::engines::llm::scripted::Scripted::new("scripted".into(), &Default::default())
            .expect("the built-in script");
        let engine = Resilient::new(engine, retry::Settings::default(), Some(Arc::new(script)));
        let meter = Meter::default();
        engine.reply(prompt(), meter.clone()).await.expect("a reply").count().await;
        let charged: Vec<_> =
            meter.total().into_iter().map(|(item, _)| (item.engine.to_string(), item.unit)).collect();
        assert_eq!(
            charged,
            [("scripted".to_owned(), Unit::Requests), ("scripted".to_owned(), Unit::Characters)]
        );
    }

    #[tokio::test]
    async fn may_be_split_anywhere() {
        for at in 0..=GOOD.len() {
            let (head, tail) = GOOD.as_bytes().split_at(at);
            let pieces = vec![Bytes::copy_from_slice(head), Bytes::copy_from_slice(tail)];
            assert_eq!(read(pieces).await, ok(&["Grüß", " Gott"]), "split at byte {at}");
        }
        let bytes = GOOD.bytes().map(|b| Bytes::copy_from_slice(&[b])).collect();
        assert_eq!(read(bytes).await, ok(&["Grüß", " Gott"]));
    }

    #[tokio::test]
    async fn needs_no_finish() {
        let body = "data: {\"choices\":[{\"delta\":{\"content\":\"Yes.\"}}]}\n\n";
        assert_eq!(read(vec![body.into()]).await, ok(&["Yes."]));
    }

    #[tokio::test]
    async fn an_error_in_the_middle_is_the_last_item() {
        let body = "data: {\"choices\":[{\"delta\":{\"content\":\"Well\"}}]}\n\n\
                    event: error\ndata: {\"error\":{\"message\":\"overloaded\"}}\n\n\
                    data: {\"choices\":[{\"delta\":{\"content\":\"more\"}}]}\n\n";
        let failure = Err(EngineError::Temporary("overloaded".into()));
        let expected = [Ok(Delta::Text("Well".into())), failure];
        assert_eq!(read(vec![body.into()]).await, expected);
        assert_eq!(read(vec![body.replace("event: error\n", "").into()]).await, expected);
    }

    #[tokio::test]
    async fn two_errors_and_garbage_are_overcome() {
        let good = || chunked(&[GOOD.as_bytes()]);
        let down = || answer("500 Oops", "{}");
        assert_eq!(replied(vec![down(), down(), good()]).await.0, Ok(ok(&["Grüß", " Gott"])));
        assert_eq!(replied(vec![chunked(&[b"data: {{{\n\n"]), good()]).await.0, Ok(ok(&["Grüß", " Gott"])));
        let busy = answer("429 Too Many Requests\r\nRetry-After: 0", "{}");
        assert_eq!(replied(vec![busy, good()]).await.0, Ok(ok(&["Grüß", " Gott"])));
    }

    #[tokio::test]
    async fn a_wrong_key_is_asked_once() {
        let (reply, requests) =
            replied(vec![answer("401 Unauthorized", "{}"), chunked(&[GOOD.as_bytes()])]).await;
        assert_eq!(reply.expect_err("a refusal").outcome(), "permanent");
        assert_eq!(requests.len(), 1);
    }

    #[tokio::test]
    async fn stalls_before_the_first_word_are_overcome() {
        let mut after_head = begun(&[]);
        after_head.push(Step::Stall);
        let answers = vec![vec![Step::Stall], after_head, chunked(&[GOOD.as_bytes()])];
        assert_eq!(replied(answers).await.0, Ok(ok(&["Grüß", " Gott"])));
    }

    #[tokio::test]
    async fn a_stall_or_reset_in_the_middle_ends_the_reply() {
        let first = b"data: {\"choices\":[{\"delta\":{\"content\":\"Well\"}}]}\n\n";
        for (step, expected) in [(Step::Stall, "timeout"), (Step::Reset, "temporary")] {
            let mut steps = begun(&[first]);
            steps.push(step);
            let reply = replied(vec![steps]).await.0.expect("a reply that begins");
            let [Ok(text), Err(error)] = reply.as_slice() else { panic!("{reply:?}") };
            assert_eq!((text, error.outcome()), (&Delta::Text("Well".into()), expected));
        }
    }

    #[tokio::test]
    async fn an_endless_line_is_cut_off() {
        let pieces = vec![Bytes::from(vec![b'a'; LONGEST / 2]); 3];
        let reply = read(pieces).await;
        assert_eq!(reply, [Err(EngineError::Permanent("the reply does not end".into()))]);
    }

    proptest! {
        #[test]
        fn random_bodies_do_no_harm(pieces: Vec<Vec<u8>>, prefix in "(data: |event: error\n|: )?") {
            let pieces = std::iter::once(Bytes::from(prefix)).chain(pieces.into_iter().map(Bytes::from));
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            runtime.block_on(read(pieces.collect()));
        }
    }
}
