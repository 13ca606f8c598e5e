//! The port itself: opened, served with or without TLS, and closed with a grace for what is in progress.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::Router;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsAcceptor;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use super::api::{self, ApiState};
use super::connections::Gate;
use super::guard::guarded;
use super::status::Status;
use super::{CertificateFiles, Health, Settings, Tls};

/// The time for requests in progress after the server is stopped.
const GRACE: Duration = Duration::from_secs(2);
/// The interval at which metrics that are not fetched are condensed; otherwise they would accumulate.
const UPKEEP: Duration = Duration::from_secs(5);

/// The pause after a connection that could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A server that has its port and does not serve yet.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
    metrics: PrometheusHandle,
    certificate: Option<CertificateFiles>,
    gate: Gate,
    header_timeout: Duration,
}

impl Server {
    /// # Errors
    /// When the address is taken or not this machine's, when keys would cross the network in the clear, or when
    /// the settings of TLS name only one of certificate and key.
    pub fn bind(
        settings: &Settings,
        health: Arc<dyn Health>,
        metrics: PrometheusHandle,
        api: ApiState,
    ) -> anyhow::Result<Server> {
        let address = settings.bind;
        if settings.is_exposed() {
            bail!(
                "the admin port {address} can be reached from other machines, and without TLS: set admin.tls, or \
                 admin.allow_plaintext_remote = true where something else encrypts"
            );
        }
        let certificate = CertificateFiles::of(&settings.tls)?;
        let listener = listen(address).with_context(|| {
            format!("the admin port {address} cannot be opened: choose another with admin.bind")
        })?;
        let (routes, _) = api::router(api.clone());
        let status = Status::new(health, metrics.clone(), settings.metrics_access(), api);
        Ok(Server {
            address: listener.local_addr()?,
            listener,
            router: guarded(status.router().merge(routes), settings),
            metrics,
            certificate,
            gate: Gate::new(settings),
            header_timeout: Duration::from_millis(settings.header_timeout_ms),
        })
    }

    /// The address that it listens on; with the real port where port 0 was configured.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`. Until its certificate can be used, connections are closed at once.
    pub async fn serve(self, stop: CancellationToken) {
        let metrics = self.metrics.clone();
        tokio::select! {
            outcome = self.run(stop) => if let Err(error) = outcome {
                tracing::error!(%error, "the admin port is closed");
            },
            () = keep_up(&metrics) => {}
        }
    }

    async fn run(self, stop: CancellationToken) -> std::io::Result<()> {
        let tls = match self.certificate.clone() {
            None => None,
            // In this order: usable files are taken before the first connection would be closed.
            Some(files) => tokio::select! {
                biased;
                tls = files.until_usable() => Some(tls),
                closed = close_all(&self.listener) => return closed,
                () = stop.cancelled() => return Ok(()),
            },
        };
        tokio::select! {
            outcome = self.accept(tls.clone(), stop) => outcome,
            () = reload_on_sighup(tls) => Ok(()),
        }
    }

    async fn accept(self, tls: Option<Tls>, stop: CancellationToken) -> std::io::Result<()> {
        let handle = Handle::new();
        let service = self.router.into_make_service_with_connect_info::<SocketAddr>();
        let mut server = axum_server::from_tcp(self.listener)?.handle(handle.clone()).http1_only();
        // It counts from the end of the answer before, so that an idle connection ends, too.
        server.http_builder().http1().header_read_timeout(self.header_timeout);
        let closing = async {
            stop.cancelled().await;
            handle.graceful_shutdown(Some(GRACE));
            std::future::pending::<()>().await;
        };
        tokio::select! {
            outcome = async {
                match tls {
                    Some(tls) => {
                        let acceptor = RustlsAcceptor::new(tls.config()).handshake_timeout(self.header_timeout);
                        server.acceptor(acceptor.acceptor(self.gate)).serve(service).await
                    }
                    None => server.acceptor(self.gate).serve(service).await,
                }
            } => outcome,
            () = closing => Ok(()),
        }
    }
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Closes each connection, without an end. The port stays taken: it is what two daemons of one name cannot share.
async fn close_all(listener: &TcpListener) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener.try_clone()?)?;
    loop {
        if listener.accept().await.is_err() {
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    }
}

/// Condenses histograms, until it is dropped.
async fn keep_up(metrics: &PrometheusHandle) {
    let mut ticks = interval(UPKEEP);
    loop {
        ticks.tick().await;
        metrics.run_upkeep();
    }
}

/// SIGHUP, which would end the daemon otherwise, asks for the certificate to be read again.
async fn reload_on_sighup(tls: Option<Tls>) {
    let mut sighups = match signal(SignalKind::hangup()) {
        Ok(sighups) => sighups,
        Err(error) => {
            tracing::warn!(%error, "SIGHUP cannot be received: a renewed certificate is found by its date only");
            return std::future::pending().await;
        }
    };
    match tls {
        Some(tls) => tls.keep_fresh(&mut sighups).await,
        None => while sighups.recv().await.is_some() {},
    }
    std::future::pending().await
}
