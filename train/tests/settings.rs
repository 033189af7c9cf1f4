//! Settings through the command line: which of several places decides, and what is refused.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use burn::tensor::Device;
use image::{GrayImage, Luma, Rgb, RgbImage};
use safetensors::SafeTensors;
use seg_data::{write_mask_png, write_png};
use seg_nets::amsunet::AmsUnetConfig;
use seg_nets::weights::Weights;
use serde_json::{Value, json};

/// Creates a folder of ten pictures.
fn data(folder: &Path) {
    pictures(folder, |_| (40, 36));
}

/// Creates a folder of ten pictures, each as wide and high as `size` says.
fn pictures(folder: &Path, size: impl Fn(u8) -> (u32, u32)) {
    for name in ["images", "masks"] {
        fs::create_dir_all(folder.join(name)).expect("the folder can be written");
    }
    for number in 0..10u8 {
        let (width, height) = size(number);
        let image = RgbImage::from_fn(width, height, |x, y| Rgb([number * 20, x as u8, y as u8]));
        let mask = GrayImage::from_fn(width, height, |x, _| Luma([u8::from(x > 20)]));
        write_png(&folder.join(format!("images/{number}.png")), &image).expect("the folder can be written");
        write_mask_png(&folder.join(format!("masks/{number}.png")), &mask, &[[0; 3], [255; 3]])
            .expect("the folder can be written");
    }
}

/// Weights of base width 4.
fn weights(path: &Path) {
    let weights = Weights::from_network(&AmsUnetConfig::new().with_base_width(4).init(&Device::flex()));
    weights.write(path, Some(("network", "amsunet".into()))).expect("the folder can be written");
}

/// Copies the model that ships, of base width 16, with its reference.
fn shipped(folder: &Path) {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
    for name in ["nuclei.onnx", "nuclei.reference.onnx"] {
        fs::copy(models.join(name), folder.join(name)).expect("the model is there");
    }
}

/// Writes weights again without what the file says of their network.
fn nameless(from: &Path, to: &Path) {
    let bytes = fs::read(from).expect("the weights are there");
    let tensors = SafeTensors::deserialize(&bytes).expect("the weights are whole").tensors();
    fs::write(to, safetensors::serialize(tensors, None).expect("tensors are whole"))
        .expect("the folder can be written");
}

/// Runs `train` in a folder.
fn train(folder: &Path, arguments: &str) -> Output {
    let arguments = arguments.split_whitespace();
    Command::new(env!("CARGO_BIN_EXE_train")).current_dir(folder).args(arguments).output().expect("the binary starts")
}

/// Returns the output of `train --print-config`.
fn printed(folder: &Path, arguments: &str) -> Value {
    let output = train(folder, &format!("{arguments} --print-config"));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments}: {error}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{arguments}: {error}"))
}

#[test]
fn a_flag_goes_before_the_file_and_the_file_before_the_preset() {
    let root = tempfile::tempdir().unwrap();
    data(&root.path().join("data"));
    let file = json!({"data": "data", "epochs": 7, "batch_size": 3, "validation": 0.3, "augmentation": {"turn": 0.25}});
    fs::write(root.path().join("some.json"), file.to_string()).unwrap();
    // A folder of this name takes its preset, with a file that says something else or without.
    data(&root.path().join("Kvasir-SEG"));
    fs::write(root.path().join("part.json"), r#"{"training": {"ema": 0.9}}"#).unwrap();
    let recipe = printed(root.path(), "--data data --preset kvasir-seg");
    fs::write(root.path().join("recipe.json"), recipe.to_string()).unwrap();
    weights(&root.path().join("net.safetensors"));
    shipped(root.path());
    nameless(&root.path().join("net.safetensors"), &root.path().join("nameless.safetensors"));
    for (arguments, pointer, expected) in [
        ("--data Kvasir-SEG --config part.json", "/batch_size", json!(8)),
        ("--data Kvasir-SEG --config part.json", "/training/ema", json!(0.9)),
        ("--data Kvasir-SEG --config part.json --preset none", "/batch_size", json!(2)),
        ("--data data", "/augmentation/short_side", Value::Null),
        ("--data data", "/epochs", json!(300)),
        ("--data data", "/augmentation/crop", json!([32, 32])),
        ("--data data --preset drive", "/augmentation/crop", json!([480, 480])),
        ("--data data --preset drive", "/mean", json!([0.709, 0.381, 0.224])),
        ("--data data --preset drive --mean 0.1,0.2,0.3", "/mean", json!([0.1, 0.2, 0.3])),
        ("--data data --preset kvasir-seg", "/size", json!({"policy": "resize", "height": 352, "width": 352})),
        ("--data data --preset kvasir-seg", "/augmentation/crop", json!([352, 352])),
        ("--data data --preset kvasir-seg --size 64x96", "/augmentation/crop", json!([64, 96])),
        ("--data data --preset kvasir-seg --crop 128", "/augmentation/crop", json!([128, 128])),
        ("--data data --preset drive --size 64x96", "/augmentation/crop", json!([64, 96])),
        ("--data data --preset drive --size 64x96", "/augmentation/short_side", json!(64)),
        ("--data data --preset drive --size 64x96", "/augmentation/scale_min", json!(0.7)),
        ("--data data --preset drive --size 64x96 --crop 48", "/augmentation/crop", json!([48, 48])),
        ("--data data --preset drive --size 64x96 --crop 48", "/augmentation/short_side", json!(64)),
        ("--config recipe.json --size 128x160", "/augmentation/crop", json!([128, 160])),
        ("--config recipe.json --size 128x160", "/augmentation/short_side", json!(128)),
        ("--config recipe.json --size native", "/augmentation/short_side", Value::Null),
        ("--data data --preset kvasir-seg --size native", "/size", json!({"policy": "native"})),
        ("--data data --preset kvasir-seg --augment hue=off", "/augmentation/hue", Value::Null),
        ("--data data --preset kvasir-seg --augment none,turn=1", "/augmentation/scale_max", json!(1.0)),
        ("--data data --ema 0.9 --save-every 5", "/training/ema", json!(0.9)),
        ("--data data --ema 0.9 --save-every 5", "/training/save_minutes", json!(5.0)),
        ("--data data --ema 0.9 --save-every 5", "/training/accumulate", json!(1)),
        ("--data data --device cpu,cpu", "/device", json!("cpu,cpu")),
        ("--data data", "/training/precision", json!("fp32")),
        ("--data data --precision bf16", "/training/precision", json!("bf16")),
        ("--data data", "/training/checkpoint_activations", json!(false)),
        ("--data data --checkpoint-activations", "/training/checkpoint_activations", json!(true)),
        ("--config some.json", "/epochs", json!(7)),
        ("--config some.json --preset drive", "/epochs", json!(7)),
        ("--config some.json --preset drive", "/augmentation/turn", json!(0.25)),
        ("--config some.json --preset drive", "/augmentation/short_side", json!(565)),
        ("--config some.json --epochs 9", "/epochs", json!(9)),
        ("--config some.json --epochs 9", "/batch_size", json!(3)),
        ("--config some.json --folds 5 --fold 1", "/fold", json!("1/5")),
        ("--config some.json --folds 5 --fold 1", "/validation", Value::Null),
        ("--config some.json --base-width 8 --lr 1e-3", "/network/base_width", json!(8)),
        ("--config some.json --base-width 8 --lr 1e-3", "/learning_rate", json!(1e-3)),
        ("--data data --network unext", "/network/widths", json!("16-32-128-160-256")),
        ("--data data --network unext-s", "/network/name", json!("unext")),
        ("--data data --network unext-s", "/network/widths", json!("8-16-32-64-128")),
        ("--data data --network seg-next-b", "/network/rank", json!(64)),
        ("--data data --network trans-unet --size 256x256", "/network/side", json!(256)),
        ("--data data --network trans-unet --size 256x256", "/augmentation/crop", json!([256, 256])),
        ("--data data --network attention-unet", "/network/base_width", json!(64)),
        ("--data data --network unet-plus-plus", "/network/deep_supervision", Value::Null),
        (
            "--data data --network unet-plus-plus --network-option deep_supervision=true",
            "/network/deep_supervision",
            json!(true),
        ),
        ("--data data --network-option norm=bb --network-option base_width=8", "/network/norm", json!("bb")),
        ("--data data --network-option norm=bb --network-option base_width=8", "/network/base_width", json!(8)),
        ("--data data --init net.safetensors --network-option residual=o", "/network/residual", json!("o")),
        ("--data data --network-option norm=bb,base_width=8", "/network/base_width", json!(8)),
        ("--data data", "/training/loss", Value::Null),
        ("--data data --loss dice+focal", "/training/loss", json!("focal=2+dice")),
        ("--data data", "/class_weights", Value::Null),
        ("--data data --class-weights 1,2.5", "/class_weights", json!([1.0, 2.5])),
        // The target has 19 of 40 columns.
        ("--data data --class-weights balanced", "/class_weights", json!([0.95, 1.05])),
        ("--data data --augment target=0.25", "/augmentation/target", json!(0.25)),
        ("--data data --augment mix=0.5", "/augmentation/mix", json!(0.5)),
        ("--data data --augment brightness=0.2sd", "/augmentation/brightness/unit", json!("deviation")),
        ("--data data --augment brightness=0.2", "/augmentation/brightness/unit", Value::Null),
        ("--data data --self-configure", "/batch_size", json!(4)),
        ("--data data --self-configure", "/epochs", json!(400)),
        ("--data data --self-configure", "/augmentation/crop", json!([32, 32])),
        ("--data data --self-configure --epochs 7 --crop 16", "/epochs", json!(7)),
        ("--data data --self-configure --epochs 7 --crop 16", "/augmentation/crop", json!([16, 16])),
        ("--config some.json --self-configure", "/batch_size", json!(3)),
        ("--data data --minutes 2 --epochs 5", "/epochs", json!(5)),
        ("--data data --init net.safetensors", "/network/base_width", json!(4)),
        ("--data data --init net.safetensors --base-width 4", "/network/base_width", json!(4)),
        ("--data data --init nuclei.reference.onnx", "/network/base_width", json!(16)),
        (
            "--data data --init nameless.safetensors --network-option norm=bb,residual=n,dilation=1-1-1-3-5",
            "/network/norm",
            json!("bb"),
        ),
    ] {
        let found = printed(root.path(), arguments).pointer(pointer).cloned().unwrap_or_default();
        assert_eq!(found, expected, "{arguments}: {pointer}");
    }
}

#[test]
fn the_time_decides_the_epochs_and_what_was_chosen_is_told() {
    let root = tempfile::tempdir().unwrap();
    data(&root.path().join("data"));
    let flags = "--data data --self-configure --minutes 0.05 --base-width 4 --device cpu --print-config";
    let Output { status, stdout, stderr } = train(root.path(), flags);
    let stderr = String::from_utf8(stderr).unwrap();
    assert!(status.success(), "{stderr}");
    let config: Value = serde_json::from_slice(&stdout).unwrap();
    let epochs = config["epochs"].as_u64().unwrap();
    assert_eq!(config["training"]["minutes"], 0.05);
    for part in [
        "chosen     size native: ",
        "chosen     crop 32: ",
        "chosen     batch of 4: ",
        &format!("planned    {epochs} epochs of"),
    ] {
        assert!(stderr.contains(part), "no {part} in: {stderr}");
    }
    assert!(!stderr.contains("chosen     400 epochs"), "{stderr}");
    // Without a time, the run says how long it will take.
    let stderr = train(root.path(), &flags.replace("--minutes 0.05", "--epochs 9")).stderr;
    let stderr = String::from_utf8(stderr).unwrap();
    assert!(stderr.contains("expected   about ") && stderr.contains(": 9 epochs of"), "{stderr}");
}

#[test]
fn the_folds_of_images_of_many_sizes_have_one_augmentation() {
    let root = tempfile::tempdir().unwrap();
    pictures(&root.path().join("data"), |number| (160, 16 * (u32::from(number) + 1)));
    let augmentation = |fold| {
        let config = printed(root.path(), &format!("--data data --folds 10 --fold {fold}"));
        config["augmentation"].clone()
    };
    let first = augmentation(1);
    assert_eq!(first["crop"], json!([96, 96]));
    for fold in 2..=10 {
        assert_eq!(augmentation(fold), first, "fold {fold}");
    }
}

#[test]
fn what_is_printed_is_taken_back_as_it_is() {
    let root = tempfile::tempdir().unwrap();
    data(&root.path().join("data"));
    let first =
        printed(root.path(), "--data data --preset isic2018 --folds 3 --fold 2 --augment elastic=5@0.25 --seed 8");
    fs::write(root.path().join("all.json"), first.to_string()).unwrap();
    assert_eq!(printed(root.path(), "--config all.json"), first);
}

#[test]
fn what_cannot_be_used_is_refused_and_nothing_is_written() {
    let root = tempfile::tempdir().unwrap();
    data(&root.path().join("data"));
    fs::write(root.path().join("wrong.json"), r#"{"epoch": 3}"#).unwrap();
    fs::write(root.path().join("strange.json"), r#"{"augmentation": {"turn": 2}}"#).unwrap();
    let low = r#"{"size": {"policy": "resize", "height": 8, "width": 64}, "augmentation": {"crop": [16, 64]}}"#;
    fs::write(root.path().join("low.json"), low).unwrap();
    fs::write(root.path().join("scale.json"), r#"{"augmentation": {"short_side": 565}}"#).unwrap();
    fs::write(root.path().join("wide.json"), r#"{"network": {"base_width": 8}}"#).unwrap();
    weights(&root.path().join("net.safetensors"));
    shipped(root.path());
    nameless(&root.path().join("net.safetensors"), &root.path().join("nameless.safetensors"));
    for (arguments, status, part) in [
        ("--print-config", 2, "--data"),
        ("--data data --preset other", 2, "kvasir-seg"),
        ("--data data --augment shear=1", 2, "`shear` is no augmentation"),
        ("--data data --augment rotation=500", 1, "`rotation` is -500..500"),
        ("--data data --augment rotation=1sd", 1, "only brightness and noise can"),
        ("--data data --augment mix=2", 1, "`mix` is 2"),
        ("--data data --folds 3 --fold 4", 1, "`4/3` is not a fold"),
        ("--data data --fold 1", 2, "--folds <K>"),
        ("--data data --folds 11 --fold 1", 1, "cannot cut 11 parts from 10 image(s)"),
        ("--data data --folds 3 --fold 1 --validation 0.5", 2, "cannot be used with"),
        ("--data data --config wrong.json", 1, "`wrong.json`"),
        ("--data data --config wrong.json", 1, "unknown field `epoch`"),
        ("--data data --config strange.json", 1, "`turn` is 2"),
        ("--data data --split none.json", 1, "none.json"),
        ("--data data --config low.json", 1, "`size` is 8x64, expected sides of at least 16"),
        ("--data data --preset kvasir-seg --config scale.json", 1, "is run at 352x352; leave it out, or set it to 352"),
        ("--data data --init net.safetensors --base-width 16", 1, "ask for AMSUnet, base width 16, 3 input"),
        ("--data data --init net.safetensors --base-width 16", 1, "are of AMSUnet, base width 4, 3 input"),
        ("--data data --init nuclei.onnx", 1, "take the reference beside the model"),
        ("--data data --init nameless.safetensors", 1, "do not tell norm, residual and dilation of AMSUnet"),
        (
            "--data data --init nameless.safetensors --network-option norm=bf,residual=n",
            1,
            "do not tell dilation of AMSUnet",
        ),
        ("--data data --init net.safetensors --config wide.json", 1, "ask for AMSUnet, base width 8, 3 input"),
        (
            "--data data --init net.safetensors --network-option skip=se",
            1,
            "ask for AMSUnet, base width 4, skip se, 3 input",
        ),
        ("--data data --network-option depth=3", 1, "AMSUnet has no setting `depth`, expected one of `base_width`"),
        (
            "--data data --network-option closing_gelu=true",
            1,
            "`closing_gelu` is true, expected false with one residual",
        ),
        ("--data data --network-option norm", 2, "expected NAME=VALUE"),
        ("--data data --network unet-plus-plus --crop 40", 1, "multiples of 16"),
        ("--data data --out run --print-config", 2, "cannot be used with"),
        ("--data data --out run --preview look", 2, "cannot be used with"),
        ("--data data --mean 0.1,0.2", 2, "three numbers"),
        ("--resume run --epochs 3", 2, "cannot be used with"),
        ("--resume run --augment none", 2, "cannot be used with"),
        ("--resume run --level 1", 2, "cannot be used with"),
        ("--resume run --ema 0.9", 2, "cannot be used with"),
        ("--resume run --self-configure", 2, "cannot be used with"),
        ("--data data --loss hinge", 2, "`hinge` is no loss; expected cross-entropy or focal"),
        ("--data data --class-weights 1,2,3", 1, "`class_weights` is [1.0, 2.0, 3.0], expected a number of at least 0"),
        ("--data data --class-weights heavy", 2, "expected `balanced` or a number for each class"),
        ("--data data --augment target=2", 1, "`target`"),
        ("--data data --ema 1.5", 2, "between 0 and 1"),
        ("--data data --precision fp16", 2, "`fp16` is no precision to learn in; expected fp32 or bf16"),
        ("--data data --device auto,cpu", 2, "`auto,cpu` is not a device"),
    ] {
        let output = train(root.path(), arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{arguments}: {error}");
        assert!(error.contains(part), "{arguments}: {error}");
        for folder in ["run", "runs", "look"] {
            assert!(!root.path().join(folder).exists(), "{arguments}");
        }
    }
}

#[test]
#[cfg(unix)]
fn a_path_that_a_configuration_cannot_keep_is_named() {
    use std::os::unix::ffi::OsStrExt;

    let root = tempfile::tempdir().expect("there is a folder for temporary files");
    let folder = root.path().join(std::ffi::OsStr::from_bytes(b"f\xfcr"));
    data(&folder);
    let output = Command::new(env!("CARGO_BIN_EXE_train")).arg("--data").arg(&folder).arg("--print-config").output();
    let output = output.expect("the binary starts");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("is not in UTF-8, so no configuration can keep it; rename it"), "{error}");
}

#[test]
fn batches_of_too_few_values_are_warned_of() {
    let root = tempfile::tempdir().unwrap();
    pictures(&root.path().join("data"), |_| (40, 36));
    for (flags, expected) in [
        ("", None),
        ("--crop 16", Some("a 16x16 crop have 1x1 pixels")),
        ("--crop 32 --batch-size 3", Some("BatchNorm sees 12 values a channel in a batch of 3")),
        ("--fixed-statistics 0", Some("batches of 8 or more, or `--fixed-statistics 0.5`")),
        ("--fixed-statistics 0 --batch-size 8", None),
        ("--network conv-unext --size 64x64 --base-width 4", None),
    ] {
        let defaults = if flags.contains("base-width") { "--epochs 1" } else { "--epochs 1 --base-width 4" };
        let size = if flags.contains("crop") || flags.contains("size") { "" } else { "--size 96x96" };
        let output = train(root.path(), &format!("--data data {defaults} {size} --steps-per-epoch 1 {flags}"));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{flags}: {stderr}");
        let warned: Vec<_> =
            stderr.lines().filter(|line| line.contains("warning: ") && line.contains("atch")).collect();
        match expected {
            Some(part) => assert!(warned.iter().any(|line| line.contains(part)), "{flags}: {stderr}"),
            None => assert!(warned.is_empty(), "{flags}: {stderr}"),
        }
    }
}
