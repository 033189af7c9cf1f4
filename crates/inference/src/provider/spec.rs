//! The description of an execution provider: each provider's file holds one.

use std::path::Path;

use ort::ep::ExecutionProviderDispatch;
use seg_contract::Input;

use super::error::ProviderError;
use super::kind::Provider;
use super::options::{ComputePrecision, OptionError, OptionName, Options};
use crate::library::{Build, Plugin};

/// A function that prepares a provider for a graph with the given input, and returns what a session
/// registers.
pub(crate) type Register = fn(&Input, &Options, Option<&Path>) -> Result<Vec<ExecutionProviderDispatch>, ProviderError>;

/// An execution provider: everything in which it differs from the others.
#[derive(Debug)]
pub struct Spec {
    /// The provider.
    pub provider: Provider,
    /// The name in messages, as in "cannot load `model.onnx` with TensorRT".
    pub name: &'static str,
    /// The value of `--ep` that selects the provider; its name in JSON is the same.
    pub flag: &'static str,
    /// The name that ONNX Runtime gives to the provider.
    pub ort_name: &'static str,
    /// The smallest build of ONNX Runtime that contains the provider.
    pub build: Build,
    /// The library of its own in which the provider comes, which the build for the CPU loads; the
    /// rest of that library's needs are as for others. [`Provider::plugin`] says if this processor
    /// takes it.
    pub(crate) plugin: Option<Plugin>,
    /// The file of that build that holds the provider; `None` if ONNX Runtime's own library holds
    /// it.
    pub(crate) library: Option<&'static str>,
    /// The other libraries that the provider needs, except those of its fallback: the beginning of
    /// each file name, and how to install the library. The first match counts.
    pub(crate) needs: &'static [(&'static str, &'static str)],
    /// Software in the versions that [`library`](Self::library) was linked with, for the case that
    /// it lacks a symbol.
    pub(crate) linked_with: Option<&'static str>,
    /// The provider that is tried next if this one cannot be used and a fallback is allowed.
    pub fallback: Option<Provider>,
    /// True if the provider computes on an NVIDIA GPU.
    pub is_nvidia: bool,
    /// True if the provider builds an engine when it opens a model, which takes minutes and can be
    /// cached.
    pub builds_engine: bool,
    /// True if several sessions of few threads each run more images per second than one session.
    pub gains_from_lanes: bool,
    /// True if a session for one shape of input runs more images per second than one for any.
    pub(crate) gains_from_one_size: bool,
    /// Entries of the session's configuration that keep the provider from handing nodes to the CPU
    /// by itself; set unless a fallback is allowed.
    pub(crate) strict_entries: &'static [(&'static str, &'static str)],
    /// The options that the provider has, of those that not every provider has.
    pub(crate) options: &'static [OptionName],
    /// The precisions in which the provider can compute float32 values.
    pub precisions: &'static [ComputePrecision],
    /// Checks option values on conditions of the provider's own.
    pub(crate) check: fn(&Options) -> Result<(), OptionError>,
    /// Names the device, or the way to compute, if the options can choose it.
    pub(crate) device: fn(&Options) -> Option<String>,
    /// Prepares the provider and returns what a session registers, in order of preference.
    ///
    /// The path is the folder in which a provider that [builds engines](Self::builds_engine) keeps
    /// them.
    pub(crate) register: Register,
    /// Lists the options of a plug-in by their names there.
    pub(crate) plugin_options: fn(&Input, &Options) -> Vec<(String, String)>,
    /// The variable that, if it is set, lets the provider compute in software on the processor;
    /// `--ep auto` then passes it over.
    pub software_variable: Option<&'static str>,
    /// The reasons for which a plug-in offers no device, with their remedies.
    pub(crate) no_device: &'static str,
    /// Recognises messages of ONNX Runtime that only this provider causes.
    pub(crate) diagnose: fn(Provider, &str) -> Option<ProviderError>,
    /// The error that float32 results may have.
    pub float32: Float32Error,
}

/// The largest error that results computed in float32 may have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Float32Error {
    /// The error of a value, relative to the scale of all values.
    pub relative: f64,
    /// The root mean square error as a multiple of the training framework's; `None` if it is not
    /// bounded.
    pub times_trained: Option<f64>,
    /// The reason for which the error need not be larger, and is not asked to be smaller.
    pub reason: &'static str,
}

impl Float32Error {
    /// The error of libraries that choose among kernels.
    pub(crate) const OF_CHOSEN_KERNELS: Self = Self {
        relative: 2e-5,
        times_trained: None,
        reason: "float32 in whatever kernels the provider chooses, Winograd convolutions among them, which round some \
                 times more often",
    };
}

/// Accepts all options, for a provider without conditions of its own.
pub(crate) fn accept(_: &Options) -> Result<(), OptionError> {
    Ok(())
}

/// Names no device, for a provider that computes on one device in one way.
pub(crate) fn only_device(_: &Options) -> Option<String> {
    None
}

/// Lists no options, for a provider that is no plug-in.
pub(crate) fn no_plugin_options(_: &Input, _: &Options) -> Vec<(String, String)> {
    Vec::new()
}

/// Recognises no message, for a provider that has no messages of its own.
pub(crate) fn no_message(_: Provider, _: &str) -> Option<ProviderError> {
    None
}
