//! Requests and replies of servers with habits of their own.

use super::*;

/// The rule of OpenAI's current models: `max_tokens` is refused.
#[tokio::test]
async fn a_refused_parameter_is_left_out_and_remembered() {
    let refusal = |name: &str| {
        let error = json!({ "error": { "message": "m", "code": "unsupported_parameter", "param": name } });
        answer("400 Bad Request", error.to_string())
    };
    let good = || chunked(&[GOOD.as_bytes()]);
    let answers = vec![refusal("max_tokens"), refusal("temperature"), good(), good(), refusal("messages")];
    let vendor = Vendor::start(answers).await;
    let settings = Settings { temperature: Some(0.7), ..Settings::default() };
    let engine = OpenAiLlm::new("openai".into(), vendor.endpoint(), settings);
    let meter = Meter::default();
    for _ in 0..2 {
        let reply: Reply = engine.reply(prompt(), meter.clone()).await.expect("a reply").collect().await;
        assert_eq!(reply, ok(&["Grüß", " Gott"]));
    }
    let Err(error) = engine.reply(prompt(), meter.clone()).await else { panic!("it cannot be left out") };
    assert_eq!(error.reason(), FailureReason::Refused);
    let sent: Vec<[bool; 3]> = vendor
        .requests()
        .iter()
        .map(|request| {
            let body = body_of(request);
            ["max_tokens", "max_completion_tokens", "temperature"].map(|name| body.get(name).is_some())
        })
        .collect();
    let expected = [
        [true, false, true],
        [false, true, true],
        [false, true, false],
        [false, true, false],
        [false, true, false],
    ];
    assert_eq!(sent, expected);
    let requests = meter.total().into_iter().find(|(item, _)| item.unit == Unit::Requests);
    assert_eq!(requests.expect("requests").1, 2, "refused requests cost nothing");
}

/// vLLM without its tool parser, and llama.cpp without `--jinja`.
#[tokio::test]
async fn a_server_that_refuses_tools_is_asked_without_them() {
    for (head, message) in [
        (
            "400 Bad Request",
            "\"auto\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set",
        ),
        ("500 Internal Server Error", "tools param requires --jinja flag"),
    ] {
        let refusal = answer(head, json!({ "error": { "message": message } }).to_string());
        let good = || chunked(&[GOOD.as_bytes()]);
        let vendor = Vendor::start(vec![refusal, good(), good()]).await;
        let engine = OpenAiLlm::new("openai".into(), vendor.endpoint(), Settings::default());
        for _ in 0..2 {
            let prompt = Prompt { tools: [ToolSpec::end_call()].into(), ..prompt() };
            let reply: Reply = engine.reply(prompt, Meter::default()).await.expect("a reply").collect().await;
            assert_eq!(reply, ok(&["Grüß", " Gott"]));
        }
        let tools = vendor.requests().iter().map(|it| body_of(it).get("tools").is_some()).collect::<Vec<_>>();
        assert_eq!(tools, [true, false, false], "{message}");
        let remarks = engine.remarks();
        assert!(remarks[0].1.contains("--enable-auto-tool-choice"), "{remarks:?}");
    }
}

/// OpenAI's models that reason, beside tools.
#[tokio::test]
async fn a_model_that_wants_no_reasoning_is_asked_for_none() {
    let message = "Function tools with reasoning_effort are not supported for gpt-5.6 in /v1/chat/completions. Please set \
                   reasoning_effort to 'none'.";
    let error = json!({ "error": { "message": message, "param": "reasoning_effort" } });
    let good = chunked(&[GOOD.as_bytes()]);
    let vendor = Vendor::start(vec![answer("400 Bad Request", error.to_string()), good]).await;
    let engine = OpenAiLlm::new("openai".into(), vendor.endpoint(), Settings::default());
    let prompt = Prompt { tools: [ToolSpec::end_call()].into(), ..prompt() };
    let reply: Reply = engine.reply(prompt, Meter::default()).await.expect("a reply").collect().await;
    assert_eq!(reply, ok(&["Grüß", " Gott"]));
    let sent: Vec<Value> = vendor.requests().iter().map(|request| body_of(request)).collect();
    assert_eq!((sent[0].get("reasoning_effort"), &sent[1]["reasoning_effort"]), (None, &json!("none")));
    assert!(sent[1].get("tools").is_some());
}

/// The chat template of Gemma 2, in llama.cpp.
#[tokio::test]
async fn a_template_without_a_system_prompt_is_served() {
    let error =
        json!({ "error": { "code": 500, "message": "System role not supported", "type": "server_error" } });
    let good = chunked(&[GOOD.as_bytes()]);
    let (reply, requests) = replied(vec![answer("500 Oops", error.to_string()), good]).await;
    assert_eq!(reply, Ok(ok(&["Grüß", " Gott"])));
    let roles = |request: &String| {
        let messages = body_of(request)["messages"].as_array().cloned().unwrap_or_default();
        messages.iter().map(|it| it["role"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(roles(&requests[0]), ["system", "user", "assistant", "user"]);
    assert_eq!(roles(&requests[1]), ["user", "assistant", "user"]);
}

/// The text of a reply.
fn text_of(reply: &[Item]) -> String {
    let text = |item: &Item| match item {
        Ok(Delta::Text(text)) => Some(text.clone()),
        _ => None,
    };
    reply.iter().filter_map(text).collect()
}

/// The chat template has written `<think>`: the text has the closing tag alone.
#[tokio::test]
async fn reasoning_that_no_tag_opens_is_learned_and_not_said() {
    let reasoned = ["The caller", " asks for hours. Nine", " to five.</think>\n\nWe open at nine."];
    let bodies = [&reasoned[..], &reasoned, &["We close", " at five."], &["We", " rest on Sundays."]];
    let answers = bodies.map(|texts| chunked(&[body_with(texts, "stop").as_bytes()]));
    let vendor = Vendor::start(answers.into()).await;
    let engine = OpenAiLlm::new("openai".into(), vendor.endpoint(), Settings::default());
    let mut said = Vec::new();
    for expected in [true, true, false, false] {
        let reply: Reply = engine.reply(prompt(), Meter::default()).await.expect("a reply").collect().await;
        said.push((text_of(&reply), reply.len()));
        assert_eq!(engine.remarks().len(), usize::from(expected), "{said:?}");
    }
    let (first, _) = &said[0];
    assert!(first.ends_with("\nWe open at nine.") && !first.contains("Nine"), "{first}");
    assert_eq!(said[1], ("We open at nine.".into(), 2), "held back until the closing tag");
    assert_eq!(
        said[2],
        ("We close at five.".into(), 2),
        "a reply without reasoning is said, and ends the habit"
    );
    assert_eq!(said[3], ("We rest on Sundays.".into(), 3), "it is not held back any more");
}

#[tokio::test]
async fn a_reply_that_is_a_closing_tag_is_empty() {
    let (reply, _) = replied(vec![chunked(&[body_with(&["</think>"], "stop").as_bytes()])]).await;
    assert_eq!(reply.expect_err("no words").reason(), FailureReason::Empty);
}
