//! A checkpoint: weights with the contract of the model that they make.

use std::path::{Path, PathBuf};

use seg_contract::{Contract, ContractError};
use seg_data::WriteError;
use thiserror::Error;

use crate::network::{NetworkConfig, NetworkName, NetworkOption, OptionError};
use crate::runs::BEST;
use crate::weights::{FitError, ReadWeightsError, Weights, WeightsFile, WeightsPart};

pub use crate::weights::CONTRACT_KEY;

/// Weights with the contract of the model that they make.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// The file that it was read from.
    pub path: PathBuf,
    /// The weights.
    pub weights: Weights,
    /// The contract; files that others wrote have none.
    pub contract: Option<Contract>,
}

/// An error in reading a checkpoint.
#[derive(Debug, Error)]
pub enum ReadCheckpointError {
    /// The weights cannot be read.
    #[error(transparent)]
    Weights(#[from] ReadWeightsError),
    /// The contract beside the weights cannot be used.
    #[error("cannot use the contract in `{}`", path.display())]
    Contract {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: ContractError,
    },
    /// The folder is not a finished run.
    #[error("`{}` holds no `{}`; it is not a run, or its first epoch has not ended", path.display(), BEST)]
    NoRun {
        /// The folder.
        path: PathBuf,
    },
}

/// An error in giving a checkpoint's network an option.
#[derive(Debug, Error)]
pub enum ChooseError {
    /// The weights make no network.
    #[error("cannot make a network of the weights in `{}`", path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: FitError,
    },
    /// The network has no such option.
    #[error("{} has no option `{option}`; it has {}", network.title(), options_of(*network))]
    Unknown {
        /// The network.
        network: NetworkName,
        /// The option.
        option: String,
    },
    /// The option has no such value.
    #[error("the option `{option}` cannot be `{value}`")]
    Value {
        /// The option.
        option: String,
        /// The value.
        value: String,
        /// The reason.
        source: OptionError,
    },
    /// The checkpoint says something else.
    #[error("the option `{option}` cannot be `{value}`: the checkpoint is of {carried}; leave the option out")]
    Contradiction {
        /// The option.
        option: String,
        /// The value.
        value: String,
        /// The network of the checkpoint.
        carried: Box<NetworkConfig>,
    },
}

/// Options of a network that neither its weights nor anybody tells.
#[derive(Debug, Error)]
#[error(
    "cannot make a network of `{}`: names and shapes of its weights do not tell {} of {}; say {} by `--network-option`: {}. The \
     published network is {}",
    path.display(),
    join(options.iter().map(|option| option.name)),
    network.title(),
    if options.len() == 1 { "it" } else { "each" },
    options.iter().map(|option| format!("{} is {}", option.name, option.values)).collect::<Vec<_>>().join("; "),
    published(options)
)]
pub struct UntoldError {
    /// The file.
    pub path: PathBuf,
    /// The network.
    pub network: NetworkName,
    /// The options.
    pub options: Vec<&'static NetworkOption>,
}

/// Returns the flag that chooses the published network.
fn published(options: &[&NetworkOption]) -> String {
    let values: Vec<_> = options.iter().map(|option| format!("{}={}", option.name, option.published())).collect();
    format!("`--network-option {}`", values.join(","))
}

/// Joins names for a sentence.
fn join<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.collect();
    match names.as_slice() {
        [] => String::new(),
        [name] => (*name).to_owned(),
        [names @ .., last] => format!("{} and {last}", names.join(", ")),
    }
}

/// Returns the names of a network's options, for a message.
fn options_of(network: NetworkName) -> String {
    let names: Vec<_> = network.options().iter().map(|option| option.name).collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

impl Checkpoint {
    /// Gives the network options, by their names and values, that names and shapes of its weights
    /// may not tell.
    ///
    /// # Errors
    /// When the network has no such options, or the checkpoint's contract or parameters say
    /// something else.
    pub fn choose(&mut self, options: &[(String, String)]) -> Result<(), ChooseError> {
        for (option, value) in options {
            let fit = |source| ChooseError::Weights { path: self.path.clone(), source };
            let carried = self.weights.config().map_err(fit)?;
            let network = carried.name();
            let Some(known) = network.options().iter().find(|known| known.name == option) else {
                return Err(ChooseError::Unknown { network, option: option.clone() });
            };
            let (option, value) = (option.clone(), value.clone());
            let chosen = match carried.with_settings([(option.as_str(), value.as_str())]) {
                Ok(chosen) => chosen,
                Err(source) => return Err(ChooseError::Value { option, value, source }),
            };
            if chosen != carried && (self.contract.is_some() || known.in_weights) {
                return Err(ChooseError::Contradiction { option, value, carried: Box::new(carried) });
            }
            self.weights = self.weights.clone().with_options(chosen.options());
        }
        Ok(())
    }

    /// Checks that all options of the network are known: from the file that the weights were read
    /// from, from their names and shapes, or among the `given` ones.
    ///
    /// # Errors
    /// When some are not.
    pub fn check_told(&self, part: &WeightsPart, given: &[(String, String)]) -> Result<(), UntoldError> {
        if self.contract.is_some() || part.names_network {
            return Ok(());
        }
        let network = self.weights.network();
        let is_given = |option: &NetworkOption| given.iter().any(|(name, _)| name == option.name);
        let is_chosen = |(name, value): (&str, &str)| given.iter().any(|given| *given == (name.into(), value.into()));
        let is_open =
            |option: &&NetworkOption| !option.in_weights && !is_given(option) && option.only_with.is_none_or(is_chosen);
        let options: Vec<_> = network.options().iter().filter(is_open).collect();
        if options.is_empty() { Ok(()) } else { Err(UntoldError { path: self.path.clone(), network, options }) }
    }

    /// Returns the checkpoint as one of a network of this configuration: of its options, those are
    /// taken that the checkpoint does not tell.
    pub fn for_network(&self, config: &NetworkConfig) -> Self {
        let mut checkpoint = self.clone();
        if self.contract.is_none() && self.weights.network() == config.name() {
            let is_told =
                |name: &str| config.name().options().iter().any(|option| option.name == name && option.in_weights);
            let mut options = config.options();
            options.retain(|name, _| !is_told(name));
            options.extend(self.weights.options().clone());
            checkpoint.weights = self.weights.clone().with_options(options);
        }
        checkpoint
    }

    /// Reads the best weights of a run's folder, or a `.safetensors`, `.pth`, `.pt`, `.ckpt` or
    /// `.reference.onnx` file.
    ///
    /// # Errors
    /// When the folder is not a run, or the file cannot be read or holds no network.
    pub fn read(path: &Path) -> Result<Self, ReadCheckpointError> {
        Ok(Self::read_part(path, None)?.0)
    }

    /// Reads a checkpoint as [`read`](Self::read), the weights under `key` if one is given; also
    /// returns the part of the file that they were read from.
    ///
    /// # Errors
    /// As [`read`](Self::read), and when the file holds no weights under `key`.
    pub fn read_part(path: &Path, key: Option<&str>) -> Result<(Self, WeightsPart), ReadCheckpointError> {
        let file = if path.is_dir() { path.join(BEST) } else { path.to_owned() };
        if path.is_dir() && !file.exists() {
            return Err(ReadCheckpointError::NoRun { path: path.into() });
        }
        let WeightsFile { weights, notes, part } = Weights::read_file(&file, key)?;
        let contract = notes
            .get(CONTRACT_KEY)
            .map(|text| Contract::from_json(text))
            .transpose()
            .map_err(|source| ReadCheckpointError::Contract { path: file.clone(), source })?;
        Ok((Self { path: file, weights, contract }, part))
    }

    /// Writes weights and contract as one `.safetensors` file, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self) -> Result<(), WriteError> {
        let note = self.contract.as_ref().map(|contract| (CONTRACT_KEY, contract.to_json()));
        self.weights.write(&self.path, note)
    }
}
