//! Connections: a bounded number of them, each with limits on its head and its silence.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;
use tracing::{debug, warn};

use crate::server::App;

/// The largest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 32 << 10;
/// The time for a connection that is refused to take its answer.
const REFUSAL_TIME: Duration = Duration::from_secs(1);
/// The pause after the system had no connection to give, as when there are too many files.
const PAUSE: Duration = Duration::from_millis(50);
/// The answer to a connection that is one too many.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: 54\r\n\
                      Retry-After: 1\r\nConnection: close\r\n\r\n{\"error\":\"the server has as many connections as max\"}\n";

/// The two ends of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

/// The certificate and the key of a server.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ServerConfig>,
}

/// An error in the certificate or the key.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file holds no certificate, or no key.
    #[error("cannot read `{path}` as {what} in PEM")]
    Pem {
        /// The file.
        path: PathBuf,
        /// The thing that was expected.
        what: &'static str,
        /// The cause.
        source: rustls::pki_types::pem::Error,
    },
    /// They do not belong together, or are of a kind that is not used.
    #[error("cannot use the certificate `{certificate}` with the key `{key}`")]
    Unusable {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
        /// The cause.
        source: rustls::Error,
    },
}

impl Tls {
    /// Reads a certificate with its chain, and its key.
    ///
    /// # Errors
    /// When a file cannot be read, or they do not belong together.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let pem = |path: &Path, what| {
            let path = path.to_owned();
            move |source| TlsError::Pem { path, what, source }
        };
        let chain = CertificateDer::pem_file_iter(certificate).and_then(|all| all.collect::<Result<Vec<_>, _>>());
        let chain = chain.map_err(pem(certificate, "a certificate"))?;
        let private = PrivateKeyDer::from_pem_file(key).map_err(pem(key, "a private key"))?;
        let unusable = |source| TlsError::Unusable { certificate: certificate.into(), key: key.into(), source };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_single_cert(chain, private)
            .map_err(unusable)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config) })
    }
}

/// Takes connections until `stop` ends, and returns when those that are open have ended, or after
/// `patience`.
pub(crate) async fn accept(
    listener: TcpListener,
    router: Router,
    app: Arc<App>,
    tls: Option<Tls>,
    stop: impl Future<Output = ()>,
    patience: Duration,
) {
    let limits = *app.admission.limits();
    let places = Arc::new(Semaphore::new(limits.connections.get()));
    let graceful = GracefulShutdown::new();
    let acceptor = tls.map(|tls| TlsAcceptor::from(tls.config));
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        let (stream, remote) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if !is_of_one_connection(&error) {
                    warn!("cannot take a connection: {error}");
                    sleep(PAUSE).await;
                }
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            app.admission.refused("connections");
            tokio::spawn(refuse(stream));
            continue;
        };
        let Ok(local) = stream.local_addr() else { continue };
        // An answer goes out whole; a wait for more would only delay it.
        let _ = stream.set_nodelay(true);
        let (router, app, acceptor, watcher) = (router.clone(), Arc::clone(&app), acceptor.clone(), graceful.watcher());
        tokio::spawn(async move {
            let _place = place;
            let _counted = app.metrics.connection();
            let peer = Peer { local, remote };
            match acceptor {
                None => serve(stream, router, peer, limits.head, watcher).await,
                Some(acceptor) => match timeout(limits.head, acceptor.accept(stream)).await {
                    Ok(Ok(stream)) => serve(stream, router, peer, limits.head, watcher).await,
                    Ok(Err(error)) => debug!(%remote, "no TLS: {error}"),
                    Err(_) => debug!(%remote, "the TLS handshake took too long"),
                },
            }
        });
    }
    drop(listener);
    if timeout(patience, graceful.shutdown()).await.is_err() {
        warn!("requests that had not ended in time were cut off");
    }
}

/// Serves the requests of one connection.
async fn serve<S>(stream: S, router: Router, peer: Peer, head: Duration, watcher: hyper_util::server::graceful::Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        router.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection).await {
        debug!(remote = %peer.remote, "the connection ended: {error}");
    }
}

/// Answers a connection that is one too many.
async fn refuse(mut stream: TcpStream) {
    let answer = async {
        stream.write_all(FULL).await?;
        stream.shutdown().await
    };
    let _ = timeout(REFUSAL_TIME, answer).await;
}

/// Returns whether an error of accepting is about the one connection, which has gone.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_one_connection_too_many_is_as_long_as_it_says() {
        let text = std::str::from_utf8(FULL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
        serde_json::from_str::<serde_json::Value>(body).unwrap();
    }
}
