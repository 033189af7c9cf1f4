//! Providers in libraries of their own, which ONNX Runtime loads into the process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;
use ort::session::builder::SessionBuilder;
use seg_contract::Input;

use super::diagnosis::diagnose;
use super::error::ProviderError;
use super::kind::Provider;
use super::options::Options;
use crate::library::Plugin;

/// The libraries that this process has registered. It has one environment, and ONNX Runtime takes a
/// library once.
static REGISTERED: Mutex<BTreeMap<Provider, PathBuf>> = Mutex::new(BTreeMap::new());

/// Adds the plug-in provider that `options` name to a session, for a graph with the given input.
///
/// # Errors
/// When no library is named, ONNX Runtime or the system's loader refuses it, or it offers no such
/// device.
pub(super) fn add(
    environment: &Environment,
    builder: SessionBuilder,
    plugin: Plugin,
    input: &Input,
    options: &Options,
) -> Result<SessionBuilder, ProviderError> {
    let Options { provider, device_id, .. } = *options;
    let spec = provider.spec();
    let library = options.plugin_library.as_deref();
    let library = library.ok_or_else(|| ProviderError::NoPlugin { provider, setup: plugin.setup() })?;
    register_once(environment, library, plugin, options)?;
    // A library that registers may offer no device: then it cannot be used here.
    let devices: Vec<_> =
        environment.devices().filter(|device| device.ep().is_ok_and(|name| name == spec.ort_name)).collect();
    let (count, index) = (devices.len(), device_id.unwrap_or(0));
    let Some(device) = devices.into_iter().nth(index as usize) else {
        return Err(match count {
            0 => ProviderError::NoDevice { provider, remedy: spec.no_device },
            devices => ProviderError::NoSuchDevice { provider, id: index, devices },
        });
    };
    let list = (spec.plugin_options)(input, options);
    let list: Vec<_> = list.into_iter().map(|(key, value)| (format!("{}.{key}", spec.ort_name), value)).collect();
    builder.with_devices([device], Some(&list)).map_err(|error| diagnose(options, error.into()))
}

/// Registers a library unless this process has done so.
fn register_once(
    environment: &Environment,
    library: &Path,
    plugin: Plugin,
    options: &Options,
) -> Result<(), ProviderError> {
    let mut registered = REGISTERED.lock().unwrap_or_else(PoisonError::into_inner);
    if registered.get(&options.provider).is_some_and(|known| known == library) {
        return Ok(());
    }
    for companion in plugin.companions() {
        // The plug-in names the one that it lacks.
        let _ = ort::util::preload_dylib(library.with_file_name(companion));
    }
    environment.register_ep_library(options.provider.flag(), library).map_err(|error| diagnose(options, error))?;
    registered.insert(options.provider, library.into());
    Ok(())
}
