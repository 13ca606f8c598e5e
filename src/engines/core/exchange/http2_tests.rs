//! Cancelled requests of HTTP/2, against a server that writes the frames of RFC 9113 itself.

use std::sync::atomic::AtomicUsize;

use reqwest::Client;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::*;

/// The client's first bytes (section 3.4).
const PREFACE: usize = 24;
/// The types of frames (section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
/// The flags END_STREAM and ACK, and END_HEADERS.
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
/// `:status: 200` in HPACK's static table (RFC 7541, appendix A).
const STATUS_200: u8 = 0x88;

async fn write(socket: &mut TcpStream, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let head = [&length[1..], &[kind, flags][..], &stream.to_be_bytes()[..]].concat();
    socket.write_all(&[head.as_slice(), payload].concat()).await.expect("the client reads");
}

/// Answers the first request without an end and the others whole. Reports streams that the client resets.
async fn serve(mut socket: TcpStream, resets: mpsc::Sender<u32>) {
    let mut preface = [0; PREFACE];
    socket.read_exact(&mut preface).await.expect("a preface");
    write(&mut socket, SETTINGS, 0, 0, &[]).await;
    let (mut head, mut requests) = ([0; 9], 0);
    while socket.read_exact(&mut head).await.is_ok() {
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0_u8; u32::from_be_bytes([0, a, b, c]).try_into().expect("short")];
        socket.read_exact(&mut payload).await.expect("a whole frame");
        let stream = u32::from_be_bytes(stream);
        match kind {
            SETTINGS if flags & ACK == 0 => write(&mut socket, SETTINGS, ACK, 0, &[]).await,
            PING if flags & ACK == 0 => write(&mut socket, PING, ACK, 0, &payload).await,
            HEADERS => {
                write(&mut socket, HEADERS, END_HEADERS, stream, &[STATUS_200]).await;
                let flags = if requests == 0 { 0 } else { END_STREAM };
                write(&mut socket, DATA, flags, stream, b"hello").await;
                requests += 1;
            }
            RST_STREAM => resets.send(stream).await.expect("the test reads"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn cancelling_a_response_of_http_2_resets_its_stream_and_keeps_the_connection() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let (count, (report, mut resets)) = (Arc::new(AtomicUsize::new(0)), mpsc::channel(8));
    let counted = count.clone();
    let server = tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve(socket, report.clone()));
        }
    });
    let http = Client::builder().http2_prior_knowledge().no_proxy().build().expect("a client");
    let connections = ServerConnections::default();
    let send = async || connections.send(http.post(&url)).await.expect("a result").expect("a response");
    let response = send().await;
    assert_eq!(response.version(), Version::HTTP_2);
    let mut body = connections.body(response);
    assert_eq!(body.next().await.expect("a piece").expect("bytes"), "hello");
    drop(body);
    let reset = timeout(Duration::from_secs(10), resets.recv()).await;
    assert_eq!(reset.ok().flatten(), Some(1), "the client's first stream");
    for _ in 0..2 {
        assert_eq!(connections.body(send().await).count().await, 1);
    }
    assert_eq!(count.load(Ordering::SeqCst), 1);
    server.abort();
}
