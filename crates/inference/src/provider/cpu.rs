//! The CPU provider.

use ort::ep::{CPU, ExecutionProvider as _};

use super::kind::Provider;
use super::options::ComputePrecision;
use super::spec::{Float32Error, Spec, accept, no_message, no_plugin_options, only_device};
use crate::library::Build;

pub(crate) const SPEC: Spec = Spec {
    provider: Provider::Cpu,
    name: "the CPU",
    flag: "cpu",
    ort_name: CPU::NAME,
    build: Build::Cpu,
    plugin: None,
    library: None,
    needs: &[],
    linked_with: None,
    fallback: None,
    is_nvidia: false,
    builds_engine: false,
    gains_from_lanes: true,
    gains_from_one_size: true,
    strict_entries: &[],
    options: &[],
    precisions: &[ComputePrecision::Fp32],
    check: accept,
    device: only_device,
    register: |_, _, _| Ok(vec![CPU::default().with_arena_allocator(true).into()]),
    plugin_options: no_plugin_options,
    software_variable: None,
    no_device: "",
    diagnose: no_message,
    float32: Float32Error {
        relative: 5e-6,
        times_trained: Some(2.0),
        reason: "float32 rounds by 6e-8, and the values pass some hundred roundings in another order, with weights \
                 that are rounded once more where a normalisation is folded into them; coordinates of an upsampling \
                 are rounded as well",
    },
};
