//! The flags that choose a provider and its options.

use std::ffi::OsString;
use std::fmt::Display;
use std::iter;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::LazyLock;

use clap::builder::{ArgPredicate, PossibleValue};
use clap::{Args, ValueEnum};
use seg_inference::{ComputePrecision, Provider, Shapes};

/// The provider and its options.
#[derive(Clone, Debug, Default, PartialEq, Args)]
#[command(next_help_heading = "Provider")]
pub(crate) struct Engine {
    /// The execution provider; it is an error if it cannot compute the whole model. `auto` measures
    /// those that are installed and work on this model, once, and takes the fastest
    #[arg(
        long,
        value_enum,
        default_value_t = Ep::default(),
        default_value_if("ep_library", ArgPredicate::IsPresent, "plugin")
    )]
    pub(crate) ep: Ep,
    /// The precision in which float32 values are computed: tf32 with CUDA and TensorRT, fp16 with
    /// TensorRT and OpenVINO's GPU
    #[arg(long, value_enum, default_value_t)]
    pub(crate) precision: ComputePrecision,
    #[command(flatten)]
    pub(crate) tuning: Tuning,
}

/// The options of a provider.
#[derive(Clone, Debug, Default, PartialEq, Args)]
#[command(next_help_heading = "Provider")]
pub(crate) struct Tuning {
    /// Let another provider compute what this one cannot, and report it
    #[arg(long)]
    pub(crate) allow_fallback: bool,
    /// CPU threads [default: one per processor that the process may use]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) threads: Option<NonZeroUsize>,
    /// The GPU for CUDA and TensorRT, counted from 0
    #[arg(long, value_name = "NUMBER")]
    pub(crate) device_id: Option<u32>,
    /// The limit of CUDA's arena or TensorRT's workspace, in MiB
    #[arg(long, value_name = "MIB")]
    pub(crate) memory_limit: Option<NonZeroUsize>,
    /// Launch CUDA's kernels as one graph, captured for each of the first four sizes of batch and
    /// image
    #[arg(long)]
    pub(crate) cuda_graph: bool,
    /// OpenVINO's device, as in CPU, GPU, GPU.1 or NPU [default: CPU]
    #[arg(long, value_name = "NAME")]
    pub(crate) openvino_device: Option<String>,
    /// The batches that TensorRT's engine takes, BATCHxHEIGHTxWIDTH: the smallest, the most
    /// frequent and the largest, as in 1x64x64,1x512x512,4x1024x1024 [default: from the model's
    /// contract]
    #[arg(long, value_name = "MIN,BEST,MAX")]
    pub(crate) shapes: Option<Shapes>,
    /// TensorRT's effort in searching for fast kernels, 0 to 5 [default: 3]
    #[arg(long, value_name = "LEVEL", value_parser = clap::value_parser!(u8).range(0..=5))]
    pub(crate) builder_level: Option<u8>,
    #[command(flatten)]
    pub(crate) library: Library,
}

/// The ONNX Runtime library, and a plug-in for it.
#[derive(Clone, Debug, Default, PartialEq, Args)]
#[command(next_help_heading = "Library")]
pub(crate) struct Library {
    /// The library of any other plug-in provider, as of MLX, of ggml or of a vendor: `--ep plugin`
    #[arg(long, value_name = "FILE", requires = "ep_name")]
    pub(crate) ep_library: Option<PathBuf>,
    /// The name that the provider in that library gives to itself, as in MlxExecutionProvider
    #[arg(long, value_name = "NAME", requires = "ep_library")]
    pub(crate) ep_name: Option<String>,
    /// An option of that provider by its own name; may be repeated
    #[arg(long, value_name = "KEY=VALUE", requires = "ep_library", value_parser = key_and_value)]
    pub(crate) ep_option: Vec<(String, String)>,
    /// The ONNX Runtime library [default: ORT_DYLIB_PATH, else the cache, else a fetched one]
    #[arg(long, value_name = "FILE")]
    pub(crate) ort_lib: Option<PathBuf>,
    /// Fetch nothing, as with SEG_RUNTIME_OFFLINE=1
    #[arg(long)]
    pub(crate) offline: bool,
}

impl Library {
    /// Returns the same flags without a plug-in.
    pub(crate) fn without_plugin(&self) -> Self {
        Self { ort_lib: self.ort_lib.clone(), offline: self.offline, ..Self::default() }
    }

    /// Returns the same flags for another process.
    fn to_args(&self) -> Vec<OsString> {
        let Self { ep_library, ep_name, ep_option, ort_lib, offline } = self;
        let mut args: Vec<OsString> = Vec::new();
        for (flag, path) in [("--ep-library", ep_library), ("--ort-lib", ort_lib)] {
            args.extend(path.iter().flat_map(|path| [flag.into(), path.clone().into_os_string()]));
        }
        args.extend(ep_name.iter().map(|name| format!("--ep-name={name}").into()));
        args.extend(ep_option.iter().map(|(key, value)| format!("--ep-option={key}={value}").into()));
        args.extend(offline.then(|| "--offline".into()));
        args
    }
}

/// Reads an option of a plug-in.
fn key_and_value(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.into(), value.into())),
        _ => Err("expected KEY=VALUE"),
    }
}

impl Engine {
    /// Returns the same flags for another process.
    pub(crate) fn to_args(&self) -> Vec<OsString> {
        let Self { ep, precision, tuning } = self;
        let Tuning {
            allow_fallback,
            threads,
            device_id,
            memory_limit,
            cuda_graph,
            openvino_device,
            shapes,
            builder_level,
            library,
        } = tuning;
        let text = |value: Option<&dyn Display>| value.map(|value| value.to_string());
        let values: [(&str, Option<String>); 8] = [
            ("--ep", Some(ep.name().to_owned())),
            ("--precision", Some(precision.to_string())),
            ("--threads", text(threads.as_ref().map(|value| value as _))),
            ("--device-id", text(device_id.as_ref().map(|value| value as _))),
            ("--memory-limit", text(memory_limit.as_ref().map(|value| value as _))),
            ("--openvino-device", openvino_device.clone()),
            ("--shapes", text(shapes.as_ref().map(|value| value as _))),
            ("--builder-level", text(builder_level.as_ref().map(|value| value as _))),
        ];
        let mut args = Vec::new();
        for (flag, value) in values {
            args.extend(value.map(|value| OsString::from(format!("{flag}={value}"))));
        }
        args.extend(library.to_args());
        args.extend(cuda_graph.then(|| "--cuda-graph".into()));
        args.extend(allow_fallback.then(|| "--allow-fallback".into()));
        args
    }
}

/// The value of `--ep`: `auto` or the flag of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ep {
    Auto,
    Named(Provider),
}

impl Default for Ep {
    fn default() -> Self {
        Self::Named(Provider::default())
    }
}

impl ValueEnum for Ep {
    fn value_variants<'a>() -> &'a [Self] {
        static VARIANTS: LazyLock<Vec<Ep>> =
            LazyLock::new(|| iter::once(Ep::Auto).chain(Provider::ALL.into_iter().rev().map(Ep::Named)).collect());
        &VARIANTS
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()))
    }
}

impl Ep {
    /// Returns the value of `--ep` that means it.
    pub(crate) fn name(self) -> &'static str {
        self.provider().map_or("auto", Provider::flag)
    }

    /// Returns the provider, if one is named.
    pub(crate) fn provider(self) -> Option<Provider> {
        match self {
            Self::Auto => None,
            Self::Named(provider) => Some(provider),
        }
    }
}

impl From<Provider> for Ep {
    fn from(provider: Provider) -> Self {
        Self::Named(provider)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Flags {
        #[command(flatten)]
        engine: Engine,
    }

    #[test]
    fn another_process_is_given_the_same_flags() {
        for flags in [
            "",
            "--ep cuda --precision tf32 --device-id 1 --memory-limit 512 --cuda-graph --allow-fallback",
            "--ep tensorrt --precision fp16 --shapes 1x16x16,1x32x32,2x64x64 --builder-level 5 --offline",
            "--ep openvino --openvino-device GPU.1 --threads 3 --ort-lib a.so",
            "--ep-library b.so --ep-name B --ep-option level=3 --ep-option a=b=c",
            "--ep auto --ep-library b.so --ep-name B",
        ] {
            let parse =
                |args: &[OsString]| Flags::try_parse_from([OsString::from("x")].iter().chain(args)).unwrap().engine;
            let engine = parse(&flags.split_whitespace().map(OsString::from).collect::<Vec<_>>());
            assert_eq!(parse(&engine.to_args()), engine, "{flags}");
        }
    }

    #[test]
    fn a_plug_in_that_is_named_is_the_provider_unless_another_one_is_asked_for() {
        let parse = |flags: &str| Flags::try_parse_from(iter::once("x").chain(flags.split_whitespace()));
        let ep = |flags| parse(flags).unwrap().engine.ep.name();
        assert_eq!(ep("--ep-library b.so --ep-name B"), "plugin");
        assert_eq!(ep("--ep-library b.so --ep-name B --ep auto"), "auto");
        assert_eq!(ep("--ep plugin"), "plugin");
        for flags in ["--ep-library b.so", "--ep-name B", "--ep-option a=b", "--ep-library b --ep-name B --ep-option a"]
        {
            assert!(parse(flags).is_err(), "{flags}");
        }
    }
}
