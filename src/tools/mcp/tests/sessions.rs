//! Sessions with servers: when they begin, are replaced and end.

use super::*;

/// The server forgets the session, as the specification has it: 404. The call goes on in another one.
#[tokio::test]
async fn an_expired_session_is_replaced() {
    let stub = Stub::with(|body, requests| {
        let calls = requests.iter().filter(|request| request.body["method"] == "tools/call").count();
        (body["method"] == "tools/call" && calls == 2).then(|| Reply::Head("404 Not Found", "{}".into()))
    })
    .await;
    let mut bench = Bench::of(stub.server(json!({}))).await;
    for _ in 0..3 {
        assert_eq!(bench.run(RYE).await.0, ToolOutcome::Succeeded);
    }
    assert_eq!(stub.requests("initialize").len(), 3, "the list, the call, and once more");
    let calls = stub.requests("tools/call");
    assert_eq!(calls[1].header("idempotency-key"), calls[2].header("idempotency-key"));
}

#[tokio::test]
async fn a_server_that_was_slow_once_works_with_the_next_call() {
    let stub = Stub::with(|body, requests| {
        let calls = requests.iter().filter(|request| request.body["method"] == "tools/call").count();
        (body["method"] == "tools/call" && calls == 1).then_some(Reply::Silence)
    })
    .await;
    let mut bench = Bench::of(stub.server(json!({}))).await;
    assert_eq!(bench.run(RYE).await.0, ToolOutcome::TimedOut);
    assert_eq!(bench.run(RYE).await.0, ToolOutcome::Succeeded);
}

/// The server lists its tools and then begins no further session.
#[tokio::test]
async fn a_tool_that_fails_does_not_wait_for_the_session_of_another() {
    let stub = Stub::with(|body, requests| {
        let begun = requests.iter().filter(|request| request.body["method"] == "initialize").count();
        (body["method"] == "initialize" && begun > 1).then_some(Reply::Silence)
    })
    .await;
    let mut bench = Bench::of(stub.server(json!({}))).await;
    let began = Instant::now();
    let first = bench.start(RYE);
    tokio::time::sleep(Duration::from_secs(1)).await;
    bench.start(RYE);
    let finished = bench.runner.next().await;
    assert_eq!((finished.tool, finished.outcome), (first, ToolOutcome::TimedOut));
    // The second tool's limit ends a second after that of the first.
    assert!(began.elapsed() < Duration::from_millis(2_300), "{:?}", began.elapsed());
    assert_eq!(bench.runner.next().await.outcome, ToolOutcome::TimedOut);
}

#[tokio::test]
async fn a_connection_is_closed_whose_stream_does_not_end_when_a_session_begins() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let url = format!("http://{}/mcp", listener.local_addr().expect("an address"));
    let closed = async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        received(&mut stream).await.expect("a request");
        let stream_head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n: ping\n\n";
        stream.write_all(stream_head.as_bytes()).await.expect("the client reads");
        let _ = stream.read(&mut [0; 1]).await;
    };
    let stub = Stub::sound().await;
    let bench = Bench::of(stub.server(json!({ "url": url, "timeout_ms": 100 })));
    let (bench, closed) = tokio::join!(bench, tokio::time::timeout(Duration::from_secs(10), closed));
    assert_eq!(bench.problems.len(), 1);
    closed.expect("the client closes the connection");
}

#[tokio::test]
async fn a_session_ends_with_the_call() {
    let stub = Stub::sound().await;
    let mut bench = Bench::of(stub.server(json!({}))).await;
    bench.run(RYE).await;
    let ended = |stub: &Stub| {
        let requests = stub.requests.lock().unwrap();
        requests.iter().filter(|request| request.head.starts_with("DELETE ")).count()
    };
    drop(bench);
    let both = async {
        while ended(&stub) < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), both).await.expect("that of the list and that of the call");
}
