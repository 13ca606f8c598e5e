//! A wire to a server that can be cut, made mute, or made to refuse what it carries.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::spawn;

/// What is wrong with the wire. A request is named by how it begins, such as `POST /ari/bridges`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Connections end, and new ones as soon as they are made.
    Cut,
    /// Such requests are answered with 500 and go no further.
    Refused(&'static str),
    /// Such requests go no further, and nobody says so.
    Swallowed(&'static str),
    /// Such requests are carried out, but their answers are lost.
    Unanswered(&'static str),
}

/// A TCP or HTTP proxy on a loopback port.
pub struct FaultProxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    server: SocketAddr,
    /// It carries HTTP and reads each request's head.
    http: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    fault: Option<Fault>,
    open: Vec<TcpStream>,
    /// Requests that a fault has met.
    met: usize,
}

impl FaultProxy {
    /// Carries bytes, whatever they mean.
    pub fn to(server: SocketAddr) -> FaultProxy {
        FaultProxy::start(server, false)
    }

    /// Carries HTTP, one request a connection, and WebSockets.
    pub fn to_http(server: SocketAddr) -> FaultProxy {
        FaultProxy::start(server, true)
    }

    fn start(server: SocketAddr, http: bool) -> FaultProxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("a bound port").port();
        let shared = Arc::new(Shared { server, http, state: Mutex::default() });
        let inside = shared.clone();
        spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let shared = inside.clone();
                spawn(move || drop(shared.carry(near)));
            }
        });
        FaultProxy { port, shared }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn fail(&self, fault: Fault) {
        let mut state = self.shared.state();
        state.met = 0;
        if fault == Fault::Cut {
            state.open.drain(..).for_each(end);
        }
        state.fault = Some(fault);
    }

    /// How many requests the present fault has met.
    pub fn met(&self) -> usize {
        self.shared.state().met
    }

    pub fn mend(&self) {
        self.shared.state().fault = None;
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        // The listener's thread goes with the test's process; it carries nothing any more.
        self.fail(Fault::Cut);
    }
}

impl Shared {
    fn carry(&self, mut near: TcpStream) -> io::Result<()> {
        let head = if self.http { read_head(&mut near)? } else { Vec::new() };
        let fault = self.fault_for(&head);
        match fault {
            Some(Fault::Cut) => return near.shutdown(Shutdown::Both),
            Some(Fault::Refused(_)) => {
                let body = r#"{"message":"out of order"}"#;
                let answer = format!(
                    "HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\nContent-Type: application/json\r\n\
                     Content-Length: {}\r\n\r\n{body}",
                    body.len()
                );
                near.write_all(answer.as_bytes())?;
                near.shutdown(Shutdown::Write)?;
                return io::copy(&mut near, &mut io::sink()).map(drop);
            }
            Some(Fault::Swallowed(_)) => return io::copy(&mut near, &mut io::sink()).map(drop),
            Some(Fault::Unanswered(_)) | None => {}
        }
        let mut far = TcpStream::connect(self.server)?;
        self.state().open.extend([near.try_clone()?, far.try_clone()?]);
        far.write_all(&head)?;
        let (mut near_in, mut far_out) = (near.try_clone()?, far.try_clone()?);
        let upstream = spawn(move || {
            let _ = io::copy(&mut near_in, &mut far_out);
            end(far_out);
        });
        if fault.is_some() {
            io::copy(&mut far, &mut io::sink())?;
        } else {
            let _ = io::copy(&mut far, &mut near);
            end(near);
        }
        drop(upstream.join());
        Ok(())
    }

    /// What befalls a connection that begins so.
    fn fault_for(&self, head: &[u8]) -> Option<Fault> {
        let mut state = self.state();
        let befallen = match state.fault.as_ref()? {
            Fault::Cut => true,
            Fault::Refused(what) | Fault::Swallowed(what) | Fault::Unanswered(what) => {
                head.starts_with(what.as_bytes())
            }
        };
        state.met += usize::from(befallen);
        state.fault.clone().filter(|_| befallen)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn end(stream: TcpStream) {
    let _ = stream.shutdown(Shutdown::Both);
}

/// A request's head. Unless it asks for another protocol, it is told to be its connection's last.
fn read_head(near: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        near.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    if !String::from_utf8_lossy(&head).to_lowercase().contains("\r\nupgrade:") {
        head.truncate(head.len() - 2);
        head.extend(b"Connection: close\r\n\r\n");
    }
    Ok(head)
}
