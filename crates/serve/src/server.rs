//! The server: opens models, listens, and stops when it is asked to.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread;
use std::time::Duration;

use ort::environment::Environment;
use seg_inference::{Settings, available_threads};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::task::{JoinHandle, spawn_blocking};
use tracing::{info, warn};

use crate::access::{Access, AccessError};
use crate::admission::Admission;
use crate::catalog::{Catalog, CatalogError};
use crate::connection::accept;
use crate::error::ApiError;
use crate::lanes::{Batching, Budget};
use crate::metrics::Metrics;
use crate::model::Opener;
use crate::options::Options;
use crate::results::Results;
use crate::router::router;

/// The threads that read and write connections; the work is done by others.
const NETWORK_THREADS: usize = 2;

/// The open files that the server asks the system for, most of them connections.
const FILES_MAX: u64 = 1 << 16;

/// The reason for which a server ends.
#[derive(Debug, Error)]
pub enum ServeError {
    /// Nobody may be let in by accident.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}; choose another one by `--listen ADDRESS:PORT`")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
    /// The models cannot be served.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The threads cannot be started.
    #[error("cannot start the threads of the server")]
    Threads {
        /// The cause.
        source: io::Error,
    },
    /// The thread that opens models has ended.
    #[error("the models could not be opened: a defect of the program ended it")]
    Opening,
}

/// The state that all requests share.
pub(crate) struct App {
    catalog: OnceLock<Arc<Catalog>>,
    pub(crate) admission: Admission,
    pub(crate) images: Budget,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) results: Arc<dyn Results>,
    pub(crate) access: Access,
    pub(crate) settings: Settings,
    is_stopping: AtomicBool,
}

impl App {
    /// Returns the models.
    ///
    /// # Errors
    /// When they are being opened.
    pub(crate) fn catalog(&self) -> Result<&Arc<Catalog>, ApiError> {
        self.catalog.get().ok_or_else(|| ApiError::busy("the models are being opened", 1))
    }

    /// Returns whether the server has been asked to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }
}

/// Does work that takes processor time, on a thread that does nothing else.
///
/// # Errors
/// When the work panics.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    let done = spawn_blocking(work).await;
    done.map_err(|_| ApiError::internal("the server stopped this request with a defect of the program"))
}

/// Serves models until the process gets SIGTERM or SIGINT; requests that are under way then end.
///
/// # Errors
/// When the address cannot be listened on, or a model cannot be opened.
pub fn serve(environment: Environment, options: Options, results: Arc<dyn Results>) -> Result<(), ServeError> {
    options.access.check(options.listen)?;
    // A limit that cannot be raised holds; connections beyond it wait.
    let _ = rlimit::increase_nofile_limit(FILES_MAX);
    let threads = available_threads().get();
    let runtime = Builder::new_multi_thread()
        .worker_threads(threads.min(NETWORK_THREADS))
        // As many images are decoded and encoded at once as there are processors, and one more that
        // waits for memory.
        .max_blocking_threads(threads + 1)
        .thread_name("serve")
        .enable_all()
        .build()
        .map_err(|source| ServeError::Threads { source })?;
    let ended = runtime.block_on(run(environment, options, results));
    // A network that still computes for a client that was cut off does not hold the process.
    runtime.shutdown_timeout(Duration::from_millis(100));
    ended
}

async fn run(environment: Environment, options: Options, results: Arc<dyn Results>) -> Result<(), ServeError> {
    let Options {
        listen,
        sources,
        engine,
        settings,
        lanes,
        batch,
        batch_delay,
        certified,
        reload,
        access,
        tls,
        limits,
        shutdown,
    } = options;
    let failed = |source| ServeError::Listen { address: listen, source };
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let metrics = Arc::new(Metrics::default());
    let scheme = if tls.is_some() { "https" } else { "http" };
    info!(address = format!("{scheme}://{address}"), "listening");
    if access.no_auth && !address.ip().is_loopback() {
        warn!("everyone who reaches {address} may use this server");
    }
    let opener = Opener {
        environment,
        engine,
        settings: settings.clone(),
        lanes,
        batching: Batching { images: batch, delay: batch_delay },
        certified,
        networks: Budget::new(limits.pixels_in_networks.get()),
        metrics: Arc::clone(&metrics),
    };
    let app = Arc::new(App {
        catalog: OnceLock::new(),
        admission: Admission::new(limits, Arc::clone(&metrics)),
        images: Budget::new(limits.pixels_in_memory.get()),
        metrics,
        results,
        access,
        settings,
        is_stopping: AtomicBool::new(false),
    });
    let opening = Arc::clone(&app);
    let opened = spawn_blocking(move || {
        let catalog = Arc::new(Catalog::open(sources, opener)?);
        if let Some(period) = reload {
            watch(Arc::downgrade(&catalog), period);
        }
        let models = catalog.all().len();
        let _ = opening.catalog.set(catalog);
        info!(models, "ready");
        Ok::<(), CatalogError>(())
    });
    let mut failure = None;
    let stop = async {
        tokio::select! {
            () = signal() => info!("stopping: no more connections are taken, requests under way may end"),
            error = failure_of(opened) => failure = Some(error),
        }
        app.is_stopping.store(true, Ordering::Relaxed);
    };
    accept(listener, router(Arc::clone(&app)), Arc::clone(&app), tls, stop, shutdown).await;
    failure.map_or(Ok(()), Err)
}

/// Waits for the error of opening models; never ends if they are open.
async fn failure_of(opened: JoinHandle<Result<(), CatalogError>>) -> ServeError {
    match opened.await {
        Ok(Ok(())) => pending().await,
        Ok(Err(error)) => error.into(),
        Err(_) => ServeError::Opening,
    }
}

/// Looks at the files of models every now and then, until the process ends.
fn watch(catalog: Weak<Catalog>, period: Duration) {
    let runtime = tokio::runtime::Handle::current();
    let started = thread::Builder::new().name("reload".into()).spawn(move || {
        let _runtime = runtime.enter();
        while let Some(catalog) = catalog.upgrade() {
            catalog.refresh();
            drop(catalog);
            thread::sleep(period);
        }
    });
    if let Err(error) = started {
        warn!("files of models are not watched: {error}");
    }
}

/// Waits for a signal to stop; a second one ends the process at once.
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};

    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        // Without handlers, a signal ends the process as it always does.
        return pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        std::process::exit(1);
    });
}
