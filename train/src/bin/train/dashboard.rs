//! The dashboard: a thread of its own draws the run on the terminal and listens for Ctrl-C and for the request to end.

use std::io::{self, stdout};
use std::panic;
use std::path::Path;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, Event as Input, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::{DefaultTerminal, Terminal};
use seg_train::dashboard::draw;
use seg_train::progress::Progress;
use seg_train::trainer::Event;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::say;
use crate::view::View;

/// How long a frame stands; a key or a new size ends it.
const FRAME: Duration = Duration::from_millis(250);
/// Added to a signal's number for the exit status of a program that it ends.
const SIGNALLED: i32 = 128;

/// Shows a run as a dashboard.
pub(crate) struct Dashboard {
    shared: Arc<Shared>,
    painter: Option<JoinHandle<()>>,
}

/// What training and painting have in common.
struct Shared {
    began: Instant,
    progress: Mutex<Progress>,
    /// The terminal is not to be drawn on any more.
    done: AtomicBool,
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
        let terminate = Arc::new(AtomicBool::new(false));
        flag::register(SIGTERM, Arc::clone(&terminate))?;
        enable_raw_mode()?;
        let terminal =
            execute!(stdout(), EnterAlternateScreen).and_then(|()| Terminal::new(CrosstermBackend::new(stdout())));
        let terminal = terminal.inspect_err(|_| restore())?;
        let shared =
            Arc::new(Shared { began: Instant::now(), progress: Mutex::new(progress), done: AtomicBool::new(false) });
        restore_on_panic(&shared);
        let resume = format!("interrupted; to go on: train --resume '{}'", run.display());
        let painter = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                if let Stop::Signal(signal) = paint(&shared, &terminate, terminal) {
                    restore();
                    say(&resume);
                    // Nothing is lost: a resumed run goes on where it was last saved, bit for bit.
                    process::exit(SIGNALLED + signal);
                }
            }
        });
        Ok(Self { shared, painter: Some(painter) })
    }

    fn close(&mut self) {
        if let Some(painter) = self.painter.take() {
            self.shared.done.store(true, Ordering::SeqCst);
            // A painter that panicked has restored the terminal itself.
            let _ = painter.join();
            restore();
        }
    }
}

impl View for Dashboard {
    fn observe(&mut self, event: &Event) {
        let now = self.shared.began.elapsed();
        self.shared.progress().observe(event, now);
    }

    fn say(&mut self, line: &str) {
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

/// Why painting stops.
enum Stop {
    Done,
    Signal(i32),
}

/// Draws until training is done, the terminal is gone, Ctrl-C is pressed, or the program is asked to end.
fn paint(shared: &Shared, terminate: &AtomicBool, mut terminal: DefaultTerminal) -> Stop {
    while !shared.done.load(Ordering::SeqCst) {
        if terminate.load(Ordering::SeqCst) {
            return Stop::Signal(SIGTERM);
        }
        let drawn = terminal.draw(|frame| draw(&shared.progress(), shared.began.elapsed(), frame));
        if drawn.is_err() {
            break;
        }
        match event::poll(FRAME).and_then(|ready| if ready { event::read().map(Some) } else { Ok(None) }) {
            Ok(Some(Input::Key(key))) if is_interrupt(key) => return Stop::Signal(SIGINT),
            Ok(Some(Input::Resize(..)) | None) => {}
            // Other keys must not make it draw faster.
            Ok(Some(_)) => thread::sleep(FRAME / 4),
            Err(_) => break,
        }
    }
    Stop::Done
}

/// In raw mode Ctrl-C is a key like others.
fn is_interrupt(key: KeyEvent) -> bool {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind == KeyEventKind::Press && control && matches!(key.code, KeyCode::Char('c' | 'C'))
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
