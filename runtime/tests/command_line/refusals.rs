//! Every request that cannot be met is an error that names the thing and the remedy, and leaves no
//! files behind.

use std::fs;

use seg_contract::{InputForm, OutputKind, SizePolicy};
use seg_inference::library::{Build, LIBRARY_VARIABLE, Search};

use crate::{Ended, Workplace, threshold};

#[test]
fn what_cannot_be_done_ends_with_1_and_what_was_not_said_rightly_with_2() {
    let place = Workplace::new();
    place.image("a.png", 9, 9);
    fs::create_dir(place.path("empty")).unwrap();
    fs::write(place.path("text.onnx"), "no model").unwrap();
    let graph = threshold::model(SizePolicy::Native).graph;
    fs::write(place.path("foreign.onnx"), seg_onnx::proto::write(&graph, seg_onnx::Opset::V20, &[]).unwrap()).unwrap();
    for (name, args, code, part) in [
        ("an empty folder", "infer --model threshold.onnx --out out empty", 1, "the folder `empty` holds no image"),
        ("no such file", "infer --model threshold.onnx --out out b.png", 1, "there is no file or folder `b.png`"),
        ("no match", "infer --model threshold.onnx --out out *.tif", 1, "the glob pattern `*.tif` matches no file"),
        ("no model", "infer --model absent.onnx --out out a.png", 1, "cannot read the model `absent.onnx`: No such"),
        ("not a model", "infer --model text.onnx --out out a.png", 1, "cannot use `text.onnx` as a model"),
        ("no contract", "infer --model foreign.onnx --out out a.png", 1, "no `seg.contract` in its metadata"),
        ("a file as a folder", "infer --model threshold.onnx --out a.png a.png", 1, "cannot create the folder"),
        (
            "no such library",
            "infer --model threshold.onnx --ort-lib no.so --out out a.png",
            1,
            "cannot load the ONNX Runtime library `no.so` named by `--ort-lib`",
        ),
        ("no data set", "eval --model threshold.onnx --data absent", 1, "absent"),
        ("no input", "infer --model threshold.onnx --out out", 2, "<INPUT>"),
        (
            "unknown provider",
            "infer --model threshold.onnx --ep gpu --out out a.png",
            2,
            "auto, cpu, fused, webgpu, openvino, cuda, tensorrt-rtx, tensorrt",
        ),
        ("unordered shapes", "infer --model threshold.onnx --shapes 2x1x1,1x1x1,1x1x1 --out out a.png", 2, "--shapes"),
        ("no such level", "infer --model threshold.onnx --builder-level 6 --out out a.png", 2, "--builder-level"),
        (
            "no CPU",
            "infer --model threshold.onnx --precision fp16 --out out a.png",
            1,
            "the CPU has no `--precision fp16`",
        ),
        ("no threads", "infer --model threshold.onnx --threads 0 --out out a.png", 2, "--threads"),
        ("no such share", "eval --model threshold.onnx --data d --confidence 95", 2, "between 0 and 1"),
        ("no such distance", "eval --model threshold.onnx --data d --tolerance-px=-1", 2, "not negative"),
        ("no such size", "inspect --size 0x5 threshold.onnx", 2, "HEIGHTxWIDTH"),
        (
            "no such bound",
            "compare --model threshold.onnx --tensors t --input x --expect y --max-abs nan",
            2,
            "not negative",
        ),
    ] {
        let ended = place.run(args);
        assert_eq!(ended.code, Some(code), "{name}: {ended:?}");
        assert!(ended.stderr.contains(part), "{name}: {ended:?}");
        assert!(ended.stderr.starts_with("error: "), "{name}: {ended:?}");
        assert!(!place.path("out").exists(), "{name}");
    }
}

#[test]
fn a_flag_that_would_have_no_effect_is_refused_beside_the_one_that_leaves_it_without() {
    let place = Workplace::new();
    place.image("a.png", 9, 9);
    place.image("data/images/a.png", 9, 9);
    place.mask("data/masks/a.png", 9, 9);
    fs::create_dir(place.path("stretched")).unwrap();
    threshold::write(&place.path("stretched"), SizePolicy::Resize { height: 16, width: 16 });
    threshold::write_as(place.0.path(), InputForm::default(), OutputKind::Mask);
    let infer = "infer --model threshold.onnx --out out a.png";
    let eval = "eval --model threshold.onnx --data data --split all --save-masks out";
    let never_cut = "infer --out out a.png --model";
    for (name, command, flags, code, parts) in [
        (
            "an overlap of nothing",
            infer,
            "--tile off --overlap 0.25",
            2,
            &["`--overlap` has no effect with `--tile off`", "leave out one of them"][..],
        ),
        ("an overlap of nothing", eval, "--tile off --overlap 0", 2, &["`--overlap` has no effect with `--tile off`"]),
        (
            "an overlap of stretched images",
            never_cut,
            "stretched/threshold.onnx --overlap 0.5",
            1,
            &["`--overlap` has no effect with a model that stretches images", "leave it out"],
        ),
        (
            "an overlap without probabilities",
            never_cut,
            "other.onnx --overlap 0.5",
            1,
            &["`--overlap` has no effect with a model that gives masks", "leave it out"],
        ),
        (
            "tiles in batches",
            eval,
            "--tile off --batch 2",
            2,
            &["`--batch` has no effect with `--tile off`", "leave out"],
        ),
        (
            "tiles of stretched images in batches",
            "eval --data data --split all --save-masks out --model",
            "stretched/threshold.onnx --batch 2",
            1,
            &["`--batch` has no effect with a model whose images are never cut", "leave it out"],
        ),
        (
            "an unsaved map",
            infer,
            "--uncertainty entropy",
            2,
            &["`--uncertainty` has no effect without `--save uncertainty`", "add `uncertainty` to `--save`"],
        ),
        (
            "another map",
            infer,
            "--save mask,probabilities --uncertainty variance --tta flips",
            2,
            &["`--uncertainty` has no effect without `--save uncertainty`"],
        ),
        (
            "two areas",
            infer,
            "--min-area nucleus=2,all=3 --min-area nucleus=4",
            2,
            &["names `nucleus` twice", "each class once"],
        ),
        (
            "a part of fewer",
            infer,
            "--num-parts 3 --part 4",
            2,
            &["`--part 4` is none of `--num-parts 3`", "counted from 1"],
        ),
        ("a part of nothing", infer, "--part 1", 2, &["--num-parts"]),
        ("a key for nothing", infer, "--public-key seg.pub.pem", 2, &["--require-certificate"]),
        (
            "a share of no draws",
            eval,
            "--bootstrap 0 --confidence 0.9",
            2,
            &["`--confidence` has no effect with `--bootstrap 0`", "leave out one of them"],
        ),
        ("a seed of no draws", eval, "--bootstrap 0 --seed 1", 2, &["`--seed` has no effect with `--bootstrap 0`"]),
        (
            "pictures nowhere",
            eval,
            "--worst 3",
            2,
            &["`--worst` has no effect without `--out`", "name a folder by `--out`"],
        ),
        (
            "stages of two models",
            "bench threshold.onnx",
            "--against threshold.onnx --images a.png",
            2,
            &["--against", "--images"],
        ),
    ] {
        let ended = place.run(&format!("{command} {flags}"));
        assert_eq!(ended.code, Some(code), "{name}: {ended:?}");
        for part in parts {
            assert!(ended.stderr.contains(part), "{name}: {part}: {ended:?}");
        }
        assert!(ended.stderr.starts_with("error: ") && ended.stdout.is_empty(), "{name}: {ended:?}");
        assert!(!place.path("out").exists(), "{name}");
    }
    // Flags that allow or forbid, and the needs of the flag beside them.
    for (command, flags) in [
        (infer, "--tile off --batch 2 --allow-fallback --offline"),
        (infer, "--tile 8 --overlap 0.5"),
        (infer, "--overlap 0.5"),
        (infer, "--save uncertainty --uncertainty entropy"),
        (never_cut, "stretched/threshold.onnx --batch 2"),
        (eval, "--batch 2"),
        (eval, "--bootstrap 0"),
        (eval, "--bootstrap 5 --confidence 0.9 --seed 1 --worst 0 --out scores"),
    ] {
        let ended = place.run(&format!("{command} {flags}"));
        assert_eq!(ended.code, Some(0), "{command} {flags}: {ended:?}");
        fs::remove_dir_all(place.path("out")).unwrap();
    }
}

#[test]
fn a_provider_that_cannot_be_had_is_an_error_and_never_the_cpu() {
    let place = Workplace::new();
    place.image("a.png", 9, 9);
    let cpu_build = Search::from_env(None, Build::Cpu).locate().unwrap().path;
    for (ep, provider, library) in [
        ("cuda", "CUDA", "libonnxruntime_providers_cuda.so"),
        ("tensorrt", "TensorRT", "libonnxruntime_providers_tensorrt.so"),
    ] {
        let mut command = place.command(["infer", "--model", "threshold.onnx", "--out", "out", "--ep", ep, "a.png"]);
        let ended = Ended::from_output(command.env(LIBRARY_VARIABLE, &cpu_build).output().unwrap());
        let expected = format!("error: cannot load `threshold.onnx` with {provider}: {library}: not part of");
        assert_eq!(ended.code, Some(1), "{ep}: {ended:?}");
        assert!(ended.stderr.starts_with(&expected), "{ep}: {ended:?}");
        assert!(ended.stderr.ends_with("or choose `--ep cpu`\n"), "{ep}: {ended:?}");
        assert!(!place.path("out").exists(), "{ep}");
    }
}

#[test]
fn a_library_that_cannot_be_fetched_is_an_error_with_a_remedy() {
    let place = Workplace::new();
    place.image("a.png", 9, 9);
    for (name, variable, value, part) in [
        ("offline", "SEG_RUNTIME_OFFLINE", "1", "nothing may be fetched now"),
        ("no pip", "PATH", "", "cannot fetch onnxruntime 1.32.0 with pip"),
    ] {
        let mut command = place.command(["infer", "--model", "threshold.onnx", "--out", "out", "a.png"]);
        command.env_remove(LIBRARY_VARIABLE).env("SEG_RUNTIME_CACHE", place.path("cache")).env(variable, value);
        let ended = Ended::from_output(command.output().unwrap());
        assert_eq!(ended.code, Some(1), "{name}: {ended:?}");
        assert!(ended.stderr.contains(part) && ended.stderr.contains("`--ort-lib`"), "{name}: {ended:?}");
    }
}

#[test]
fn setup_keeps_to_what_is_there_when_it_may_not_fetch() {
    let place = Workplace::new();
    let mut command = place.command(["setup", "--offline"]);
    let ended = Ended::from_output(command.env("SEG_RUNTIME_CACHE", place.path("cache")).output().unwrap());
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("run `seg setup` where there is a network"), "{ended:?}");
    assert!(!place.path("cache").exists());

    let library = Search::from_env(None, Build::Cpu).locate().unwrap().path;
    let ended = place.run("setup --offline");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains(library.file_name().unwrap().to_str().unwrap()), "{ended:?}");
}
