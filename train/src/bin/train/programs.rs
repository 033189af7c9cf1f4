//! The programs beside this one, as child processes.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use seg_cli::Shown;

use crate::stop::StopRequest;

/// The time between two looks at a child.
const LOOK: Duration = Duration::from_millis(50);

/// A program of this project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// This program.
    Train,
    Export,
    Runtime,
}

impl Program {
    fn file(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Export => "export",
            Self::Runtime => "seg-runtime",
        }
    }
}

/// The programs, which a request to stop reaches too.
pub(crate) struct Programs {
    request: StopRequest,
    /// The ONNX Runtime library for those that run models.
    ort_lib: Option<PathBuf>,
}

impl Programs {
    /// Finds the programs that are needed in the folder of this one.
    ///
    /// # Errors
    /// When one is not there.
    pub(crate) fn beside(request: StopRequest, ort_lib: Option<PathBuf>, needed: &[Program]) -> Result<Self> {
        for program in needed {
            let path = path(*program)?;
            ensure!(
                path.is_file(),
                "there is no program `{}`, which exports or runs models; copy it there from the folder of the build, where \
                 `cargo build --release --locked` writes it",
                path.shown()
            );
        }
        Ok(Self { request, ort_lib })
    }

    /// Returns whether somebody has asked to stop.
    pub(crate) fn is_stopped(&self) -> bool {
        self.request.flag().load(Ordering::SeqCst)
    }

    /// Ends this program with the status that the signal leaves.
    pub(crate) fn exit(&self) -> ! {
        self.request.exit()
    }

    /// Runs a program, which prints where this one does, and waits for it.
    ///
    /// # Errors
    /// When it cannot be started or fails.
    pub(crate) fn run(&self, program: Program, flags: &[String]) -> Result<()> {
        let mut child = self.start(program, flags, Stdio::inherit())?;
        let status = self.wait(&mut child)?;
        check(program, flags, status)
    }

    /// Runs a program and returns what it prints to standard output.
    ///
    /// # Errors
    /// When it cannot be started or fails.
    pub(crate) fn capture(&self, program: Program, flags: &[String]) -> Result<Vec<u8>> {
        let mut child = self.start(program, flags, Stdio::piped())?;
        let out = child.stdout.take().context("the output of a program was asked for")?;
        let reader = thread::spawn(move || {
            let mut text = Vec::new();
            std::io::Read::read_to_end(&mut { out }, &mut text).map(|_| text)
        });
        let status = self.wait(&mut child)?;
        let text = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        check(program, flags, status)?;
        text.with_context(|| format!("cannot read what `{}` prints", program.file()))
    }

    fn start(&self, program: Program, flags: &[String], out: Stdio) -> Result<Child> {
        let path = path(program)?;
        let mut command = Command::new(&path);
        command.args(flags).stdin(Stdio::null()).stdout(out);
        if let Some(library) = self.ort_lib.as_ref().filter(|_| program != Program::Train) {
            command.env("ORT_DYLIB_PATH", library);
        }
        // A signal from the terminal reaches this program alone, which passes it on once: a second
        // one would end the child before it has saved what it learned.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.spawn().with_context(|| format!("cannot start `{}`", path.shown()))
    }

    /// Waits for a child, and asks it to stop once that is asked of this program.
    fn wait(&self, child: &mut Child) -> Result<ExitStatus> {
        let mut is_asked = false;
        loop {
            if let Some(status) = child.try_wait().context("cannot wait for a program")? {
                return Ok(status);
            }
            if self.is_stopped() && !is_asked {
                is_asked = true;
                let asked = Command::new("kill").arg("-TERM").arg(child.id().to_string()).status();
                if !asked.is_ok_and(|status| status.success()) {
                    // It may have ended in the meantime; whatever was killed goes on from its last
                    // save.
                    let _ = child.kill();
                }
            }
            thread::sleep(LOOK);
        }
    }
}

/// Returns the file of a program beside this one.
fn path(program: Program) -> Result<PathBuf> {
    let own = env::current_exe().context("cannot find the file of this program")?;
    Ok(match program {
        Program::Train => own,
        _ => own.with_file_name(format!("{}{}", program.file(), env::consts::EXE_SUFFIX)),
    })
}

/// Returns a path as an argument of another program.
pub(crate) fn text(path: &Path) -> Result<String> {
    path.to_str().map(Into::into).with_context(|| format!("the name of `{}` is not in UTF-8; rename it", path.shown()))
}

/// Fails where a program did; what was wrong it has said itself.
fn check(program: Program, flags: &[String], status: ExitStatus) -> Result<()> {
    if !status.success() {
        bail!("`{} {}` failed ({status}); its message stands above", program.file(), flags.join(" "));
    }
    Ok(())
}
