//! Calls of tools, and their results.

use super::*;

fn look() -> ToolSpec {
    ToolSpec { name: "look".into(), description: "Look it up.".into(), ..ToolSpec::end_call() }
}

/// A prompt whose last messages are a call of `look` and its result.
fn with_result(said: Prompt) -> Prompt {
    let call = ToolCall { id: "c1".into(), name: "look".into(), arguments: "{\"n\":1}".into() };
    let result = Message::ToolResult { call: "c1".into(), content: "open".into() };
    let messages = said.messages.into_iter().chain([Message::ToolCall(call), result]).collect();
    Prompt { messages, tools: [look()].into(), ..said }
}

/// A chunk with pieces of tool calls.
fn pieces_of_calls(calls: &Value) -> String {
    format!("data: {}\n\n", json!({ "choices": [{ "delta": { "tool_calls": calls } }] }))
}

fn shown(reply: &[Item]) -> Vec<String> {
    let item = |item: &Item| match item {
        Ok(Delta::ToolCall(call)) => format!("{} {} {}", call.id, call.name, call.arguments),
        Ok(Delta::Text(text)) => text.clone(),
        other => format!("{other:?}"),
    };
    reply.iter().filter(|item| **item != Ok(Delta::Writing)).map(item).collect()
}

async fn asked(answers: Vec<Vec<Step>>, prompt: Prompt) -> (Reply, Vec<Value>) {
    let vendor = Vendor::start(answers).await;
    let engine = OpenAiLlm::new("openai".into(), vendor.endpoint(), Settings::default());
    let reply = engine.reply(prompt, Meter::default()).await.expect("a reply").collect().await;
    (reply, vendor.requests().iter().map(|request| body_of(request)).collect())
}

#[tokio::test]
async fn parallel_calls_arrive_whole_and_after_the_text() {
    let body = pieces_of_calls(
        &json!([{ "index": 0, "id": "a", "function": { "name": "look", "arguments": "" } }]),
    ) + &body_with(&["One moment."], "")
        + &pieces_of_calls(&json!([{ "index": 0, "function": { "arguments": "{\"n\":" } },
                                   { "index": 1, "id": "b", "function": { "name": "look", "arguments": { "n": 2 } } }]))
        + &pieces_of_calls(&json!([{ "index": 0, "function": { "arguments": "1}" } }]))
        + &body_with(&[], "tool_calls");
    let prompt = Prompt { tools: [look()].into(), ..prompt() };
    let (reply, sent) = asked(vec![chunked(&[body.as_bytes()])], prompt).await;
    assert_eq!(shown(&reply), ["One moment.", "a look {\"n\":1}", "b look {\"n\":2}", "Ok(End)"]);
    assert_eq!(sent[0]["tools"][0]["function"]["description"], "Look it up.");
}

#[tokio::test]
async fn a_result_follows_its_call() {
    let (_, sent) = asked(vec![chunked(&[GOOD.as_bytes()])], with_result(prompt())).await;
    let call =
        json!({ "id": "c1", "type": "function", "function": { "name": "look", "arguments": "{\"n\":1}" } });
    let expected = [
        json!({ "role": "assistant", "content": "", "tool_calls": [call] }),
        json!({ "role": "tool", "content": "open", "tool_call_id": "c1" }),
    ];
    assert_eq!(sent[0]["messages"].as_array().expect("messages")[4..], expected);
}

#[tokio::test]
async fn a_server_without_tools_reads_results_as_words() {
    let refusal = json!({ "error": { "message": "tools param requires --jinja flag" } }).to_string();
    let answers = vec![answer("500 Oops", refusal), chunked(&[GOOD.as_bytes()])];
    let (_, sent) = asked(answers, with_result(prompt())).await;
    let last = |body: &Value| body["messages"].as_array().expect("messages").last().cloned();
    let expected = "Are you \"open\"?\n(Result of a tool: open)";
    assert_eq!(last(&sent[1]), Some(json!({ "role": "user", "content": expected })));
    assert_eq!(sent[1].get("tools"), None);
}

#[tokio::test]
async fn endless_arguments_end_the_reply() {
    let begun = pieces_of_calls(
        &json!([{ "index": 0, "id": "a", "function": { "name": "look", "arguments": "{" } }]),
    );
    let more = pieces_of_calls(&json!([{ "index": 0, "function": { "arguments": " ".repeat(20_000) } }]));
    let body = body_with(&["Wait."], "") + &begun + &more;
    let reply = read_text(&body).await;
    assert!(matches!(&*reply, [Ok(Delta::Text(_)), Err(EngineError::Permanent(_))]), "{reply:?}");
}

#[tokio::test]
async fn a_call_that_was_cut_off_is_left_out() {
    let begun = pieces_of_calls(
        &json!([{ "index": 0, "id": "a", "function": { "name": "end_call", "arguments": "{\"why" } }]),
    );
    let reply = read_text(&(body_with(&["Bye."], "") + &begun + &body_with(&[], "length"))).await;
    assert_eq!(shown(&reply), ["Bye.", "Ok(End)"]);
}

#[tokio::test]
async fn a_spelled_call_has_its_arguments() {
    let text = "One moment. <tool_call>{\"name\": \"look\", \"arguments\": {\"n\": 1}}</tool_call>";
    let prompt = Prompt { tools: [look()].into(), ..prompt() };
    let (reply, _) = asked(vec![chunked(&[body_with(&[text], "stop").as_bytes()])], prompt).await;
    let [Ok(Delta::Text(_)), .., Ok(Delta::ToolCall(call)), Ok(Delta::End)] = &*reply else {
        panic!("{reply:?}")
    };
    assert_eq!((&*call.name, &*call.arguments, call.id.len()), ("look", "{\"n\":1}", 9));
}

/// A caller of the stream does not take it for one that has stalled.
#[tokio::test]
async fn a_reply_that_has_begun_goes_on_between_its_pieces() {
    let body =
        body_with(&["<think>", "Hm.", "</think>", "We are open today. On", " Sundays", ", too."], "stop");
    let (reply, _) = asked(vec![chunked(&[body.as_bytes()])], prompt()).await;
    let text = |text: &str| -> Item { Ok(Delta::Text(text.into())) };
    let writing = || -> Item { Ok(Delta::Writing) };
    let first = [text("We are open today."), writing(), writing(), writing()];
    assert_eq!(reply, [&first[..], &[text(" On Sundays, too."), Ok(Delta::End)]].concat());
}

/// The conversation speaks the first sentence then, and does not wait until the second one is complete.
#[tokio::test]
async fn the_next_token_shows_that_the_first_sentence_is_complete() {
    let text = "It costs 3.50 at Dr. Lee's. On Sundays, too.";
    let tokens: Vec<String> = text.chars().map(String::from).collect();
    let pieces: Vec<&str> = tokens.iter().map(String::as_str).collect();
    let (reply, _) = asked(vec![chunked(&[body_with(&pieces, "stop").as_bytes()])], prompt()).await;
    let so_far = reply.iter().take_while(|item| **item != Ok(Delta::Writing));
    let words: String = so_far.map(|item| if let Ok(Delta::Text(text)) = item { text } else { "" }).collect();
    assert_eq!(words, "It costs 3.50 at Dr. Lee's. ");
    assert_eq!(reply.iter().filter(|item| **item == Ok(Delta::Writing)).count(), "On Sundays, too.".len());
}
