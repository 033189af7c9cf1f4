//! Providers in libraries of their own, which ONNX Runtime loads into the process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ort::device::Device;
use ort::environment::Environment;
use ort::memory::DeviceType;
use ort::session::builder::SessionBuilder;
use seg_contract::Input;

use super::diagnosis::{diagnose, own_words};
use super::error::ProviderError;
use super::kind::Provider;
use super::named_plugin::NamedPlugin;
use super::openvino;
use super::options::Options;
use crate::library::Plugin;

/// The libraries that this process has registered. It has one environment, and ONNX Runtime takes a
/// library once.
static REGISTERED: Mutex<BTreeMap<Provider, PathBuf>> = Mutex::new(BTreeMap::new());

/// The remedy for a plug-in of which nothing else is known.
const NO_REMEDY: &str = "its hardware or its driver is missing; ask the plug-in's maker what it needs,";

/// Adds the plug-in provider that `options` name to a session, for a graph with the given input.
///
/// # Errors
/// When no library is named, ONNX Runtime or the system's loader refuses it, or it offers no such
/// device.
pub(super) fn add(
    environment: &Environment,
    builder: SessionBuilder,
    input: &Input,
    options: &Options,
) -> Result<SessionBuilder, ProviderError> {
    let Options { provider, .. } = *options;
    let named = options.named_plugin.as_ref().filter(|_| provider == Provider::Plugin);
    let library = named.map(|named| named.library.as_path()).or(options.plugin_library.as_deref());
    let library = library.ok_or_else(|| ProviderError::NoPlugin { provider, setup: provider.setup() })?;
    register_once(environment, library, options)?;
    let name = options.ort_name();
    let device = choose(environment, named, options)?;
    let list = (provider.spec().plugin_options)(input, options);
    let list: Vec<_> = list.into_iter().map(|(key, value)| (format!("{name}.{key}"), value)).collect();
    builder.with_devices([device], Some(&list)).map_err(|error| diagnose(options, error.into()))
}

/// Lists the devices that a provider offers in an environment, each with its maker; those of a
/// plug-in are known once a session was opened.
pub fn offered_devices(environment: &Environment, options: &Options) -> Vec<String> {
    let is_own = |device: &Device<'_>| device.ep().is_ok_and(|found| found == options.ort_name());
    let describe = |device: Device<'_>| {
        let hardware = device.hardware_device();
        let kind = match hardware.ty() {
            DeviceType::GPU => "GPU",
            DeviceType::NPU => "NPU",
            _ => "CPU",
        };
        hardware.vendor().map_or_else(|_| kind.to_owned(), |vendor| format!("{kind} of {vendor}"))
    };
    environment.devices().filter(is_own).map(describe).collect()
}

/// Returns the device of the provider that the options choose.
///
/// A library that registers may offer none: then it cannot be used here.
fn choose<'e>(
    environment: &'e Environment,
    named: Option<&NamedPlugin>,
    options: &Options,
) -> Result<Device<'e>, ProviderError> {
    let Options { provider, device_id, .. } = *options;
    let name = options.ort_name();
    let is_own = |device: &Device<'_>| device.ep().is_ok_and(|found| found == name);
    let mut devices: Vec<_> = environment.devices().filter(is_own).collect();
    let mut index = device_id.unwrap_or(0);
    if provider == Provider::OpenVino && !devices.is_empty() {
        let (kind, number) = openvino::kind_and_number(options);
        devices.retain(|device| kind.is_some_and(|kind| device.hardware_device().ty() == kind));
        index = number;
        if index as usize >= devices.len() {
            let reason = format!("Device {} is not available", options.device().unwrap_or_default());
            return Err(ProviderError::OpenVinoDevice { reason });
        }
    }
    let count = devices.len();
    match (devices.into_iter().nth(index as usize), named, count) {
        (Some(device), ..) => Ok(device),
        (None, Some(named), 0) => Err(without_device(environment, named)),
        (None, None, 0) => Err(ProviderError::NoDevice { provider, remedy: provider.spec().no_device }),
        (None, _, devices) => Err(ProviderError::NoSuchDevice { provider, id: index, devices }),
    }
}

/// Makes the error for a plug-in that offers no device under the name that the user gave.
fn without_device(environment: &Environment, named: &NamedPlugin) -> ProviderError {
    let cpu = Provider::Cpu.spec().ort_name;
    let mut others: Vec<_> =
        environment.devices().filter_map(|device| device.ep().ok()).filter(|name| *name != cpu).collect();
    others.dedup();
    let known = Provider::ALL.into_iter().map(Provider::spec).find(|spec| spec.ort_name == named.name);
    let (offered, remedy) = match (&others[..], known) {
        ([], Some(spec)) if !spec.no_device.is_empty() => (String::new(), spec.no_device),
        ([], _) => (String::new(), NO_REMEDY),
        (others, _) => (format!(", only of `{}`", others.join("`, `")), "name one of these by `--ep-name`"),
    };
    let library = named.library.file_name().unwrap_or_default().to_string_lossy().into_owned();
    ProviderError::NoNamedDevice { library, name: named.name.clone(), offered, remedy }
}

/// Makes the error for a library that cannot be registered.
fn refused(options: &Options, library: &Path, error: ort::Error) -> ProviderError {
    match diagnose(options, error) {
        ProviderError::Other { source } if options.provider == Provider::Plugin => {
            let library = library.file_name().unwrap_or_default().to_string_lossy().into_owned();
            ProviderError::NamedLibrary { library, reason: own_words(source.message()).to_owned() }
        }
        error => error,
    }
}

/// Registers a library unless this process has done so.
fn register_once(environment: &Environment, library: &Path, options: &Options) -> Result<(), ProviderError> {
    let mut registered = REGISTERED.lock().unwrap_or_else(PoisonError::into_inner);
    if registered.get(&options.provider).is_some_and(|known| known == library) {
        return Ok(());
    }
    for companion in options.provider.plugin().into_iter().flat_map(Plugin::companions) {
        // The plug-in names the one that it lacks.
        let _ = ort::util::preload_dylib(library.with_file_name(companion));
    }
    // Some plug-ins take the name under which they are registered for the provider's.
    let name = if options.provider == Provider::Plugin { options.ort_name() } else { options.provider.flag() };
    environment.register_ep_library(name, library).map_err(|error| refused(options, library, error))?;
    registered.insert(options.provider, library.into());
    Ok(())
}
