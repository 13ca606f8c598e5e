//! Clients that ask for much and read nothing.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tokio::net::TcpSocket;

use super::port::Port;
use crate::support::authority::Authority;

/// The largest response of the port that needs no key: 1.5 MB.
const LARGE: &str = "/docs/swagger-ui-bundle.js";
/// Connections that the attackers hold.
const ATTACK: usize = 512;
/// For how long a probe may be without its response.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Requests for much more than the buffers of both sides take.
fn requests() -> Vec<u8> {
    format!("GET {LARGE} HTTP/1.1\r\nHost: x\r\n\r\n").repeat(6).into_bytes()
}

/// A connection from one of eight addresses, on which much is asked for and nothing read.
async fn attack(
    port: SocketAddr,
    number: usize,
    tls: Option<Arc<ClientConfig>>,
) -> std::io::Result<Box<dyn Send>> {
    let socket = TcpSocket::new_v4()?;
    let last = u8::try_from(number % 8).unwrap_or(0) + 2;
    socket.bind((Ipv4Addr::new(127, 0, 0, last), 0).into())?;
    socket.set_recv_buffer_size(4_096)?;
    let stream = socket.connect(port).await?.into_std()?;
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    tokio::task::spawn_blocking(move || ask(stream, tls)).await?
}

fn ask(mut stream: TcpStream, tls: Option<Arc<ClientConfig>>) -> std::io::Result<Box<dyn Send>> {
    let Some(config) = tls else {
        stream.write_all(&requests())?;
        return Ok(Box::new(stream));
    };
    let name = ServerName::IpAddress(IpAddr::from([127, 0, 0, 1]).into());
    let mut session = ClientConnection::new(config, name).map_err(std::io::Error::other)?;
    rustls::Stream::new(&mut session, &mut stream).write_all(&requests())?;
    Ok(Box::new((session, stream)))
}

/// Asks for `/healthz` from 127.0.0.1, on a new connection.
fn probe(port: SocketAddr, tls: Option<Arc<ClientConfig>>) -> std::io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&port, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let request = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let mut status = [0; 12];
    match tls {
        None => {
            stream.write_all(request)?;
            stream.read_exact(&mut status)?;
        }
        Some(config) => {
            let name = ServerName::IpAddress(IpAddr::from([127, 0, 0, 1]).into());
            let mut session = ClientConnection::new(config, name).map_err(std::io::Error::other)?;
            let mut stream = rustls::Stream::new(&mut session, &mut stream);
            stream.write_all(request)?;
            stream.read_exact(&mut status)?;
        }
    }
    if &status == b"HTTP/1.1 200" { Ok(()) } else { Err(std::io::ErrorKind::InvalidData.into()) }
}

/// The longest time without a successful probe, until `stop`; probes that fail are repeated.
fn longest_gap(
    port: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    stop: &AtomicBool,
    count: &AtomicUsize,
) -> Duration {
    let (mut longest, mut last) = (Duration::ZERO, Instant::now());
    while !stop.load(Ordering::Relaxed) {
        let is_healthy = probe(port, tls.clone()).is_ok();
        longest = longest.max(last.elapsed());
        if is_healthy {
            last = Instant::now();
            count.fetch_add(1, Ordering::Relaxed);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    longest
}

/// Attackers take all places, hold them, and go on asking for more.
async fn healthz_is_answered_meanwhile(port: &Port, tls: Option<Arc<ClientConfig>>) {
    let (stop, probes, address) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), port.address);
    let prober = {
        let (stop, probes, tls) = (stop.clone(), probes.clone(), tls.clone());
        std::thread::spawn(move || longest_gap(address, tls, &stop, &probes))
    };
    let mut held = Vec::new();
    for number in 0..ATTACK {
        held.extend(attack(address, number, tls.clone()).await);
    }
    assert!(held.len() > ATTACK / 2, "the attack itself fails: {}", held.len());
    let full = Instant::now();
    for number in 0.. {
        if full.elapsed() > Duration::from_secs(4) {
            break;
        }
        held.extend(attack(address, number, tls.clone()).await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stop.store(true, Ordering::Relaxed);
    let longest =
        tokio::task::spawn_blocking(move || prober.join().expect("the prober")).await.expect("a time");
    let probes = probes.load(Ordering::Relaxed);
    eprintln!("{} connections, {probes} probes, {longest:?} without a response at most", held.len());
    assert!(longest < TIMEOUT, "no response from /healthz for {longest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_never_read_leave_health_checks_room() {
    let port = Port::open(|_| {}).await;
    healthz_is_answered_meanwhile(&port, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_never_read_leave_health_checks_room_with_tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let authority = Authority::new();
    let port = super::tls::port(&authority, None).await;
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).expect("a certificate"))
        .expect("a root");
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    healthz_is_answered_meanwhile(&port, Some(Arc::new(config))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_stops_reading_is_cut_and_a_slow_one_is_not() {
    let port = Port::open(|settings| settings.write_timeout_ms = 400).await;
    let whole = port.get(LARGE, None).await.bytes().await.expect("a body").len();
    let open = async || {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(64 * 1024).expect("it can be set");
        let stream = socket.connect(port.address).await.expect("a connection").into_std().expect("a stream");
        stream.set_nonblocking(false).expect("it can be set");
        stream
    };
    let (slow, silent) = (open().await, open().await);
    let request = format!("GET {LARGE} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let read = |mut stream: TcpStream, wait: Duration, pause: Duration| {
        let request = request.clone();
        tokio::task::spawn_blocking(move || {
            stream.write_all(request.as_bytes()).expect("it is sent");
            std::thread::sleep(wait);
            let (mut all, mut buffer) = (0, vec![0; 128 * 1024]);
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                all += count;
                std::thread::sleep(pause);
            }
            all
        })
    };
    let slow = read(slow, Duration::ZERO, Duration::from_millis(20));
    let silent = read(silent, Duration::from_secs(3), Duration::ZERO);
    assert!(slow.await.expect("a count") > whole, "with its head");
    let got = silent.await.expect("a count");
    assert!(got < whole, "{got} of {whole} bytes");
}
