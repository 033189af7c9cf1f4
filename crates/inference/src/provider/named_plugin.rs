//! A provider that this program does not know, by a plug-in that the user names: Apple's MLX, ggml,
//! a vendor's own.
//!
//! Nothing is known of it, so nothing is assumed: it must offer a device under the name that is
//! given, and compute the whole model.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::kind::Provider;
use super::options::{ComputePrecision, OptionError, OptionName, Options};
use super::spec::{Float32Error, Spec, no_message};
use crate::library::Build;
use crate::model_file::digest;

pub(crate) const SPEC: Spec = Spec {
    provider: Provider::Plugin,
    name: "the plug-in",
    flag: "plugin",
    // The provider's own name is the user's to give, see `Options::ort_name`.
    ort_name: "",
    build: Build::Cpu,
    plugin: None,
    library: None,
    needs: &[],
    linked_with: None,
    fallback: Some(Provider::Cpu),
    is_nvidia: false,
    builds_engine: false,
    gains_from_lanes: false,
    gains_from_one_size: false,
    strict_entries: &[],
    options: &[OptionName::DeviceId, OptionName::NamedPlugin],
    precisions: &[ComputePrecision::Fp32],
    check,
    device: |options| options.named_plugin.as_ref().map(|plugin| plugin.name.clone()),
    register: |_, _, _| Ok(Vec::new()),
    plugin_options: |_, options| {
        options.named_plugin.as_ref().map_or_else(Vec::new, |plugin| {
            plugin.options.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
        })
    },
    software_variable: None,
    no_device: "",
    diagnose: no_message,
    float32: Float32Error::OF_CHOSEN_KERNELS,
};

/// The longest name of a provider.
const NAME_LEN_MAX: usize = 100;

/// A plug-in that the user names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPlugin {
    /// The library, absolute.
    pub library: PathBuf,
    /// The name that the provider gives to itself, as in `MlxExecutionProvider`.
    pub name: String,
    /// Options by the provider's own names for them.
    pub options: Vec<(String, String)>,
    /// The SHA-256 of the library, in hexadecimal.
    pub sha256: String,
}

impl NamedPlugin {
    /// Describes the plug-in in a library.
    ///
    /// # Errors
    /// When the library cannot be read.
    pub fn read(library: &Path, name: &str, options: &[(String, String)]) -> io::Result<Self> {
        let library = std::path::absolute(library)?;
        let (_, sha256) = digest(&library)?;
        Ok(Self { library, name: name.into(), options: options.into(), sha256 })
    }
}

impl fmt::Display for NamedPlugin {
    /// Writes the library's file name and hash, and the options.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.library.file_name().unwrap_or_default().to_string_lossy();
        write!(f, "{file}, SHA-256 {}", self.sha256)?;
        self.options.iter().try_for_each(|(key, value)| write!(f, ", {key}={value}"))
    }
}

/// Makes sure that a library is named, and the provider in it.
fn check(options: &Options) -> Result<(), OptionError> {
    let refuse = |reason| Err(options.refuse("ep-library", reason));
    match &options.named_plugin {
        None => refuse(", which says where it is; name its library, and the provider in it by `--ep-name`"),
        Some(plugin) if plugin.name.is_empty() || plugin.name.len() > NAME_LEN_MAX => {
            refuse(" with such an `--ep-name`: a provider has a name of 1 to 100 bytes, as in MlxExecutionProvider")
        }
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plug_in_is_described_by_its_file_and_what_is_asked_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("libmine.so");
        std::fs::write(&library, "abc").unwrap();
        let options = [("level".to_owned(), "3".to_owned())];
        let plugin = NamedPlugin::read(&library, "MineExecutionProvider", &options).unwrap();
        // The SHA-256 of "abc", from FIPS 180-4.
        let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(plugin.to_string(), format!("libmine.so, SHA-256 {hash}, level=3"));
        assert!(NamedPlugin::read(&folder.path().join("absent.so"), "X", &[]).is_err());

        let options = Options { provider: Provider::Plugin, named_plugin: Some(plugin.clone()), ..Options::default() };
        assert_eq!((options.check(), options.ort_name()), (Ok(()), "MineExecutionProvider"));
        assert_eq!(options.device().as_deref(), Some("MineExecutionProvider"));
        for name in ["", &"n".repeat(101)] {
            let named_plugin = Some(NamedPlugin { name: name.into(), ..plugin.clone() });
            assert!(Options { named_plugin, ..options.clone() }.check().is_err(), "{name}");
        }
        let unnamed = Options { named_plugin: None, ..options }.check().unwrap_err().to_string();
        assert!(unnamed.starts_with("the plug-in has no `--ep-library`, which says where it is"), "{unnamed}");
    }
}
