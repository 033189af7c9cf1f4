//! The project's own kernels for AMSUnet, on the processor.

use super::kind::Provider;
use super::options::ComputePrecision;
use super::spec::{Float32Error, Spec, accept, no_message, no_plugin_options, only_device};
use crate::library::Build;

pub(crate) const SPEC: Spec = Spec {
    provider: Provider::Fused,
    name: "the fused kernel",
    flag: "fused",
    ort_name: "FusedKernel",
    // ONNX Runtime is loaded as for any other provider, and computes nothing.
    build: Build::Cpu,
    plugin: None,
    library: None,
    needs: &[],
    linked_with: None,
    fallback: Some(Provider::Cpu),
    is_nvidia: false,
    builds_engine: false,
    gains_from_one_size: false,
    gains_from_lanes: true,
    strict_entries: &[],
    options: &[],
    precisions: &[ComputePrecision::Fp32],
    check: accept,
    device: only_device,
    // A session of this provider is none of ONNX Runtime's.
    register: |_, _, _| Ok(Vec::new()),
    plugin_options: no_plugin_options,
    software_variable: None,
    no_device: "",
    diagnose: no_message,
    float32: Float32Error {
        relative: 5e-6,
        times_trained: Some(2.0),
        reason: "float32 rounds by 6e-8, and the values pass some hundred roundings in the order of the training \
                 kernels, with weights that are rounded once more where a normalisation or a layer is folded into them; \
                 GELU is a polynomial that is exact to 1e-7, and coordinates of an upsampling are rounded as well",
    },
};
