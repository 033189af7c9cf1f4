//! Weights in files: `.safetensors` both ways; PyTorch's `.pth`, Lightning's `.ckpt` and the
//! references of exported models to read.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use half::{bf16, f16};
use ndarray::ArrayD;
use pytorch_reader::{DType, PytorchError, PytorchReader};
use seg_data::{WriteError, write_bytes};

use super::reference::read_reference;
use super::safetensors::read_safetensors;
use super::{ReadWeightsError, Weights, WeightsPart};
use crate::network::NetworkName;

/// Counters that PyTorch's BatchNorm keeps and that nothing here uses.
const IGNORED: &str = "num_batches_tracked";

/// Weights with all that a file says of them.
#[derive(Clone, Debug)]
pub struct WeightsFile {
    /// The weights.
    pub weights: Weights,
    /// The texts that a `.safetensors` file carries beside its tensors, by their keys.
    pub notes: HashMap<String, String>,
    /// The part of the file that the weights were read from.
    pub part: WeightsPart,
}

/// A tensor as a file holds it: its shape and its little-endian bytes.
pub(super) struct Raw {
    pub(super) shape: Vec<usize>,
    pub(super) bytes: Vec<u8>,
    pub(super) float: Float,
}

/// The type of a tensor's values.
#[derive(Clone, Copy, Debug)]
pub(super) enum Float {
    F16,
    Bf16,
    F32,
    F64,
}

impl Float {
    /// Converts little-endian bytes to values. Only those of 64 bits are rounded.
    fn values(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::F16 => bytes.as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect(),
            Self::Bf16 => bytes.as_chunks().0.iter().map(|bytes| bf16::from_le_bytes(*bytes).to_f32()).collect(),
            Self::F32 => bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
            Self::F64 => bytes.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes) as f32).collect(),
        }
    }
}

impl Weights {
    /// Reads the weights of a `.safetensors`, `.pth`, `.pt`, `.ckpt` or `.reference.onnx` file.
    ///
    /// The weights may lie under any prefix (`model.` in the authors' files, `module.` after
    /// data-parallel training, `state_dict.net.` in a file of Lightning); whatever else a file
    /// holds, such as an optimizer, is left alone. Of weights and their moving average, the weights
    /// are read. The network is the one that the file names, or else the one whose parameters it
    /// holds. Values of 16 bits are widened, those of 64 bits rounded.
    ///
    /// # Errors
    /// When the file cannot be read, is not of the format that its name implies, or holds no
    /// network.
    pub fn read(path: &Path) -> Result<Self, ReadWeightsError> {
        Ok(Self::read_file(path, None)?.weights)
    }

    /// Reads weights as [`read`](Self::read), with all that the file says of them; those under
    /// `key` if one is given.
    ///
    /// # Errors
    /// As [`read`](Self::read), and when the file holds no weights under `key`.
    pub fn read_file(path: &Path, key: Option<&str>) -> Result<WeightsFile, ReadWeightsError> {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        match extension {
            "safetensors" => read_safetensors(path, key),
            "pth" | "pt" | "ckpt" => read_pytorch(path, key),
            "onnx" => read_reference(path, key),
            _ => Err(ReadWeightsError::Extension { path: path.into() }),
        }
    }

    /// Writes the weights and one note as `.safetensors`, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path, note: Option<(&str, String)>) -> Result<(), WriteError> {
        write_bytes(path, &self.to_safetensors(note))
    }
}

fn read_pytorch(path: &Path, key: Option<&str>) -> Result<WeightsFile, ReadWeightsError> {
    // The reader's own message for a missing file names the pickle, not the file.
    fs::metadata(path).map_err(|source| ReadWeightsError::Io { path: path.into(), source })?;
    let file = PytorchReader::new(path).map_err(|error| match error {
        PytorchError::Pickle(error) => ReadWeightsError::Pickle { path: path.into(), source: error.into() },
        error => ReadWeightsError::format(path, "PyTorch", error),
    })?;
    let tensors = file.tensors().iter().map(|(name, tensor)| (name.clone(), tensor.shape().len())).collect();
    let (weights, part) = collect(path, None, key, tensors, |name| {
        let Some(tensor) = file.get(name) else {
            return Err(ReadWeightsError::NoNetwork { path: path.into() });
        };
        let float = match tensor.dtype() {
            DType::F16 => Float::F16,
            DType::BF16 => Float::Bf16,
            DType::F32 => Float::F32,
            DType::F64 => Float::F64,
            other => return Err(ReadWeightsError::of_type(path, name, format!("{other:?}"))),
        };
        let bytes = tensor.read().map_err(|source| ReadWeightsError::Io { path: path.into(), source })?;
        Ok(Raw { shape: tensor.shape().to_vec(), bytes, float })
    })?;
    Ok(WeightsFile { weights, notes: HashMap::new(), part })
}

/// A network with options, as a file names it.
pub(super) type NamedNetwork = (NetworkName, BTreeMap<String, String>);

/// Gathers the tensors of the named network, or else of the one of which the file has most marks,
/// from the part of the file under `key`, or else from the one that [`WeightsPart::find`] prefers.
pub(super) fn collect(
    path: &Path,
    named: Option<NamedNetwork>,
    key: Option<&str>,
    tensors: Vec<(String, usize)>,
    read: impl Fn(&str) -> Result<Raw, ReadWeightsError>,
) -> Result<(Weights, WeightsPart), ReadWeightsError> {
    let names_network = named.is_some();
    let (named, options) = named.unzip();
    let candidates = NetworkName::ALL.into_iter().filter(|network| named.is_none_or(|named| named == *network));
    let found =
        candidates.filter_map(|network| Some((network, WeightsPart::find(&tensors, network.published(), key)?)));
    let (network, part) = found
        .max_by_key(|(network, _)| network.published().marks.len())
        .ok_or_else(|| ReadWeightsError::NoNetwork { path: path.into() })?;
    let part =
        part.map_err(|found| ReadWeightsError::Key { path: path.into(), key: key.unwrap_or_default().into(), found })?;
    let mut weights = BTreeMap::new();
    for (name, _) in &tensors {
        let Some(published) = part.name_of(name).filter(|name| !name.ends_with(IGNORED)) else {
            continue;
        };
        // At the top, other parts of the file lie beside the weights.
        if part.key.is_empty() && !network.published().has_root(published) {
            continue;
        }
        let Raw { shape, bytes, float } = read(name)?;
        let tensor = ArrayD::from_shape_vec(shape, float.values(&bytes)).expect("both readers check a tensor's length");
        weights.insert(published.to_owned(), tensor);
    }
    let mut weights = Weights::new(network, weights).with_options(options.unwrap_or_default());
    // With those that names and shapes tell; what does not fit is named where a network is made.
    if let Ok(config) = weights.config() {
        weights.options = config.options();
    }
    Ok((weights, WeightsPart { names_network, ..part }))
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use safetensors::Dtype;

    use super::super::pickle::{Object, save};
    use super::super::safetensors::{Borrowed, CONTRACT_KEY, NETWORK_KEY};
    use super::*;
    use crate::amsunet::AmsUnetConfig;
    use crate::unet::UNetConfig;

    #[test]
    fn a_file_is_of_the_network_that_it_names_or_whose_parameters_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("net.safetensors");
        let device = Device::flex();
        let amsunet = Weights::from_network(&AmsUnetConfig::new().with_base_width(4).init(&device));
        let unet = Weights::from_network(&UNetConfig::new().with_base_width(2).init(&device));
        let contract = r#"{ "provenance": { "network": "unet" } }"#;
        for (name, weights, note) in [
            ("AMSUnet", &amsunet, None),
            ("U-Net by its name", &unet, None),
            ("U-Net by its contract", &unet, Some((CONTRACT_KEY, contract.to_owned()))),
            ("U-Net by its parameters", &unet, Some(("key", "text".into()))),
        ] {
            weights.write(&path, note).unwrap();
            let WeightsFile { weights: read, notes, .. } = Weights::read_file(&path, None).unwrap();
            assert_eq!(&read, weights, "{name}");
            assert_eq!(notes.contains_key(NETWORK_KEY), name == "U-Net by its name", "{name}");
        }
        amsunet.write(&path, Some((NETWORK_KEY, "vnet".into()))).unwrap();
        let error = Weights::read(&path).unwrap_err();
        assert!(matches!(error, ReadWeightsError::Unknown { .. }), "{error:?}");
    }

    #[test]
    fn every_network_is_recognised_by_its_parameters_and_their_shapes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("net.pth");
        let narrow = |name: NetworkName, settings: &[(&str, &str)]| {
            let width = [("base_width", "4")].into_iter().chain(settings.iter().copied());
            name.config(1, 3).with_settings(width).unwrap()
        };
        let supervised = [("deep_supervision", "true")];
        for (name, settings) in [
            (NetworkName::AmsUnet, &[][..]),
            (NetworkName::AmsUnet, &[("skip", "plain")]),
            (NetworkName::AmsUnet, &[("skip", "se")]),
            (NetworkName::AmsUnet, &[("skip", "cbam"), ("strips", "7-11-21")]),
            (NetworkName::AmsUnet, &[("skip", "scse")]),
            (NetworkName::UNet, &[]),
            (NetworkName::UNetPlusPlus, &[]),
            (NetworkName::UNetPlusPlus, &supervised),
            (NetworkName::AttentionUNet, &[]),
            (NetworkName::ResUNet, &[]),
            (NetworkName::ResUNetCanonical, &[]),
        ] {
            let config = narrow(name, settings);
            let weights = Weights::from_network(&config.init(&Device::flex()));
            save(&path, &Object::dict([("model", state_dict(&weights, "", Float::F32))]));
            let read = Weights::read(&path).unwrap();
            assert_eq!(read.config().unwrap(), config);
            assert_eq!(read, weights, "{config}");
        }
    }

    #[test]
    fn options_that_no_shape_tells_are_carried_by_a_file_and_its_contract() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("net.safetensors");
        let config = NetworkName::AmsUnet.config(3, 2);
        let config = config.with_settings([("base_width", "4"), ("norm", "bb"), ("dilation", "1-2-3-4-5")]).unwrap();
        let weights = Weights::from_network(&config.init(&Device::flex()));
        let contract =
            format!(r#"{{ "provenance": {{ "network": "amsunet", "configuration": "{}" }} }}"#, config.summary());
        for (name, note) in [("its own note", None), ("a contract", Some((CONTRACT_KEY, contract)))] {
            weights.write(&path, note).unwrap();
            let read = Weights::read(&path).unwrap();
            assert_eq!(read, weights, "{name}");
            assert_eq!(read.config().unwrap(), config, "{name}");
        }
        // Neither names nor shapes tell them.
        weights.write(&path, Some(("key", "text".into()))).unwrap();
        assert_eq!(Weights::read(&path).unwrap().options().len(), 0);
        weights.write(&path, Some((NETWORK_KEY, "amsunet norm=bx".into()))).unwrap();
        let message = Weights::read(&path).unwrap().config().unwrap_err();
        assert!(matches!(message, crate::weights::FitError::Options { .. }), "{message:?}");
    }

    #[test]
    fn safetensors_round_trip_and_are_reproducible() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("net.safetensors");
        let weights = Weights::from_network(&AmsUnetConfig::new().with_base_width(4).init(&Device::flex()));
        weights.write(&path, Some(("key", "text".into()))).unwrap();
        let WeightsFile { weights: read, notes, .. } = Weights::read_file(&path, None).unwrap();
        assert_eq!(read, weights);
        assert_eq!(notes["key"], "text");
        assert_eq!(weights.to_safetensors(None), read.to_safetensors(None));
    }

    /// Returns the values of a tensor in a type of floats as bytes, and the type's names in PyTorch
    /// and in safetensors.
    fn encoded(float: Float, tensor: &ArrayD<f32>) -> (&'static str, Dtype, Vec<u8>) {
        let values = tensor.iter().copied();
        match float {
            Float::F16 => {
                ("HalfStorage", Dtype::F16, values.flat_map(|value| f16::from_f32(value).to_le_bytes()).collect())
            }
            Float::Bf16 => {
                ("BFloat16Storage", Dtype::BF16, values.flat_map(|value| bf16::from_f32(value).to_le_bytes()).collect())
            }
            Float::F32 => ("FloatStorage", Dtype::F32, values.flat_map(f32::to_le_bytes).collect()),
            Float::F64 => {
                ("DoubleStorage", Dtype::F64, values.flat_map(|value| f64::from(value).to_le_bytes()).collect())
            }
        }
    }

    /// Returns a state dictionary as PyTorch keeps it, with a counter that nothing here reads.
    fn state_dict(weights: &Weights, prefix: &str, float: Float) -> Object {
        let tensor = |(name, tensor): (&String, &ArrayD<f32>)| {
            let (storage, _, bytes) = encoded(float, tensor);
            (format!("{prefix}{name}"), Object::Tensor(storage, tensor.shape().to_vec(), bytes))
        };
        let counter = Object::Tensor("LongStorage", vec![], vec![7, 0, 0, 0, 0, 0, 0, 0]);
        let tensors = weights.tensors().iter().map(tensor);
        Object::dict(tensors.chain([(format!("{prefix}in_conv.1.num_batches_tracked"), counter)]))
    }

    fn drawn(seed: u64) -> Weights {
        let device = Device::flex();
        device.seed(seed);
        Weights::from_network(&AmsUnetConfig::new().with_base_width(4).init(&device))
    }

    #[test]
    fn floats_of_any_width_are_read_and_widened_exactly() {
        let folder = tempfile::tempdir().unwrap();
        let given = drawn(1);
        for (float, round) in [
            (Float::F16, (|value| f16::from_f32(value).to_f32()) as fn(f32) -> f32),
            (Float::Bf16, |value| bf16::from_f32(value).to_f32()),
            (Float::F32, |value| value),
            (Float::F64, |value| value),
        ] {
            let rounded = given.tensors().iter().map(|(name, tensor)| (name.clone(), tensor.mapv(round)));
            let expected = Weights::new(given.network(), rounded.collect());
            let path = folder.path().join("net.pth");
            save(&path, &state_dict(&given, "", float));
            assert_eq!(Weights::read(&path).unwrap(), expected, "{float:?} in PyTorch's file");

            let encoded = given.tensors().iter().map(|(name, tensor)| {
                let (_, dtype, bytes) = encoded(float, tensor);
                (name, dtype, tensor.shape().to_vec(), bytes)
            });
            let encoded: Vec<_> = encoded.collect();
            let views = encoded.iter().map(|(name, dtype, shape, bytes)| {
                (name.as_str(), safetensors::tensor::TensorView::new(*dtype, shape.clone(), bytes).unwrap())
            });
            let path = folder.path().join("net.safetensors");
            fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
            assert_eq!(Weights::read(&path).unwrap(), expected, "{float:?} in safetensors");
        }
        let special = [f16::MIN_POSITIVE_SUBNORMAL, f16::MAX, f16::NEG_ZERO, f16::INFINITY].map(f16::to_le_bytes);
        let values = Float::F16.values(special.as_flattened());
        assert_eq!(values, [2.0_f32.powi(-24), 65504.0, -0.0, f32::INFINITY]);
    }

    #[test]
    fn weights_and_their_average_are_told_apart_wherever_they_lie() {
        let folder = tempfile::tempdir().unwrap();
        let (plain, average) = (drawn(1), drawn(2));
        let dict = |weights, prefix: &str| state_dict(weights, prefix, Float::F32);
        let merged = |first: Object, second: Object| match (first, second) {
            (Object::Dict(first), Object::Dict(second)) => Object::Dict(first.into_iter().chain(second).collect()),
            other => panic!("{other:?}"),
        };
        let text = |text: &str| Object::Text(text.into());
        let moment = || Object::Tensor("FloatStorage", vec![2], vec![0; 8]);
        // As Lightning writes it.
        let lightning = |state_dict: Object| {
            let state = Object::Dict(vec![(Object::Int(0), Object::dict([("exp_avg", moment())]))]);
            Object::dict([
                ("epoch", Object::Int(3)),
                ("pytorch-lightning_version", text("2.5.0")),
                ("state_dict", state_dict),
                ("loops", Object::dict([("fit_loop", Object::dict([("state_dict", Object::dict::<&str>([]))]))])),
                ("callbacks", Object::dict([("ModelCheckpoint", Object::dict([("best_model_score", moment())]))])),
                ("optimizer_states", Object::List(vec![Object::dict([("state", state)])])),
                ("hparams_name", text("kwargs")),
                ("hyper_parameters", Object::Foreign),
            ])
        };
        for (name, file, object, keys) in [
            ("Lightning, model", "net.ckpt", lightning(dict(&plain, "model.")), &["state_dict.model"][..]),
            ("Lightning, net", "net.ckpt", lightning(dict(&plain, "net.")), &["state_dict.net"]),
            ("Lightning, its own module", "net.ckpt", lightning(dict(&plain, "")), &["state_dict"]),
            (
                "Lightning, compiled",
                "net.ckpt",
                lightning(dict(&plain, "net._orig_mod.")),
                &["state_dict.net._orig_mod"],
            ),
            (
                "Lightning with an average",
                "net.ckpt",
                lightning(merged(dict(&average, "ema_model.module."), dict(&plain, "model."))),
                &["state_dict.model", "state_dict.ema_model.module"],
            ),
            (
                "timm",
                "net.pth",
                Object::dict([("state_dict_ema", dict(&average, "module.")), ("state_dict", dict(&plain, "module."))]),
                &["state_dict.module", "state_dict_ema.module"],
            ),
            (
                "an average with the shorter key",
                "net.pt",
                Object::dict([("ema", dict(&average, "")), ("model_state_dict", dict(&plain, ""))]),
                &["model_state_dict", "ema"],
            ),
            (
                "an average below the weights",
                "net.pth",
                merged(dict(&plain, ""), dict(&average, "model_ema.")),
                &["", "model_ema"],
            ),
            (
                "an average alone",
                "net.pth",
                Object::dict([("ema_state_dict", dict(&average, ""))]),
                &["ema_state_dict"],
            ),
        ] {
            let path = folder.path().join(file);
            save(&path, &object);
            let WeightsFile { weights, part, .. } = Weights::read_file(&path, None).unwrap();
            assert_eq!(part.key, keys[0], "{name}");
            assert_eq!(part.others, keys[1..], "{name}");
            assert_eq!(weights, if name == "an average alone" { average.clone() } else { plain.clone() }, "{name}");
            for other in &part.others {
                let WeightsFile { weights, part, .. } = Weights::read_file(&path, Some(other)).unwrap();
                assert_eq!((&weights, &part.key), (&average, other), "{name}");
                assert_eq!(part.others, keys[..1], "{name}");
            }
            let message = Weights::read_file(&path, Some("teacher")).unwrap_err().to_string();
            let found = format!("none under `teacher`; it holds them under `{}`", keys.join("`, `"));
            assert!(message.contains(&found) && message.contains(file), "{name}: {message}");
        }
    }

    #[test]
    fn files_without_weights_are_named_errors() {
        let folder = tempfile::tempdir().unwrap();
        let foreign = folder.path().join("foreign.safetensors");
        let tensor = ArrayD::zeros(vec![1]);
        fs::write(&foreign, safetensors::serialize([("conv.weight", Borrowed(&tensor))], None).unwrap()).unwrap();
        let counter = Object::Tensor("LongStorage", vec![1; 4], vec![0; 8]);
        save(&folder.path().join("integers.pth"), &Object::dict([("in_conv.0.weight", counter)]));
        let settings = Object::dict([("hyper_parameters", Object::ForeignDict)]);
        save(&folder.path().join("settings.ckpt"), &settings);
        for name in ["text.safetensors", "text.pth", "text.ckpt", "text.onnx"] {
            fs::write(folder.path().join(name), "not weights").unwrap();
        }
        let no_network =
            format!("those of none of the networks {}", NetworkName::ALL.map(NetworkName::title).join(", "));
        for (name, expected) in [
            ("missing.safetensors", "cannot read weights from"),
            ("missing.pth", "cannot read weights from"),
            ("text.safetensors", "not a safetensors file"),
            ("text.pth", "not a PyTorch file"),
            ("text.ckpt", "not a PyTorch file"),
            ("settings.ckpt", "if PyTorch opens the file, save its state dictionary alone with `torch.save`"),
            ("integers.pth", "its type is I64, expected floats of 16, 32 or 64 bits"),
            ("foreign.safetensors", no_network.as_str()),
            ("text.onnx", "not a reference file"),
            ("net.h5", "expected a file that ends in"),
        ] {
            let message = Weights::read(&folder.path().join(name)).unwrap_err().to_string();
            assert!(message.contains(expected) && message.contains(name), "{name}: {message}");
        }
    }
}
