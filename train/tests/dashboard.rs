//! `train` on a terminal.

#![allow(unsafe_code, reason = "opens a pseudo-terminal")]
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::ffi::{CStr, c_char, c_int};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use image::{GrayImage, RgbImage};

/// Opens a terminal without making it that of this process.
const O_NOCTTY: c_int = 0o400;
const SIGTERM: i32 = 15;

unsafe extern "C" {
    fn grantpt(terminal: c_int) -> c_int;
    fn unlockpt(terminal: c_int) -> c_int;
    fn ptsname_r(terminal: c_int, name: *mut c_char, length: usize) -> c_int;
}

/// Opens a new terminal: the side of the person, and that of the program.
fn terminal() -> (File, File) {
    let open = |path: &str| OpenOptions::new().read(true).write(true).custom_flags(O_NOCTTY).open(path).unwrap();
    let person = open("/dev/ptmx");
    let mut name: [c_char; 64] = [0; 64];
    // SAFETY: the file is a terminal's, and the name ends within the array's length or is refused.
    let name = unsafe {
        assert_eq!((grantpt(person.as_raw_fd()), unlockpt(person.as_raw_fd())), (0, 0));
        assert_eq!(ptsname_r(person.as_raw_fd(), name.as_mut_ptr(), name.len()), 0);
        CStr::from_ptr(name.as_ptr())
    };
    let program = open(name.to_str().unwrap());
    let sized = Command::new("stty").args(["cols", "100", "rows", "30"]).stdin(program.try_clone().unwrap()).status();
    assert!(sized.unwrap().success());
    (person, program)
}

/// Begins a run that no test waits for, and reads on until its dashboard stands.
fn begin(folder: &Path) -> (Child, File) {
    for kind in ["images", "masks"] {
        fs::create_dir_all(folder.join("data").join(kind)).unwrap();
    }
    for number in 0..4u8 {
        let image = RgbImage::from_fn(32, 32, |x, _| [number * 20, x as u8, 9].into());
        image.save(folder.join(format!("data/images/{number}.png"))).unwrap();
        let mask = GrayImage::from_fn(32, 32, |x, _| [if x > 9 { 255 } else { 0 }].into());
        mask.save(folder.join(format!("data/masks/{number}.png"))).unwrap();
    }
    let (mut person, program) = terminal();
    let flags = "--data data --out run --epochs 1000000 --base-width 4 --crop 32 --device cpu";
    let mut command = Command::new(env!("CARGO_BIN_EXE_train"));
    command.args(flags.split(' ')).current_dir(folder).env("TERM", "xterm");
    command.stdin(program.try_clone().unwrap()).stdout(program);
    let child = command.spawn().unwrap();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("Ctrl-C") {
        let mut bytes = [0; 4096];
        let count = person.read(&mut bytes).unwrap();
        seen.extend(&bytes[..count]);
    }
    (child, person)
}

/// Waits until a process has ended; one that stays is killed.
fn end(mut child: Child) -> ExitStatus {
    let deadline = Instant::now() + Duration::from_secs(20);
    while child.try_wait().unwrap().is_none() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(20));
    }
    // Only what still runs is killed.
    let _ = child.kill();
    child.wait().unwrap()
}

/// Asks a process to end.
fn terminate(child: &Child) {
    let asked = Command::new("sh").args(["-c", &format!("kill -TERM {}", child.id())]).status().unwrap();
    assert!(asked.success());
}

#[test]
fn a_run_that_is_asked_to_end_gives_the_terminal_back_and_says_how_to_go_on() {
    let root = tempfile::tempdir().unwrap();
    for (name, signal) in [("Ctrl-C", 2), ("terminated", SIGTERM)] {
        let (child, mut person) = begin(&root.path().join(name));
        if name == "Ctrl-C" {
            person.write_all(b"q\x03").unwrap();
        } else {
            terminate(&child);
        }
        let reader = thread::spawn(move || {
            let mut said = Vec::new();
            // Once the last program has closed a terminal, reading from it is an error.
            let _ = person.read_to_end(&mut said);
            said
        });
        let status = end(child);
        assert_eq!(status.code(), Some(128 + signal), "{name}: {status}");
        let said = String::from_utf8_lossy(&reader.join().unwrap()).into_owned();
        let (_, after) = said.rsplit_once("\x1b[?1049l").expect("the other screen was not left");
        assert!(after.contains("interrupted; to go on: seg train --resume run"), "{name}: {after}");
    }
}

#[test]
fn a_run_whose_terminal_is_gone_can_still_be_ended() {
    let root = tempfile::tempdir().unwrap();
    let (child, person) = begin(root.path());
    drop(person);
    // Long enough for the next frame, which cannot be drawn.
    thread::sleep(Duration::from_secs(1));
    terminate(&child);
    let status = end(child);
    assert_eq!(status.code(), Some(128 + SIGTERM), "{status}");
}
