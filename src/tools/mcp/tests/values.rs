//! Values that do not come from the model: static ones, variables of the call and masked entries.

use super::*;

/// A server's result has a field that the request of an HTTP tool needs.
#[tokio::test]
async fn fields_of_a_result_are_variables_of_http_tools() {
    let stub = Stub::sound().await;
    let server = stub.server(
        json!({ "tools": [{ "name": "check_stock", "variables": { "left": "/left", "none": "/x" } }] }),
    );
    let order = json!({
        "name": "order", "description": "Orders.", "method": "POST", "parameters": { "type": "object" },
        "url": server.url.replace("/mcp", "/orders/{{left}}"), "static_values": { "stock": "{{left}}" },
    });
    let profile = ProfileSettings {
        http_tools: vec![serde_json::from_value(order).expect("a tool")],
        ..ProfileSettings::default()
    };
    let mut bench = Bench::of(server).await;
    assert_eq!(bench.run(RYE).await.0, ToolOutcome::Succeeded);
    bench.runner.use_toolbox(Arc::new(Toolbox::new(&profile).for_call()));
    let action = ToolAction::Run(ToolWords::default());
    let effect = ToolEffect::None;
    let call = ToolRequest { id: "2".into(), name: "order".into(), arguments: "{}".into(), action, effect };
    bench.runner.run(ToolId(9), TurnId(1), &call);
    tokio::time::timeout(Duration::from_secs(10), bench.runner.next()).await.expect("it ends");
    let requests = stub.requests.lock().unwrap();
    let order = requests.iter().find(|request| request.head.contains("/orders/3 ")).expect("the order");
    assert_eq!(order.body["stock"], 3);
}

/// The tool takes a shop and a reservation beside the bread, from the tenant.
async fn with_static_values(schema: Value, values: Value) -> (Stub, Bench) {
    let listed = json!({ "name": "check_stock", "description": "Looks up bread.", "inputSchema": schema });
    let stub = Stub::with(move |body, _| {
        (body["method"] == "tools/list").then(|| {
            Reply::Json(json!({ "jsonrpc": "2.0", "id": body["id"], "result": { "tools": [listed] } }))
        })
    })
    .await;
    let tool = json!({ "name": "check_stock", "static_values": values, "variables": { "left": "/left" } });
    let bench = Bench::of(stub.server(json!({ "tools": [tool] }))).await;
    (stub, bench)
}

fn stock_of_a_shop(required: &[&str]) -> Value {
    let properties = json!({
        "bread": { "type": "string" }, "shop": { "type": "integer" }, "left": { "type": "integer" },
    });
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

#[tokio::test]
async fn static_values_are_arguments_that_the_model_never_sees() {
    let values = json!({ "shop": 12, "left": "{{ left }}" });
    let (stub, mut bench) = with_static_values(stock_of_a_shop(&["bread", "shop"]), values).await;
    let spec = &bench.toolbox.specs()[0];
    assert_eq!(spec.parameters["properties"], json!({ "bread": { "type": "string" } }));
    assert_eq!(spec.parameters["required"], json!(["bread"]));
    // A model that guesses an argument does not change it, nor supply one whose variable is not kept yet.
    for arguments in [r#"{"bread":"rye","left":98}"#, r#"{"bread":"rye","shop":13,"left":99}"#] {
        assert_eq!(bench.run(arguments).await.0, ToolOutcome::Succeeded);
    }
    let sent: Vec<Value> =
        stub.requests("tools/call").iter().map(|call| call.body["params"]["arguments"].clone()).collect();
    let first = json!({ "bread": "rye", "shop": 12 });
    assert_eq!(
        sent,
        [first, json!({ "bread": "rye", "shop": 12, "left": 3 })],
        "the first result has `left`"
    );
}

#[tokio::test]
async fn a_static_value_that_does_not_fit_is_not_named_to_the_model() {
    for (values, required) in
        [(json!({ "shop": "twelve" }), vec!["bread"]), (json!({ "left": "{{left}}" }), vec!["left"])]
    {
        let (stub, mut bench) = with_static_values(stock_of_a_shop(&required), values).await;
        let (outcome, result) = bench.run(RYE).await;
        assert_eq!(outcome, ToolOutcome::Refused);
        assert!(result.contains("from elsewhere") && !result.contains("shop"), "{result}");
        let (_, result) = bench.run(r#"{"bread":7}"#).await;
        assert!(!result.contains("twelve"), "{result}");
        assert_eq!(stub.requests("tools/call").len(), 0);
    }
    let (_, bench) = with_static_values(stock_of_a_shop(&["bread"]), json!({ "oven": 1 })).await;
    assert_eq!(bench.offered(), [""; 0]);
    assert!(bench.problems[0].problem.contains("no argument \"oven\""), "{:?}", bench.problems);
}

#[tokio::test]
async fn masked_entries_reach_the_server_and_not_the_model() {
    let stub = Stub::with(|body, _| {
        let echo = json!({ "content": [{ "type": "text", "text": body["params"]["arguments"]["bread"] }] });
        (body["method"] == "tools/call")
            .then(|| Reply::Json(json!({ "jsonrpc": "2.0", "id": body["id"], "result": echo })))
    })
    .await;
    let mut bench = Bench::of(stub.server(json!({}))).await;
    let keys: Vec<_> = "4711".chars().filter_map(|key| crate::dtmf::Digit::try_from(key).ok()).collect();
    bench.runner.keep_entry("keypad-3".to_owned(), &keys);
    let (_, result) = bench.run(r#"{"bread":"keypad-3"}"#).await;
    assert_eq!(stub.requests("tools/call")[0].body["params"]["arguments"]["bread"], "4711");
    assert!(!result.contains("4711") && result.contains("***"), "{result}");

    let message = format!("{}4711", "x".repeat(298));
    let stub = Stub::with(move |body, _| {
        let error = json!({ "code": 1, "message": message });
        (body["method"] == "tools/call")
            .then(|| Reply::Json(json!({ "jsonrpc": "2.0", "id": body["id"], "error": error })))
    })
    .await;
    let (_, result) = Bench::of(stub.server(json!({}))).await.run(RYE).await;
    assert!(result.contains("xx [cut]"), "an error is not cut within an entry: {result}");
}
