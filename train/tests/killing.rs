//! The program `train` from outside: what a run leaves follows from its flags alone, however often
//! it was killed.

#![expect(clippy::unwrap_used, reason = "a claim that cannot be set up has failed")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use image::{GrayImage, Luma, Rgb, RgbImage};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::SafeTensors;
use seg_data::{write_mask_png, write_png};
use serde_json::{Map, Value};

/// The fields of a record that describe the machine, and not the network.
const TIMES: [&str; 5] = ["images_per_second", "training_seconds", "validation_seconds", "peak_memory", "waiting"];
/// Saves after every step.
const ALWAYS: &str = "0.0000001";
/// Saves after every epoch alone.
const NEVER: &str = "1000000";

/// Creates a folder of seven pictures of bright discs on a dark ground.
fn discs(folder: &Path) -> PathBuf {
    for name in ["images", "masks"] {
        fs::create_dir_all(folder.join(name)).unwrap();
    }
    for number in 0..7u32 {
        let inside = |x: u32, y: u32| (x.abs_diff(12 + number)).pow(2) + y.abs_diff(14).pow(2) < 50;
        let image = RgbImage::from_fn(32, 36, |x, y| Rgb([if inside(x, y) { 200 } else { 30 }, 40, 60]));
        let mask = GrayImage::from_fn(32, 36, |x, y| Luma([u8::from(inside(x, y))]));
        write_png(&folder.join(format!("images/{number}.png")), &image).unwrap();
        write_mask_png(&folder.join(format!("masks/{number}.png")), &mask, &[[0; 3], [255; 3]]).unwrap();
    }
    folder.into()
}

/// Begins a run with everything that a state must hold, or goes on with it where it has begun.
///
/// Five training images in batches of one make an epoch of two steps, the second with fewer
/// batches.
fn train(data: &Path, run: &Path, flags: &str, save_every: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_train"));
    command.stdout(Stdio::null());
    if run.join("config.json").exists() {
        command.arg("--resume").arg(run);
        return command;
    }
    command.arg("--data").arg(data).arg("--out").arg(run).args(flags.split(' ')).args(["--save-every", save_every]);
    command.args(["--epochs", "5", "--batch-size", "1", "--base-width", "4", "--crop", "32", "--device", "cpu"]);
    command.args(["--accumulate", "3", "--clip-norm", "0.5", "--ema", "0.9", "--validate-every", "2"]);
    command
}

/// The files of a run: the tensors of its two checkpoints, and its log without times.
#[derive(Debug, PartialEq)]
struct Left {
    tensors: BTreeMap<String, Vec<u8>>,
    log: Vec<Map<String, Value>>,
}

fn record(line: &str) -> Map<String, Value> {
    let mut record: Map<String, Value> = serde_json::from_str(line).unwrap();
    record.retain(|key, _| !TIMES.contains(&key.as_str()));
    record
}

fn left(run: &Path) -> Left {
    let mut tensors = BTreeMap::new();
    for file in ["best.safetensors", "last.safetensors"] {
        let bytes = fs::read(run.join(file)).unwrap();
        let read = SafeTensors::deserialize(&bytes).unwrap();
        tensors.extend(read.iter().map(|(name, tensor)| (format!("{file}: {name}"), tensor.data().to_vec())));
    }
    let log = fs::read_to_string(run.join("log.jsonl")).unwrap();
    Left { tensors, log: log.lines().map(record).collect() }
}

/// Fails with the first difference, and not with megabytes.
fn assert_same(name: &str, found: &Left, expected: &Left) {
    assert!(found.tensors.keys().eq(expected.tensors.keys()), "{name}: other tensors");
    for (tensor, values) in &found.tensors {
        assert!(*values == expected.tensors[tensor], "{name}: {tensor} differs");
    }
    assert_eq!(found.log, expected.log, "{name}: the logs differ");
}

fn uninterrupted(data: &Path, run: &Path, flags: &str, save_every: &str) -> (Left, Duration) {
    let begun = Instant::now();
    assert!(train(data, run, flags, save_every).status().unwrap().success());
    (left(run), begun.elapsed())
}

#[test]
fn the_same_flags_leave_the_same_run() {
    let folder = tempfile::tempdir().unwrap();
    let data = discs(&folder.path().join("data"));
    let (first, _) = uninterrupted(&data, &folder.path().join("first"), "--seed 3", NEVER);
    let (again, _) = uninterrupted(&data, &folder.path().join("again"), "--seed 3", ALWAYS);
    let (other, _) = uninterrupted(&data, &folder.path().join("other"), "--seed 4", NEVER);
    assert_same("again, saved at every step", &again, &first);
    assert_eq!(first.log.len(), 5);
    let validated: Vec<_> = first.log.iter().map(|record| !record["validation"].is_null()).collect();
    assert_eq!(validated, [false, true, false, true, true]);
    assert!(first.log.iter().all(|record| !record["gradient_norm"].is_null()));
    assert_ne!(first.log[0]["loss"], other.log[0]["loss"], "another seed gave the same loss");
    assert!(first.tensors.iter().any(|(name, values)| *values != other.tensors[name]), "and the same weights");

    let (half, _) = uninterrupted(&data, &folder.path().join("half"), "--seed 3 --precision bf16", NEVER);
    let (again, _) = uninterrupted(&data, &folder.path().join("half again"), "--seed 3 --precision bf16", ALWAYS);
    assert_same("again in bf16, saved at every step", &again, &half);
    assert_ne!(first.log[0]["loss"], half.log[0]["loss"], "nothing was rounded");
    assert!(half.tensors.keys().eq(first.tensors.keys()), "the files hold other tensors in bf16");
    for (name, values) in &half.tensors {
        assert_eq!(values.len(), first.tensors[name].len(), "{name} has other numbers of bits in bf16");
    }
}

#[test]
fn a_run_that_is_killed_at_any_moment_ends_as_one_that_was_not() {
    let folder = tempfile::tempdir().unwrap();
    let data = discs(&folder.path().join("data"));
    let (expected, whole) = uninterrupted(&data, &folder.path().join("whole"), "--seed 3", NEVER);
    for (name, save_every, longest) in [("saved at every step", ALWAYS, 0.5), ("saved after every epoch", NEVER, 0.9)] {
        let run = folder.path().join(name);
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut kills = 0;
        loop {
            let mut child = train(&data, &run, "--seed 3", save_every).spawn().unwrap();
            // The first three together are too short for the whole run.
            let longest = if kills < 3 { longest / 3.0 } else { longest };
            thread::sleep(whole.mul_f64(rng.random_range(0.0..longest)));
            if let Some(status) = child.try_wait().unwrap() {
                assert!(status.success(), "{name}: a run that was killed {kills} times cannot go on");
                break;
            }
            child.kill().unwrap();
            child.wait().unwrap();
            kills += 1;
            assert!(kills < 200, "{name}: the run does not get on");
        }
        assert!(kills >= 3, "{name}: killed only {kills} times, which shows little");
        assert_same(&format!("{name}, killed {kills} times"), &left(&run), &expected);
        let files = fs::read_dir(&run).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let hidden: Vec<_> = files.filter(|file| file.starts_with('.')).collect();
        assert!(hidden.is_empty(), "{name}: unfinished files are left: {hidden:?}");
    }
}
