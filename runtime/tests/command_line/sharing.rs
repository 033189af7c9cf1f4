//! Processes that share a folder or a cache, and are killed at any moment, lose nothing and leave
//! nothing half-written.

use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seg_inference::library::{Build, LIBRARY_VARIABLE, Search};

use crate::continuing::contents;
use crate::{Ended, Workplace};

impl Workplace {
    fn start(&self, args: &str) -> Child {
        let mut command = self.command(args.split_whitespace());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

fn ended(child: Child) -> Ended {
    Ended::from_output(child.wait_with_output().unwrap())
}

#[test]
fn parts_that_are_killed_at_random_moments_end_as_a_run_in_one_go() {
    let place = Workplace::new();
    for index in 0..30 {
        place.image(&format!("in/{index:02}.png"), 150 + index, 120);
    }
    let begun = Instant::now();
    assert_eq!(place.run("infer --model threshold.onnx --out whole in").code, Some(0));
    let whole_run = begun.elapsed();
    thread::scope(|scope| {
        for part in [1, 2] {
            let place = &place;
            scope.spawn(move || {
                let mut random = ChaCha8Rng::seed_from_u64(part);
                let args = format!("infer --model threshold.onnx --out out --continue --num-parts 2 --part {part} in");
                for _ in 0..6 {
                    let mut child = place.start(&args);
                    thread::sleep(whole_run.mul_f64(random.random()));
                    child.kill().unwrap();
                    child.wait().unwrap();
                }
                let ended = place.run(&args);
                assert_eq!(ended.code, Some(0), "part {part}: {ended:?}");
            });
        }
    });
    let ended = place.run("merge out");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(contents(&place.path("out")), contents(&place.path("whole")));
    let told = |name| {
        let of = |line: &serde_json::Value| ["name", "input_sha256", "area", "files"].map(|field| line[field].clone());
        place.json_lines(name).iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(told("out/predictions.jsonl"), told("whole/predictions.jsonl"));
}

#[test]
fn of_two_runs_that_begin_at_once_one_is_refused_and_nothing_is_lost() {
    let place = Workplace::new();
    for index in 0..30 {
        place.image(&format!("in/{index:02}.png"), 150 + index, 120);
    }
    assert_eq!(place.run("infer --model threshold.onnx --out whole in").code, Some(0));
    // One may end before the other begins to write, on a busy machine.
    for round in 0..10 {
        let out = format!("out-{round}");
        let args = format!("infer --model threshold.onnx --out {out} in");
        let both = [place.start(&args), place.start(&args)].map(ended);
        assert!(both.iter().any(|ended| ended.code == Some(0)), "{both:?}");
        assert_eq!(contents(&place.path(&out)), contents(&place.path("whole")));
        assert_eq!(place.json_lines(&format!("{out}/predictions.jsonl")).len(), 30);
        if let Some(refused) = both.iter().find(|ended| ended.code != Some(0)) {
            assert_eq!(refused.code, Some(1), "{refused:?}");
            assert!(refused.stderr.contains(&format!("another process is writing to `{out}`")), "{refused:?}");
            return;
        }
    }
    panic!("the runs have never met");
}

/// A stand-in for Python and pip, which unpacks its arguments slowly and keeps account of it.
const PIP: &str = r#"#!/bin/sh
echo begun >> "$PIP_LOG"
while [ "$1" != --target ]; do shift; done
mkdir -p "$2/onnxruntime/capi"
printf half > "$2/onnxruntime/capi/$(basename "$PIP_LIBRARY")"
sleep "$PIP_SECONDS"
cp "$PIP_LIBRARY" "$2/onnxruntime/capi/"
"#;

#[test]
fn processes_that_share_a_cache_fetch_once_and_never_load_half_a_library() {
    let place = Workplace::new();
    place.image("a.png", 40, 30);
    let real = Search { variable: None, ..Search::from_env(None, Build::Cpu) }.locate().unwrap().path;
    fs::create_dir(place.path("bin")).unwrap();
    fs::write(place.path("bin/python3"), PIP).unwrap();
    fs::set_permissions(place.path("bin/python3"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = env::join_paths([place.path("bin")].into_iter().chain(env::split_paths(&env::var_os("PATH").unwrap())));
    let start = |out: &str, seconds: &str| {
        let mut command = place.command(["infer", "--model", "threshold.onnx", "--out", out, "a.png"]);
        command.env_remove(LIBRARY_VARIABLE).env("SEG_RUNTIME_CACHE", place.path("cache"));
        command.env("PATH", path.as_ref().unwrap()).env("PIP_LIBRARY", &real);
        command.env("PIP_LOG", place.path("log")).env("PIP_SECONDS", seconds);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let fetches = || fs::read_to_string(place.path("log")).unwrap_or_default().lines().count();

    // The first one is killed while it fetches; its pip, which nobody kills, would write long
    // after.
    let mut killed = start("killed", "3");
    while fetches() == 0 {
        assert!(killed.try_wait().unwrap().is_none(), "{:?}", ended(killed));
        thread::sleep(Duration::from_millis(5));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    let both = [start("one", "0.3"), start("two", "0.3")].map(ended);
    assert!(both.iter().all(|ended| ended.code == Some(0)), "{both:?}");
    assert_eq!(fetches(), 2, "{both:?}");
    assert_eq!(contents(&place.path("one")), contents(&place.path("two")));
    assert_eq!(place.json_lines("one/predictions.jsonl").len(), 1);
}
