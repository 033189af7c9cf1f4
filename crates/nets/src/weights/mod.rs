//! Weights as names and numbers: the content of a checkpoint file, whatever its format.
//!
//! A network's parameters go by the names that published checkpoints give them, so that files of
//! either side open on the other.

mod error;
mod file;
mod part;
#[cfg(test)]
mod pickle;
mod reference;
mod safetensors;

use std::collections::BTreeMap;

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use ndarray::ArrayD;
use seg_contract::Sha256;
use thiserror::Error;

use crate::network::{MissingParameter, Named, Network, NetworkConfig, NetworkName, OptionError, SettingError};
use crate::parameters::{ParameterMapper, ParameterVisitor, Parameters};

pub use error::ReadWeightsError;
pub use file::WeightsFile;
pub use part::{WeightsPart, is_average};
pub use safetensors::{Borrowed, CONTRACT_KEY};

/// The weights of a network by their published names, `float32`.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    network: NetworkName,
    /// The options of the network that differ from their defaults.
    options: BTreeMap<String, String>,
    tensors: BTreeMap<String, ArrayD<f32>>,
}

/// An error in fitting weights to a network.
#[derive(Debug, Error)]
pub enum FitError {
    /// The weights lack a parameter.
    #[error("the weights lack `{name}`; they are not a complete {}", network.title())]
    Missing {
        /// The network.
        network: NetworkName,
        /// The published name.
        name: String,
    },
    /// A parameter has another shape.
    #[error("`{name}` has shape {found:?}, expected {expected:?} for {config}")]
    Shape {
        /// The published name.
        name: String,
        /// The shape in the file.
        found: Vec<usize>,
        /// The shape in the network.
        expected: Vec<usize>,
        /// The network.
        config: Box<NetworkConfig>,
    },
    /// The weights hold a parameter that the network does not have.
    #[error("the weights hold `{name}`, which {} does not have; they may be of another network", network.title())]
    Foreign {
        /// The network.
        network: NetworkName,
        /// The name in the file.
        name: String,
    },
    /// The network does not have the options that the weights are said to need.
    #[error("the weights are said to need options that {} does not have", network.title())]
    Options {
        /// The network.
        network: NetworkName,
        /// The reason.
        source: OptionError,
    },
    /// The shapes are those of a network that cannot be made.
    #[error("the weights are of no {} that can be made", network.title())]
    Setting {
        /// The network.
        network: NetworkName,
        /// The setting that the shapes imply.
        source: SettingError,
    },
    /// A number is not finite.
    #[error("`{name}` holds a number that is not finite; the training that wrote it has diverged")]
    NotFinite {
        /// The published name.
        name: String,
    },
}

impl Weights {
    /// Makes the weights of a network from tensors by their published names.
    pub fn new(network: NetworkName, tensors: BTreeMap<String, ArrayD<f32>>) -> Self {
        Self { network, options: BTreeMap::new(), tensors }
    }

    /// Returns the weights as those of a network with these options, which names and shapes of
    /// weights may not tell.
    pub fn with_options(self, options: BTreeMap<String, String>) -> Self {
        Self { options, ..self }
    }

    /// Returns the options of the network that differ from their defaults, as far as they are
    /// known.
    pub fn options(&self) -> &BTreeMap<String, String> {
        &self.options
    }

    /// Reads the weights out of a network, running statistics included.
    ///
    /// Running statistics that training has not merged yet are not seen: pass `net.valid()` of a
    /// network in training.
    pub fn from_network(net: &impl Named) -> Self {
        let mut tensors = Tensors(BTreeMap::new());
        net.for_each(&mut tensors);
        Self { network: net.network(), options: net.options(), tensors: tensors.0 }
    }

    /// Makes the network of these weights, its configuration taken from their shapes and options.
    ///
    /// # Errors
    /// When the weights are not those of the network that they are named for, or not finite.
    pub fn to_network(&self, device: &Device) -> Result<Network, FitError> {
        let config = self.config()?;
        config.check().map_err(|source| FitError::Setting { network: self.network, source })?;
        let mut filler = Filler { weights: self, used: 0, error: None, config: &config };
        let net = config.init(device).map_each(&mut filler);
        match filler.error {
            Some(error) => Err(error),
            None if filler.used < self.tensors.len() => {
                let own = Self::from_network(&net);
                let mut names = self.tensors.keys().filter(|name| !own.tensors.contains_key(*name));
                Err(FitError::Foreign { network: self.network, name: names.next().cloned().unwrap_or_default() })
            }
            None => Ok(net),
        }
    }

    /// Returns the configuration that the weights' shapes imply, with the options of the weights.
    ///
    /// # Errors
    /// When a tensor that the configuration follows from is missing or has another rank, or the
    /// network does not have the options.
    pub fn config(&self) -> Result<NetworkConfig, FitError> {
        let network = self.network;
        let config = network.config_from_shapes(&|name| self.shape_of(name));
        let config = config.map_err(|MissingParameter { name }| FitError::Missing { network, name })?;
        if self.options.is_empty() {
            return Ok(config);
        }
        let options = self.options.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        config.with_settings(options).map_err(|source| FitError::Options { network, source })
    }

    /// Returns the shape of a weight, with ones behind it up to four axes.
    fn shape_of(&self, name: &str) -> Result<[usize; 4], MissingParameter> {
        let shape = self.tensors.get(name).map(|tensor| tensor.shape()).filter(|shape| shape.len() <= 4);
        let axis = |shape: &[usize], axis| shape.get(axis).copied().unwrap_or(1);
        let shape = shape.map(|shape| [0, 1, 2, 3].map(|index| axis(shape, index)));
        shape.ok_or_else(|| MissingParameter { name: name.into() })
    }

    /// Returns the network that the weights are of.
    pub fn network(&self) -> NetworkName {
        self.network
    }

    /// Returns the tensors by name.
    pub fn tensors(&self) -> &BTreeMap<String, ArrayD<f32>> {
        &self.tensors
    }

    /// Returns the SHA-256 over names, shapes and little-endian values in the order of the names,
    /// in hexadecimal.
    ///
    /// Equal weights have equal hashes, whatever file format they came from.
    pub fn sha256(&self) -> String {
        let mut hash = Sha256::new();
        for (name, tensor) in &self.tensors {
            hash.update(name.as_bytes());
            hash.update([0]);
            for side in tensor.shape() {
                hash.update((*side as u64).to_le_bytes());
            }
            for value in tensor {
                hash.update(value.to_le_bytes());
            }
        }
        hash.hex()
    }
}

/// Reads the values of a float tensor back from its device.
pub fn to_array<const D: usize>(tensor: Tensor<D>) -> ArrayD<f32> {
    let shape = tensor.dims().to_vec();
    let values = tensor.into_data().convert::<f32>().try_into_vec::<f32>().expect("the data was just converted to f32");
    ArrayD::from_shape_vec(shape, values).expect("a tensor has as many values as its shape says")
}

/// The tensors of a network by name.
struct Tensors(BTreeMap<String, ArrayD<f32>>);

impl ParameterVisitor for Tensors {
    fn visit<const D: usize>(&mut self, name: String, param: &Param<Tensor<D>>) {
        self.0.insert(name, to_array(param.val()));
    }
}

/// Fills a fresh network with weights, up to the first that does not fit.
struct Filler<'a> {
    weights: &'a Weights,
    used: usize,
    error: Option<FitError>,
    config: &'a NetworkConfig,
}

impl ParameterMapper for Filler<'_> {
    fn map<const D: usize>(&mut self, name: String, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.error.is_some() {
            return param;
        }
        match self.find(name, &param.val().dims()) {
            Ok(data) => {
                self.used += 1;
                param.map(|tensor| Tensor::from_data(data, &tensor.device()).set_require_grad(tensor.is_require_grad()))
            }
            Err(error) => {
                self.error = Some(error);
                param
            }
        }
    }
}

impl Filler<'_> {
    fn find(&self, name: String, expected: &[usize]) -> Result<TensorData, FitError> {
        let Some(values) = self.weights.tensors.get(&name) else {
            return Err(FitError::Missing { network: self.weights.network, name });
        };
        if values.shape() != expected {
            let (found, expected) = (values.shape().to_vec(), expected.to_vec());
            return Err(FitError::Shape { name, found, expected, config: Box::new(self.config.clone()) });
        }
        if values.iter().any(|value| !value.is_finite()) {
            return Err(FitError::NotFinite { name });
        }
        Ok(TensorData::new(values.iter().copied().collect(), values.shape().to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amsunet::AmsUnetConfig;

    fn small() -> Weights {
        Weights::from_network(&AmsUnetConfig::new().with_base_width(4).init(&Device::flex()))
    }

    #[test]
    fn a_network_survives_the_way_through_its_weights() {
        let weights = small();
        let net = weights.to_network(&Device::flex()).unwrap();
        assert_eq!(Weights::from_network(&net), weights);
        assert_eq!(net.config(), AmsUnetConfig::new().with_base_width(4).into());
        assert_eq!(Weights::from_network(&net).sha256(), weights.sha256());
    }

    #[test]
    fn weights_that_do_not_fit_are_named() {
        type Damage = fn(&mut BTreeMap<String, ArrayD<f32>>);
        let rows: [(&str, Damage); 5] = [
            ("lack `up1.satt.squeeze.weight`", |t| drop(t.remove("up1.satt.squeeze.weight"))),
            ("lack `in_conv.0.weight`", |t| drop(t.remove("in_conv.0.weight"))),
            ("`down1.1.bias` has shape [3], expected [8]", |t| {
                t.insert("down1.1.bias".into(), ArrayD::zeros(vec![3]));
            }),
            ("`up5.norm.bias`, which AMSUnet does not have", |t| {
                t.insert("up5.norm.bias".into(), ArrayD::zeros(vec![3]));
            }),
            ("`out_conv.0.bias` holds a number that is not finite", |t| {
                t.insert("out_conv.0.bias".into(), ArrayD::from_elem(vec![2], f32::NAN));
            }),
        ];
        for (expected, damage) in rows {
            let mut weights = small();
            damage(&mut weights.tensors);
            let message = weights.to_network(&Device::flex()).map(drop).unwrap_err().to_string();
            assert!(message.contains(expected), "{expected}: {message}");
        }
    }

    #[test]
    fn shapes_that_no_network_has_are_refused() {
        let config = crate::unext::UNextConfig::new().with_widths([2, 3, 4, 5, 6]);
        let mut weights = Weights::from_network(&NetworkConfig::from(config).init(&Device::flex()));
        weights.tensors.insert("encoder2.weight".into(), ArrayD::zeros(vec![0, 2, 3, 3]));
        let error = weights.to_network(&Device::flex()).map(drop).unwrap_err();
        assert!(matches!(error, FitError::Setting { .. }), "{error}");
    }

    #[test]
    fn equal_hashes_mean_equal_weights() {
        let weights = small();
        let mut other = weights.clone();
        assert_eq!(other.sha256(), weights.sha256());
        other.tensors.get_mut("out_conv.0.bias").unwrap()[[0]] += 1e-3;
        assert_ne!(other.sha256(), weights.sha256());
    }
}
