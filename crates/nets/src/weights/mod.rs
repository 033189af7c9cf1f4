//! Weights as names and numbers: what a checkpoint file holds, whatever its format.
//!
//! A network's parameters go by the names that the authors' published checkpoints give them, so that files of either side
//! open on the other.

mod file;
mod names;

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor, TensorData};
use ndarray::ArrayD;
use seg_contract::Sha256;
use thiserror::Error;

use crate::amsunet::{AmsUnet, AmsUnetConfig};

pub use file::Borrowed;
pub use file::ReadWeightsError;
pub use names::published;

/// The ends of the names of BatchNorm's running statistics, which training tracks and does not learn.
const STATISTICS: [&str; 2] = ["running_mean", "running_var"];

/// The weights of a network by their published names, `float32`.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    tensors: BTreeMap<String, ArrayD<f32>>,
}

/// Why weights do not fit a network.
#[derive(Debug, Error)]
pub enum FitError {
    /// The weights lack a parameter.
    #[error("the weights lack `{name}`; they are not a complete AMSUnet")]
    Missing {
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
        config: String,
    },
    /// The weights hold a parameter that the network does not have.
    #[error("the weights hold `{name}`, which AMSUnet does not have; are they of another network")]
    Foreign {
        /// The name in the file.
        name: String,
    },
    /// A number is not finite.
    #[error("`{name}` holds a number that is not finite; the training that wrote it has diverged")]
    NotFinite {
        /// The published name.
        name: String,
    },
}

impl From<BTreeMap<String, ArrayD<f32>>> for Weights {
    fn from(tensors: BTreeMap<String, ArrayD<f32>>) -> Self {
        Self { tensors }
    }
}

impl Weights {
    /// The weights of a network, running statistics included.
    ///
    /// Running statistics that training has not merged yet are not seen: pass `net.valid()` of a network in training.
    pub fn of(net: &AmsUnet) -> Self {
        let mut reader = Reader { path: ModulePath::default(), tensors: BTreeMap::new() };
        net.visit(&mut reader);
        Self { tensors: reader.tensors }
    }

    /// The network of these weights, its configuration taken from their shapes.
    ///
    /// # Errors
    /// When the weights are not those of an AMSUnet, or not finite.
    pub fn to_network(&self, device: &Device) -> Result<AmsUnet, FitError> {
        let config = self.config()?;
        let mut writer = Writer { path: ModulePath::default(), weights: self, used: 0, error: None, config: &config };
        let net = config.init(device).map(&mut writer);
        match writer.error {
            Some(error) => Err(error),
            None if writer.used < self.tensors.len() => {
                let own = Self::of(&net);
                let mut names = self.tensors.keys().filter(|name| !own.tensors.contains_key(*name));
                Err(FitError::Foreign { name: names.next().cloned().unwrap_or_default() })
            }
            None => Ok(net),
        }
    }

    /// The configuration that the weights' shapes imply.
    ///
    /// # Errors
    /// When the first or the last convolution is missing or is no convolution.
    pub fn config(&self) -> Result<AmsUnetConfig, FitError> {
        let dimensions = |name: &str| {
            let missing = || FitError::Missing { name: name.into() };
            let tensor = self.tensors.get(name).ok_or_else(missing)?;
            <[usize; 4]>::try_from(tensor.shape()).map_err(|_| missing())
        };
        let [base_width, in_channels, _, _] = dimensions(names::FIRST)?;
        let [num_classes, _, _, _] = dimensions("out_conv.0.weight")?;
        Ok(AmsUnetConfig { in_channels, num_classes, base_width })
    }

    /// The tensors by name.
    pub fn tensors(&self) -> &BTreeMap<String, ArrayD<f32>> {
        &self.tensors
    }

    /// SHA-256 over names, shapes and little-endian values in the order of the names, in hexadecimal.
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

/// How many numbers of a module are running statistics.
pub fn num_statistics<M: Module>(module: &M) -> usize {
    /// Counts what lies below a field named as a statistic.
    #[derive(Default)]
    struct Counter {
        path: ModulePath,
        count: usize,
    }
    impl ModuleVisitor for Counter {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.enter(name);
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.exit();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if self.path.is_statistic() {
                self.count += param.val().shape().num_elements();
            }
        }
    }
    let mut counter = Counter::default();
    module.visit(&mut counter);
    counter.count
}

/// Where a visit of a module stands.
#[derive(Debug, Default)]
pub struct ModulePath(Vec<String>);

impl ModulePath {
    /// Goes into the child module `name`.
    pub fn enter(&mut self, name: &str) {
        self.0.push(name.into());
    }

    /// Goes back to the parent.
    pub fn exit(&mut self) {
        self.0.pop();
    }

    fn is_statistic(&self) -> bool {
        self.0.last().is_some_and(|name| STATISTICS.contains(&name.as_str()))
    }

    /// Returns the published name of the parameter here.
    pub fn published(&self) -> String {
        let path = self.0.join(".");
        published(&path).unwrap_or(path)
    }
}

struct Reader {
    path: ModulePath,
    tensors: BTreeMap<String, ArrayD<f32>>,
}

impl ModuleVisitor for Reader {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.tensors.insert(self.path.published(), to_array(param.val()));
    }
}

/// The values of a float tensor, read back from its device.
pub fn to_array<const D: usize>(tensor: Tensor<D>) -> ArrayD<f32> {
    let shape = tensor.dims().to_vec();
    let values = tensor.into_data().convert::<f32>().try_into_vec::<f32>().expect("the data was just converted to f32");
    ArrayD::from_shape_vec(shape, values).expect("a tensor has as many values as its shape says")
}

struct Writer<'a> {
    path: ModulePath,
    weights: &'a Weights,
    used: usize,
    error: Option<FitError>,
    config: &'a AmsUnetConfig,
}

impl ModuleMapper for Writer<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.error.is_some() {
            return param;
        }
        match self.find(&param.val().dims()) {
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

impl Writer<'_> {
    fn find(&self, expected: &[usize]) -> Result<TensorData, FitError> {
        let name = self.path.published();
        let Some(values) = self.weights.tensors.get(&name) else {
            return Err(FitError::Missing { name });
        };
        if values.shape() != expected {
            let AmsUnetConfig { in_channels, num_classes, base_width } = self.config;
            let config = format!("base width {base_width}, {in_channels} input channels, {num_classes} classes");
            return Err(FitError::Shape { name, found: values.shape().to_vec(), expected: expected.to_vec(), config });
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

    fn small() -> Weights {
        Weights::of(&AmsUnetConfig::new().with_base_width(4).init(&Device::flex()))
    }

    #[test]
    fn a_network_survives_the_way_through_its_weights() {
        let weights = small();
        let net = weights.to_network(&Device::flex()).unwrap();
        assert_eq!(Weights::of(&net), weights);
        assert_eq!(net.config().base_width, 4);
        assert_eq!(Weights::of(&net).sha256(), weights.sha256());
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
    fn equal_hashes_mean_equal_weights() {
        let weights = small();
        let mut other = weights.clone();
        assert_eq!(other.sha256(), weights.sha256());
        other.tensors.get_mut("out_conv.0.bias").unwrap()[[0]] += 1e-3;
        assert_ne!(other.sha256(), weights.sha256());
    }
}
