//! The size of the program on the disk, and its memory while it segments an image of many pixels.

use std::process::Stdio;
use std::time::Duration;
use std::{fs, thread};

use image::{GrayImage, Luma};

use crate::{Ended, Workplace};

/// The largest that the program may be, in bytes.
const PROGRAM_BYTES_MAX: u64 = 20_000_000;

#[test]
fn the_program_is_small() {
    let bytes = fs::metadata(env!("CARGO_BIN_EXE_seg-runtime")).unwrap().len();
    assert!(bytes <= PROGRAM_BYTES_MAX, "{bytes} bytes");
}

#[test]
fn a_large_tiff_file_is_never_in_memory_as_a_whole() {
    let place = Workplace::new();
    let (width, height) = (2000, 20_000);
    // The encoder writes strips of a megabyte.
    GrayImage::from_fn(width, height, |x, _| Luma([if 2 * x < width { 200 } else { 20 }]))
        .save(place.path("large.tif"))
        .unwrap();
    let mut command = place.command("infer --model threshold.onnx --out out --save mask large.tif".split_whitespace());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        // It says nothing about a process that has just ended.
        let status = fs::read_to_string(&status).unwrap_or_default();
        let kibibytes = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next());
        peak = kibibytes.map_or(peak, |kibibytes| peak.max(kibibytes.parse::<u64>().unwrap() * 1024));
        thread::sleep(Duration::from_millis(5));
    }
    let ended = Ended::from_output(child.wait_with_output().unwrap());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let line = &place.json_lines("out/predictions.jsonl")[0];
    assert_eq!(line["area"][1]["pixels"], width / 2 * height);
    let as_floats = u64::from(width) * u64::from(height) * 3 * 4;
    assert!(peak > 0 && peak < as_floats / 2, "{peak} bytes, the image as floats would take {as_floats}");
}
