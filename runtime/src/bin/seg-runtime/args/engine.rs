//! The flags that choose a provider and its options.

use std::ffi::OsString;
use std::fmt::Display;
use std::iter;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::LazyLock;

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use seg_inference::{ComputePrecision, Provider, Shapes};

/// The provider and its options.
#[derive(Clone, Debug, Default, PartialEq, Args)]
#[command(next_help_heading = "Provider")]
pub(crate) struct Engine {
    /// The execution provider; it is an error if it cannot compute the whole model. `auto` takes
    /// the fastest one that is installed and works
    #[arg(long, value_enum, default_value_t = Ep::default())]
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

/// The ONNX Runtime library.
#[derive(Clone, Debug, Default, PartialEq, Args)]
#[command(next_help_heading = "Library")]
pub(crate) struct Library {
    /// The ONNX Runtime library [default: ORT_DYLIB_PATH, else the cache, else a fetched one]
    #[arg(long, value_name = "FILE")]
    pub(crate) ort_lib: Option<PathBuf>,
    /// Fetch nothing, as with SEG_RUNTIME_OFFLINE=1
    #[arg(long)]
    pub(crate) offline: bool,
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
        if let Some(path) = &library.ort_lib {
            args.extend(["--ort-lib".into(), path.clone().into_os_string()]);
        }
        args.extend(cuda_graph.then(|| "--cuda-graph".into()));
        args.extend(allow_fallback.then(|| "--allow-fallback".into()));
        args.extend(library.offline.then(|| "--offline".into()));
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
        ] {
            let parse =
                |args: &[OsString]| Flags::try_parse_from([OsString::from("x")].iter().chain(args)).unwrap().engine;
            let engine = parse(&flags.split_whitespace().map(OsString::from).collect::<Vec<_>>());
            assert_eq!(parse(&engine.to_args()), engine, "{flags}");
        }
    }
}
