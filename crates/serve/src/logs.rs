//! One line of log for each request, and the identity by which it is found.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::{info, warn};

use crate::connection::Peer;
use crate::error::ApiError;
use crate::page::assets;
use crate::server::App;

/// The header of a request's identity.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest identity that is taken from a client.
const ID_LENGTH_MAX: usize = 64;

/// Returns whether a route needs no token: health, which probes ask, and the files of the page.
fn is_public(route: &str) -> bool {
    let is_asset = || assets().any(|asset| route.strip_prefix('/') == Some(asset.name));
    matches!(route, "/" | "/v2/health/live" | "/v2/health/ready") || is_asset()
}

/// Returns a text that no other request of this process has, and hardly one of any other.
pub(crate) fn unique() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    static START: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    let start = START.get_or_init(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos() as u64);
        // Two programs that start at one time are told apart by their number.
        now ^ (u64::from(std::process::id()) << 40)
    });
    format!("{start:016x}-{:08x}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Returns the identity of a request: the client's if it is plain, else a new one.
fn identity(request: &Request) -> String {
    let is_plain = |id: &&str| {
        (1..=ID_LENGTH_MAX).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    let given = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()).filter(is_plain);
    given.map_or_else(unique, str::to_owned)
}

/// Checks who asks, and counts and logs the answer.
pub(crate) async fn observe(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let _in_flight = app.metrics.in_flight();
    let id = identity(&request);
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let path = request.uri().path().to_owned();
    let peer = request.extensions().get::<Peer>().copied();
    let is_public = is_public(&route) || method == Method::OPTIONS;
    let admitted = match peer {
        Some(peer) => app.access.admit(request.headers(), peer.local.ip(), is_public),
        None => Ok(()),
    };
    let admitted = admitted.and_then(|()| encoding(&request));
    let mut response = match admitted {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let headers = response.headers_mut();
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    headers.insert("referrer-policy", HeaderValue::from_static("no-referrer"));
    if !headers.contains_key("cache-control") {
        headers.insert("cache-control", HeaderValue::from_static("no-store"));
    }
    let (status, took) = (response.status().as_u16(), start.elapsed());
    app.metrics.request(&route, method.as_str(), status, took);
    let took_ms = took.as_micros() as f64 / 1e3;
    let peer = peer.map(|peer| peer.remote.to_string()).unwrap_or_default();
    if status >= 500 {
        warn!(id, %method, path, status, took_ms, peer, "answered");
    } else {
        info!(id, %method, path, status, took_ms, peer, "answered");
    }
    response
}

/// Checks that the body is encoded in a way that is read.
fn encoding(request: &Request) -> Result<(), ApiError> {
    let Some(encoding) = request.headers().get("content-encoding") else { return Ok(()) };
    match encoding.to_str().map(str::to_ascii_lowercase).as_deref() {
        Ok("gzip" | "deflate" | "identity") => Ok(()),
        _ => Err(ApiError::new(
            axum::http::StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("the body is encoded as {encoding:?}, expected gzip, deflate or none"),
        )),
    }
}
