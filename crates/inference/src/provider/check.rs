//! The rules of options: which provider has which, and which remain after a fallback.

use super::options::{OptionError, OptionName, Options};

impl Options {
    /// Checks that the provider has every option that is set, so that none is silently ignored.
    ///
    /// # Errors
    /// With the first option that the provider does not have.
    pub fn check(&self) -> Result<(), OptionError> {
        let spec = self.provider.spec();
        let lacks = |option: &OptionName| self.has(*option) && !spec.options.contains(option);
        if let Some(option) = OptionName::ALL.into_iter().find(lacks) {
            return Err(self.refuse(option.flag(), ""));
        }
        (spec.check)(self)?;
        if !spec.precisions.contains(&self.precision) {
            return Err(self.refuse(&format!("precision {}", self.precision), ""));
        }
        Ok(())
    }

    /// Names what computes within the provider, if that can be chosen: OpenVINO's device, or CUDA's
    /// kernels as a graph.
    pub fn device(&self) -> Option<String> {
        (self.provider.spec().device)(self)
    }

    /// Returns the options for the provider's fallback, without those that it may lack.
    pub(crate) fn fall_back(&self) -> Option<Self> {
        let provider = self.provider.fallback()?;
        let has_gpus = provider.spec().options.contains(&OptionName::DeviceId);
        let device_id = self.device_id.filter(|_| has_gpus);
        Some(Self { provider, allow_fallback: true, threads: self.threads, device_id, ..Self::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{ComputePrecision, Provider};

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
