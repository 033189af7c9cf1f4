//! How a model is run: on which provider, and how that computes.

use std::fmt;
use std::num::NonZeroUsize;

use seg_contract::Input;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{EngineCache, Provider, Shapes};
use crate::segment::Tiling;
use crate::segment::{Settings, Tiles};

/// How a model is run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What computes it.
    pub provider: Provider,
    /// Why not a provider that was asked for, where this one stands in for it from the start; for reports.
    pub instead: Vec<String>,
    /// Whether another provider may compute the model, or a part of it, where this one cannot.
    pub allow_fallback: bool,
    /// The number of CPU threads that one operator may use; one per core unless it is given.
    pub threads: Option<NonZeroUsize>,
    /// The GPU, counted from 0, for CUDA and TensorRT.
    pub device_id: Option<u32>,
    /// How float32 values are computed.
    pub precision: ComputePrecision,
    /// The most memory that CUDA's arena may take, or that TensorRT may use to build and run an engine, in bytes.
    pub memory_limit_bytes: Option<usize>,
    /// Whether CUDA's kernels are launched as one graph, which is captured for each of the first few shapes of input.
    pub cuda_graph: bool,
    /// OpenVINO's device: `CPU`, `GPU`, `GPU.1`, `NPU`; its CPU unless it is given.
    pub openvino_device: Option<String>,
    /// How long TensorRT looks for fast kernels, 0 to 5; 3 unless it is given.
    pub builder_level: Option<u8>,
    /// The sizes of input that TensorRT's engine is built for; those that the model's contract lets expect unless given.
    pub shapes: Option<Shapes>,
    /// The height and width of all inputs, where that is known, as of [tiles](Self::for_settings): an engine whose shapes nobody
    /// chose is built for it.
    pub tile: Option<[usize; 2]>,
    /// The most images or tiles that are run at once; an engine whose shapes nobody chose takes so many.
    pub batch_max: Option<NonZeroUsize>,
    /// Where TensorRT's engines are kept; without it, one is built in each session.
    pub engines: Option<EngineCache>,
}

/// How the float32 values of a model are computed; what a model holds in another type stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ComputePrecision {
    /// In float32.
    #[default]
    Fp32,
    /// In TensorFloat-32, which keeps 10 bits of each factor of a product.
    Tf32,
    /// In float16 where the provider finds that faster.
    Fp16,
}

impl fmt::Display for ComputePrecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fp32 => "fp32",
            Self::Tf32 => "tf32",
            Self::Fp16 => "fp16",
        })
    }
}

/// How the names of OpenVINO's devices begin that are none: each hands a model to devices that it chooses.
const CHOOSING_DEVICES: [&str; 3] = ["AUTO", "HETERO", "MULTI"];

/// An option that the provider does not have.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{provider} has no `--{option}`{reason}")]
pub struct OptionError {
    /// The provider.
    pub provider: Provider,
    /// The option, with its value where it matters.
    pub option: String,
    /// Why, and what to do instead, where there is more to say.
    pub reason: &'static str,
}

impl Options {
    /// Makes sure that the provider has every option that is set: none is quietly left out.
    ///
    /// # Errors
    /// With the first option that it does not have.
    pub fn check(&self) -> Result<(), OptionError> {
        use Provider::{Cpu, Cuda, OpenVino, TensorRt};
        let provider = self.provider;
        let refuse = |option: &str, reason| Err(OptionError { provider, option: option.into(), reason });
        let only = |set: bool, option, providers: &[Provider]| match set && !providers.contains(&provider) {
            true => refuse(option, ""),
            false => Ok(()),
        };
        only(self.device_id.is_some(), "device-id", &[Cuda, TensorRt])?;
        only(self.memory_limit_bytes.is_some(), "memory-limit", &[Cuda, TensorRt])?;
        only(self.cuda_graph, "cuda-graph", &[Cuda])?;
        only(self.builder_level.is_some(), "builder-level", &[TensorRt])?;
        only(self.shapes.is_some(), "shapes", &[TensorRt])?;
        only(self.openvino_device.is_some(), "openvino-device", &[OpenVino])?;
        let chooses = |device: &str| CHOOSING_DEVICES.iter().any(|name| device.to_ascii_uppercase().starts_with(name));
        if let Some(device) = self.openvino_device.as_deref().filter(|device| !self.allow_fallback && chooses(device)) {
            let reason = " without `--allow-fallback`: it chooses among devices by itself; name one of them";
            return refuse(&format!("openvino-device {device}"), reason);
        }
        match (provider, self.precision) {
            (_, ComputePrecision::Fp32) | (Cuda, ComputePrecision::Tf32) | (TensorRt, _) => Ok(()),
            (OpenVino, ComputePrecision::Fp16) if self.openvino_device() != "CPU" => Ok(()),
            (OpenVino, ComputePrecision::Fp16) => {
                refuse("precision fp16", " on its CPU; choose another `--openvino-device`")
            }
            (Cuda, ComputePrecision::Fp16) => refuse("precision fp16", ": it computes in the type that the model has"),
            (Cpu | OpenVino, precision) => refuse(&format!("precision {precision}"), ""),
        }
    }

    /// The options with which a model is opened that is run with these settings, so that an engine takes what they give it.
    pub fn for_settings(self, settings: &Settings) -> Self {
        let tile = match settings.tiles {
            Tiles::Of(Tiling { size, .. }) => Some(size),
            Tiles::Auto { .. } | Tiles::Off => None,
        };
        Self { tile, batch_max: settings.batch, ..self }
    }

    /// The sizes of input that TensorRT's engine is built for, for a model with this input.
    pub fn shapes(&self, input: &Input) -> Shapes {
        self.shapes.unwrap_or_else(|| Shapes::of(input, self.tile, self.batch_max.map_or(1, usize::from)))
    }

    /// What of a provider computes, where that can be chosen: OpenVINO's device, and CUDA's kernels as one graph.
    pub fn device(&self) -> Option<String> {
        match self.provider {
            Provider::OpenVino => Some(self.openvino_device().to_owned()),
            Provider::Cuda => self.cuda_graph.then(|| "GPU with `--cuda-graph`".to_owned()),
            Provider::Cpu | Provider::TensorRt => None,
        }
    }

    /// OpenVINO's device.
    pub(crate) fn openvino_device(&self) -> &str {
        self.openvino_device.as_deref().unwrap_or("CPU")
    }

    /// The options for the provider that comes after this one, without those that it may lack.
    pub(crate) fn fall_back(&self) -> Option<Self> {
        let provider = self.provider.fallback()?;
        let device_id = self.device_id.filter(|_| provider == Provider::Cuda);
        Some(Self { provider, allow_fallback: true, threads: self.threads, device_id, ..Self::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_that_a_provider_lacks_is_refused() {
        let of = |provider| Options { provider, ..Options::default() };
        let (cpu, cuda) = (of(Provider::Cpu), of(Provider::Cuda));
        let (tensorrt, openvino) = (of(Provider::TensorRt), of(Provider::OpenVino));
        for (options, expected) in [
            (Options { device_id: Some(1), ..cuda.clone() }, None),
            (Options { device_id: Some(1), ..cpu.clone() }, Some("the CPU has no `--device-id`")),
            (Options { memory_limit_bytes: Some(1), ..openvino.clone() }, Some("OpenVINO has no `--memory-limit`")),
            (Options { cuda_graph: true, ..cuda.clone() }, None),
            (Options { cuda_graph: true, ..tensorrt.clone() }, Some("TensorRT has no `--cuda-graph`")),
            (Options { builder_level: Some(5), ..tensorrt.clone() }, None),
            (Options { builder_level: Some(5), ..cuda.clone() }, Some("CUDA has no `--builder-level`")),
            (
                Options { openvino_device: Some("GPU".into()), ..cpu.clone() },
                Some("the CPU has no `--openvino-device`"),
            ),
            (Options { precision: ComputePrecision::Tf32, ..cuda.clone() }, None),
            (Options { precision: ComputePrecision::Tf32, ..cpu }, Some("the CPU has no `--precision tf32`")),
            (Options { precision: ComputePrecision::Fp16, ..tensorrt }, None),
            (
                Options { precision: ComputePrecision::Fp16, ..cuda },
                Some("CUDA has no `--precision fp16`: it computes in the type that the model has"),
            ),
            (
                Options { precision: ComputePrecision::Fp16, ..openvino.clone() },
                Some("OpenVINO has no `--precision fp16` on its CPU; choose another `--openvino-device`"),
            ),
            (
                Options { precision: ComputePrecision::Fp16, openvino_device: Some("GPU".into()), ..openvino.clone() },
                None,
            ),
            (
                Options { openvino_device: Some("AUTO".into()), ..openvino.clone() },
                Some(
                    "OpenVINO has no `--openvino-device AUTO` without `--allow-fallback`: it chooses among devices by \
                     itself; name one of them",
                ),
            ),
            (
                Options { openvino_device: Some("hetero:GPU,CPU".into()), ..openvino.clone() },
                Some(
                    "OpenVINO has no `--openvino-device hetero:GPU,CPU` without `--allow-fallback`: it chooses among \
                     devices by itself; name one of them",
                ),
            ),
            (Options { openvino_device: Some("MULTI:GPU,CPU".into()), allow_fallback: true, ..openvino }, None),
        ] {
            let found = options.check().err().map(|error| error.to_string());
            assert_eq!(found.as_deref(), expected, "{options:?}");
        }
    }

    #[test]
    fn a_device_is_named_where_it_can_be_chosen() {
        let of = |provider| Options { provider, ..Options::default() };
        for (options, expected) in [
            (of(Provider::Cpu), None),
            (of(Provider::TensorRt), None),
            (of(Provider::OpenVino), Some("CPU")),
            (Options { openvino_device: Some("GPU.1".into()), ..of(Provider::OpenVino) }, Some("GPU.1")),
            (of(Provider::Cuda), None),
            (Options { cuda_graph: true, ..of(Provider::Cuda) }, Some("GPU with `--cuda-graph`")),
        ] {
            assert_eq!(options.device().as_deref(), expected, "{options:?}");
        }
    }

    #[test]
    fn every_fallback_ends_at_the_cpu_with_options_that_it_has() {
        for provider in Provider::ALL {
            let set = Options {
                provider,
                device_id: Some(1),
                precision: ComputePrecision::Fp16,
                memory_limit_bytes: Some(1),
                cuda_graph: true,
                openvino_device: Some("GPU".into()),
                builder_level: Some(5),
                ..Options::default()
            };
            let mut last = set;
            while let Some(next) = last.fall_back() {
                assert_eq!(next.check(), Ok(()), "{provider}: {next:?}");
                last = next;
            }
            assert_eq!(last.provider, Provider::Cpu, "{provider}");
        }
    }
}
