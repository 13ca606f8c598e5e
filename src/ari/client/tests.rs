//! Requests against an ARI that is well, slow, broken or gone.

use serde_json::json;

use super::*;
use crate::ari::ChannelId;
use crate::ari::answer::{Application, ExternalMedia};
use crate::ari::fake::{FakeAri, Reply, header};
use crate::ari::request::NewMedia;

fn client(settings: Settings) -> Client {
    Client::new(&settings).unwrap()
}

async fn answered(reply: Reply) -> Result<Value, AriError> {
    let fake = FakeAri::start(move |_| reply.clone()).await;
    client(Settings { request_timeout_ms: 200, ..fake.settings() }).send(Request::application("vca")).await
}

#[tokio::test]
async fn a_request_is_sent_as_written_and_its_answer_read() {
    let media = json!({ "id": "m", "channelvars": { "UNICASTRTP_LOCAL_ADDRESS": "::1", "UNICASTRTP_LOCAL_PORT": "9" } });
    let fake = FakeAri::start(move |_| Reply::Json(200, media.clone())).await;
    let client = client(fake.settings());
    let external_host = "[::1]:4000".parse().unwrap();
    let new = NewMedia { channel_id: &ChannelId::new("m"), app: "vca", external_host, format: "ulaw" };
    let media: ExternalMedia = client.ask(Request::external_media(&new)).await.unwrap();
    assert_eq!(media.local, "[::1]:9".parse().unwrap());
    let head = fake.heads.lock().unwrap()[0].clone();
    assert!(
        head.starts_with(
            "POST /ari/channels/externalMedia?channelId=m&app=vca&external_host=%5B%3A%3A1%5D%3A4000"
        ),
        "{head}"
    );
    assert_eq!(header(&head, "authorization"), Some("Basic dmNhOmh1c2gtaHVzaA=="));
}

#[tokio::test]
async fn another_login_is_sent_with_the_next_request_and_event_web_socket() {
    let fake = FakeAri::start(|_| Reply::Json(204, Value::Null)).await;
    let client = client(fake.settings());
    client.send(Request::info()).await.unwrap();
    let other = Settings { username: "b".into(), password: "c".into(), ..fake.settings() };
    client.set_login(&other).unwrap();
    client.send(Request::info()).await.unwrap();
    let heads = fake.heads.lock().unwrap().clone();
    assert_eq!(header(&heads[0], "authorization"), Some("Basic dmNhOmh1c2gtaHVzaA=="));
    assert_eq!(header(&heads[1], "authorization"), Some("Basic Yjpj"));
    assert_eq!(client.events("vca").1, "Basic Yjpj");
}

#[tokio::test]
async fn no_body_is_null() {
    assert_eq!(answered(Reply::Json(204, Value::Null)).await, Ok(Value::Null));
}

#[tokio::test]
async fn each_fault_has_its_name() {
    let told = json!({ "message": "Channel not found" });
    let message = String::from("Channel not found");
    assert_eq!(answered(Reply::Json(404, told)).await, Err(AriError::Status { code: 404, message }));
    let silent = Err(AriError::Status { code: 500, message: String::new() });
    assert_eq!(answered(Reply::Raw("HTTP/1.1 500 X\r\nContent-Length: 5\r\n\r\noops!".into())).await, silent);
    assert_eq!(answered(Reply::Stall).await, Err(AriError::Timeout(Duration::from_millis(200))));
    assert_eq!(answered(Reply::Raw(String::new())).await, Err(AriError::Broken));
    let cut = Reply::Raw("HTTP/1.1 200 X\r\nContent-Length: 50\r\n\r\n{\"name\"".into());
    assert_eq!(answered(cut).await, Err(AriError::Broken));
    let garbage = Reply::Raw("HTTP/1.1 200 X\r\nContent-Length: 4\r\n\r\n{{{{".into());
    assert_eq!(answered(garbage).await, Err(AriError::Decode("it is not JSON")));
}

#[tokio::test]
async fn an_answer_has_a_limit() {
    let endless = format!("HTTP/1.1 200 X\r\nContent-Length: 9000000\r\n\r\n{}", " ".repeat(9_000_000));
    assert_eq!(answered(Reply::Raw(endless)).await, Err(AriError::Decode("it is too large")));
}

#[tokio::test]
async fn nobody_listens() {
    let url = FakeAri::start(|_| Reply::Stall).await.url.replace("127.0.0.1", "127.0.0.2");
    let result = client(Settings { url, ..Settings::default() }).send(Request::info()).await;
    assert_eq!(result, Err(AriError::Refused));
}

#[tokio::test]
async fn an_answer_of_another_shape_is_no_answer() {
    let fake = FakeAri::start(|_| Reply::Json(200, json!({ "nothing": 1 }))).await;
    let result: Result<Application, _> = client(fake.settings()).ask(Request::application("vca")).await;
    assert!(matches!(result, Err(AriError::Decode(_))), "{result:?}");
}

/// The second request waits for the first one's place, and its waiting counts.
#[tokio::test]
async fn requests_under_way_are_bounded() {
    let fake = FakeAri::start(|_| Reply::Stall).await;
    let client = client(Settings { max_requests: 1, request_timeout_ms: 150, ..fake.settings() });
    let (first, second) = tokio::join!(client.send(Request::info()), client.send(Request::info()));
    assert_eq!((first.is_err(), second.is_err()), (true, true));
    assert_eq!(fake.heads.lock().unwrap().len(), 1);
}

#[test]
fn a_bad_url_is_named() {
    let cases = [
        ("127.0.0.1:8088", BadUrl::Syntax),
        ("ftp://127.0.0.1", BadUrl::Scheme),
        ("http://vca:hush@127.0.0.1:8088", BadUrl::Credentials),
    ];
    for (url, expected) in cases {
        let settings = Settings { url: url.into(), ..Settings::default() };
        assert_eq!(Client::new(&settings).map(drop), Err(expected), "{url}");
    }
}

#[test]
fn the_event_url_follows_the_base_and_no_debug_shows_the_password() {
    let url = "https://pbx.example:8089/asterisk/".into();
    let settings = Settings { url, password: "hush-hush".into(), ..Settings::default() };
    let client = client(settings.clone());
    let (events, header) = client.events("a b");
    assert_eq!(events, "wss://pbx.example:8089/asterisk/ari/events?subscribeAll=false&app=a%20b");
    let shown = format!("{client:?} {header:?} {settings:?}");
    assert!(!shown.contains("hush") && !shown.contains("Basic"), "{shown}");
}
