//! The dashboard: a thread of its own draws the run on the terminal, another heeds Ctrl-C.

use std::io::{self, Read, stdin, stdout};
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::{DefaultTerminal, Terminal};
use seg_train::run::trainer::Event;
use seg_train::view::dashboard::draw;
use seg_train::view::progress::Progress;

use crate::stop::StopRequest;
use crate::view::View;

/// The time between frames.
const FRAME: Duration = Duration::from_millis(250);
/// The key that Ctrl-C sends in raw mode, where it is a key like others.
const CTRL_C: u8 = 3;

/// Shows a run as a dashboard.
pub(crate) struct Dashboard {
    shared: Arc<Shared>,
    painter: Option<JoinHandle<()>>,
}

/// The state that training and painting share.
struct Shared {
    began: Instant,
    progress: Mutex<Progress>,
    /// The terminal is not to be drawn on any more.
    done: AtomicBool,
    request: StopRequest,
}

impl Shared {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        // Figures for a person to look at are still worth showing after a panic elsewhere.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Dashboard {
    /// Takes the terminal over; Ctrl-C makes the request to stop.
    ///
    /// # Errors
    /// When the terminal does not allow it.
    pub(crate) fn open(progress: Progress, request: &StopRequest) -> io::Result<Self> {
        enable_raw_mode()?;
        let terminal =
            execute!(stdout(), EnterAlternateScreen).and_then(|()| Terminal::new(CrosstermBackend::new(stdout())));
        let terminal = terminal.inspect_err(|_| restore())?;
        let shared = Arc::new(Shared {
            began: Instant::now(),
            progress: Mutex::new(progress),
            done: AtomicBool::new(false),
            request: request.clone(),
        });
        restore_on_panic(&shared);
        let painter = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                // A panic has said on the terminal what it was, and the run goes on.
                let _ = panic::catch_unwind(AssertUnwindSafe(|| paint(&shared, terminal)));
                restore();
            }
        });
        thread::spawn({
            let shared = Arc::clone(&shared);
            move || listen(&shared)
        });
        Ok(Self { shared, painter: Some(painter) })
    }

    fn close(&mut self) {
        if let Some(painter) = self.painter.take() {
            self.shared.done.store(true, Ordering::SeqCst);
            painter.thread().unpark();
            // It gives the terminal back whatever happens to it.
            let _ = painter.join();
        }
    }
}

impl View for Dashboard {
    fn observe(&mut self, event: &Event) {
        let now = self.shared.began.elapsed();
        self.shared.progress().observe(event, now);
    }

    fn warn(&mut self, line: &str) {
        self.shared.progress().say(line);
    }

    fn finish(mut self: Box<Self>) {
        self.close();
    }
}

/// On an error, and while a panic unwinds.
impl Drop for Dashboard {
    fn drop(&mut self) {
        self.close();
    }
}

/// Draws until training is done or the terminal is gone.
fn paint(shared: &Shared, mut terminal: DefaultTerminal) {
    let mut is_told = false;
    while !shared.done.load(Ordering::SeqCst) {
        if shared.request.flag().load(Ordering::SeqCst) && !is_told {
            shared.progress().say("stopping: the step is finished and the run saved; Ctrl-C again ends at once");
            is_told = true;
        }
        if terminal.draw(|frame| draw(&shared.progress(), shared.began.elapsed(), frame)).is_err() {
            return;
        }
        thread::park_timeout(FRAME);
    }
}

/// Waits for Ctrl-C until the terminal is gone. Reading events with crossterm, which parses all
/// keys, would never end then.
fn listen(shared: &Shared) {
    for key in stdin().lock().bytes() {
        match key {
            Ok(CTRL_C) => {
                let is_second = shared.request.interrupt();
                if is_second && !shared.done.swap(true, Ordering::SeqCst) {
                    restore();
                    shared.request.exit();
                }
            }
            Ok(_) if !shared.done.load(Ordering::SeqCst) => {}
            _ => return,
        }
    }
}

/// Has the terminal given back before a panic in any thread prints its message.
fn restore_on_panic(shared: &Arc<Shared>) {
    let shared = Arc::clone(shared);
    let previous = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !shared.done.swap(true, Ordering::SeqCst) {
            restore();
        }
        previous(info);
    }));
}

/// Gives the terminal back. Where that fails the terminal is gone, and there is nobody to tell.
fn restore() {
    let _ = disable_raw_mode();
    let _ = execute!(stdout(), LeaveAlternateScreen, Show);
}
