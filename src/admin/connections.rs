//! The connections of the port: admitted while there are places for them, and closed when their peer does not read.

use std::future::{Ready, ready};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum_server::accept::Accept;
use metrics::counter;
use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use super::Settings;
use super::client::TrustedProxies;
use super::places::{Place, Places};

/// Places for loopback addresses alone: a sixteenth of all, at most so many.
const MOST_RESERVED: usize = 16;
/// The kernel's buffer for what a peer has not read yet, in bytes; the kernel doubles it for its own use. It bounds
/// the memory that peers can occupy, and what counts as progress: a third of it has to be read within the timeout.
const SEND_BUFFER: usize = 64 * 1024;
/// A peer that is gone is noticed after half a minute of silence and three unanswered probes.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(30);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 3;

/// Admits connections to the port.
#[derive(Debug, Clone)]
pub struct Gate {
    places: Arc<Places>,
    proxies: Arc<TrustedProxies>,
    write_timeout: Duration,
}

impl Gate {
    pub fn new(settings: &Settings) -> Gate {
        let all = settings.max_connections;
        let reserved = (all / 16).min(MOST_RESERVED);
        Gate {
            places: Arc::new(Places::new(all, reserved, settings.max_connections_per_address)),
            proxies: Arc::new(TrustedProxies(settings.trusted_proxies.clone())),
            write_timeout: Duration::from_millis(settings.write_timeout_ms),
        }
    }

    fn admit(&self, stream: TcpStream) -> io::Result<Connection> {
        let peer = stream.peer_addr()?.ip();
        let place = self.places.take(peer, self.proxies.contains(peer));
        let place = place.inspect_err(|refusal| {
            counter!("vca_admin_connections_refused_total", "reason" => refusal.as_str()).increment(1);
        });
        let place = place.map_err(|refusal| io::Error::other(refusal.as_str()))?;
        prepare(&stream, self.write_timeout)?;
        Ok(Connection { stream, place, write_timeout: self.write_timeout, deadline: None })
    }
}

/// Sets the options of a new connection's socket.
fn prepare(stream: &TcpStream, write_timeout: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_send_buffer_size(stream, SEND_BUFFER)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE_AFTER)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE_EVERY)?;
    sockopt::set_tcp_keepcnt(stream, KEEPALIVE_PROBES)?;
    // For what the kernel has taken and the peer does not acknowledge, after the daemon is done with the connection.
    let milliseconds = u32::try_from(write_timeout.as_millis()).unwrap_or(u32::MAX);
    sockopt::set_tcp_user_timeout(stream, milliseconds)?;
    Ok(())
}

impl<S> Accept<TcpStream, S> for Gate {
    type Stream = Connection;
    type Service = S;
    type Future = Ready<io::Result<(Connection, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        ready(self.admit(stream).map(|connection| (connection, service)))
    }
}

/// A connection that fails when its peer reads nothing for too long, or when another has taken its place.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    place: Place,
    write_timeout: Duration,
    /// When the write that waits for the peer is given up.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Connection {
    fn check_place(&self, context: &Context<'_>) -> io::Result<()> {
        if !self.place.is_lost(context.waker()) {
            return Ok(());
        }
        counter!("vca_admin_connections_closed_total", "reason" => "made_room").increment(1);
        Err(io::ErrorKind::ConnectionAborted.into())
    }

    /// Looks at the outcome of a write: one that has to wait for the peer may do so until the timeout.
    fn limit<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.deadline = None;
            self.place.note_progress();
            return written;
        }
        self.place.note_stall();
        let timeout = self.write_timeout;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(timeout)));
        if deadline.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        counter!("vca_admin_connections_closed_total", "reason" => "not_read").increment(1);
        // Another attempt to write fails at once, too.
        deadline.as_mut().reset(Instant::now());
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_place(context)?;
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_ready() {
            self.place.note_read();
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check_place(context)?;
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.limit(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check_place(context)?;
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.limit(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
