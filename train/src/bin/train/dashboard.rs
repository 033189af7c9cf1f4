//! The dashboard: a thread of its own draws the run on the terminal and heeds Ctrl-C and the
//! request to end.

use std::io::{self, Read, stdin, stdout};
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::process;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::{DefaultTerminal, Terminal};
use seg_cli::say;
use seg_text::shell;
use seg_train::run::trainer::Event;
use seg_train::view::dashboard::draw;
use seg_train::view::progress::Progress;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::view::View;

/// The time between frames.
const FRAME: Duration = Duration::from_millis(250);
/// The key that Ctrl-C sends in raw mode, where it is a key like others.
const CTRL_C: u8 = 3;
/// Added to a signal's number for the exit status of a program that it ends.
const SIGNALLED: i32 = 128;

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
    /// The signal that asks the program to end; 0 while none does.
    asked: Arc<AtomicUsize>,
}

impl Shared {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        // Figures for a person to look at are still worth showing after a panic elsewhere.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Dashboard {
    /// Takes the terminal over; `run` is what to resume after Ctrl-C.
    ///
    /// # Errors
    /// When the terminal does not allow it.
    pub(crate) fn open(progress: Progress, run: &Path) -> io::Result<Self> {
        let asked = Arc::new(AtomicUsize::new(0));
        let unwatched = Arc::new(AtomicBool::new(true));
        // In this order the signal is seen by the painter or, where nobody looks any more, ends the
        // program by itself.
        flag::register_usize(SIGTERM, Arc::clone(&asked), SIGTERM as usize)?;
        flag::register_conditional_default(SIGTERM, Arc::clone(&unwatched))?;
        enable_raw_mode()?;
        let terminal =
            execute!(stdout(), EnterAlternateScreen).and_then(|()| Terminal::new(CrosstermBackend::new(stdout())));
        let terminal = terminal.inspect_err(|_| restore())?;
        let shared = Arc::new(Shared {
            began: Instant::now(),
            progress: Mutex::new(progress),
            done: AtomicBool::new(false),
            asked,
        });
        restore_on_panic(&shared);
        let resume = format!("interrupted; to go on: seg train --resume {}", shell::path(run));
        unwatched.store(false, Ordering::SeqCst);
        let painter = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                // A panic has said on the terminal what it was, and the run goes on.
                let _ = panic::catch_unwind(AssertUnwindSafe(|| paint(&shared, terminal)));
                restore();
                unwatched.store(true, Ordering::SeqCst);
                let signal = shared.asked.load(Ordering::SeqCst);
                if signal > 0 {
                    say(&resume);
                    // Nothing is lost: a resumed run goes on where it was last saved, bit for bit.
                    process::exit(SIGNALLED + signal as i32);
                }
            }
        });
        thread::spawn({
            let (shared, painter) = (Arc::clone(&shared), painter.thread().clone());
            move || listen(&shared, &painter)
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

/// Draws until training is done, the terminal is gone, or the program is asked to end.
fn paint(shared: &Shared, mut terminal: DefaultTerminal) {
    while !shared.done.load(Ordering::SeqCst) && shared.asked.load(Ordering::SeqCst) == 0 {
        if terminal.draw(|frame| draw(&shared.progress(), shared.began.elapsed(), frame)).is_err() {
            return;
        }
        thread::park_timeout(FRAME);
    }
}

/// Waits for Ctrl-C until the terminal is gone. Reading events with crossterm, which parses all
/// keys, would never end then.
fn listen(shared: &Shared, painter: &Thread) {
    for key in stdin().lock().bytes() {
        match key {
            Ok(CTRL_C) => {
                shared.asked.store(SIGINT as usize, Ordering::SeqCst);
                painter.unpark();
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
