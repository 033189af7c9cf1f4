//! The requests that are worked on or wait for it: a bounded number, for a bounded time.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;

use crate::error::ApiError;
use crate::metrics::Metrics;
use crate::options::Limits;

/// The doors of a server.
pub(crate) struct Admission {
    requests: Arc<Semaphore>,
    bodies: Arc<Semaphore>,
    limits: Limits,
    metrics: Arc<Metrics>,
}

/// The bytes that one permit for bodies stands for.
pub(crate) const BYTES_PER_PERMIT: usize = 1 << 10;

impl Admission {
    pub(crate) fn new(limits: Limits, metrics: Arc<Metrics>) -> Self {
        Self {
            requests: Arc::new(Semaphore::new(limits.requests.get())),
            bodies: Arc::new(Semaphore::new(limits.bodies_bytes.div_ceil(BYTES_PER_PERMIT))),
            limits,
            metrics,
        }
    }

    /// Returns the limits.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Admits a request to be worked on, as long as the result is alive.
    ///
    /// # Errors
    /// When as many are admitted as may be.
    pub(crate) fn admit(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        Arc::clone(&self.requests).try_acquire_owned().map_err(|_| {
            self.metrics.refusal("requests");
            let most = self.limits.requests;
            ApiError::busy(format!("the server works on {most} requests already; send this one again later"), 1)
        })
    }

    /// Takes memory for more bytes of a body.
    pub(crate) fn body(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let permits = u32::try_from(bytes.div_ceil(BYTES_PER_PERMIT)).ok()?;
        Arc::clone(&self.bodies).try_acquire_many_owned(permits).ok()
    }

    /// Counts a request that is refused for a limit.
    pub(crate) fn refused(&self, limit: &'static str) {
        self.metrics.refusal(limit);
    }

    /// Returns the time at which a request that begins now must be answered.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.limits.request
    }
}

/// Waits for a step of a request until its deadline.
///
/// # Errors
/// When the step takes longer.
pub(crate) async fn within<T>(deadline: Instant, step: impl Future<Output = T>) -> Result<T, ApiError> {
    timeout_at(deadline.into(), step).await.map_err(|_| {
        ApiError::busy("the request took longer than this server allows; send a smaller one, or again later", 1)
    })
}
