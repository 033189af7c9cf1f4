//! The ablations of AMSUnet are those of PyTorch: in evaluation, in ONNX Runtime, and in the first
//! step of training.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use ndarray::Ix4;
use seg_export::lower::to_graph;
use seg_export::{Options, export};
use seg_nets::gradients::Gradients;
use seg_nets::network::NetworkName;
use seg_nets::weights::Weights;
use seg_onnx::Opset;
use seg_tests::fixtures::{checkpoint, to_tensor};
use seg_tests::parity::stages;
use seg_tests::reference::Reference;
use seg_tests::runtime::open;
use seg_train::learn::loss::{Loss, loss};

use crate::zoo::{Row, check_gradients, check_logits, check_losses, check_statistic, input, target};

/// An ablation, with the errors of PyTorch's own float32 as in the zoo's rows.
struct Ablation {
    /// The name of its tensors in the reference.
    name: &'static str,
    settings: &'static [(&'static str, &'static str)],
    /// The file of the weights that replace the published network's, if there is one.
    weights: Option<&'static str>,
    logits: &'static [(&'static str, f64)],
    loss: f64,
    gradient: f64,
    parameter: f64,
}

const ABLATIONS: [Ablation; 11] = [
    Ablation {
        name: "bb-n",
        settings: &[("norm", "bb")],
        weights: None,
        logits: &[("even", 5.7e-7)],
        loss: 7.2e-8,
        gradient: 3.4e-6,
        parameter: 2.2e-5,
    },
    Ablation {
        name: "bf-o",
        settings: &[("residual", "o")],
        weights: None,
        logits: &[("even", 5.1e-6)],
        loss: 7.3e-8,
        gradient: 8.9e-7,
        parameter: 3.9e-6,
    },
    Ablation {
        name: "bf-o-gelu",
        settings: &[("residual", "o"), ("closing_gelu", "true")],
        weights: None,
        logits: &[("even", 5.1e-7)],
        loss: 7.9e-8,
        gradient: 2.2e-6,
        parameter: 1.3e-5,
    },
    Ablation {
        name: "bb-o",
        settings: &[("norm", "bb"), ("residual", "o")],
        weights: None,
        logits: &[("even", 2.4e-6), ("odd", 1.8e-6)],
        loss: 3.0e-8,
        gradient: 1.9e-6,
        parameter: 1.6e-5,
    },
    Ablation {
        name: "bb-o-gelu",
        settings: &[("norm", "bb"), ("residual", "o"), ("closing_gelu", "true")],
        weights: None,
        logits: &[("even", 8.2e-7)],
        loss: 1.3e-7,
        gradient: 2.7e-6,
        parameter: 7.4e-4,
    },
    Ablation {
        name: "dilation-1-2-3-4-5",
        settings: &[("dilation", "1-2-3-4-5")],
        weights: None,
        logits: &[("even", 4.2e-7), ("wide", 8.9e-7)],
        loss: 5.0e-8,
        gradient: 3.5e-6,
        parameter: 1.2e-5,
    },
    Ablation {
        name: "skip-plain",
        settings: &[("skip", "plain")],
        weights: None,
        logits: &[("even", 3.8e-7)],
        loss: 7.2e-8,
        gradient: 4.0e-6,
        parameter: 8.7e-5,
    },
    Ablation {
        name: "skip-se",
        settings: &[("skip", "se")],
        weights: Some("skip-se.safetensors"),
        logits: &[("even", 4.3e-7)],
        loss: 6.5e-8,
        gradient: 6.8e-6,
        parameter: 1.7e-5,
    },
    Ablation {
        name: "skip-cbam",
        settings: &[("skip", "cbam")],
        weights: Some("skip-cbam.safetensors"),
        logits: &[("even", 3.3e-7), ("odd", 3.5e-7)],
        loss: 1.1e-7,
        gradient: 8.5e-6,
        parameter: 6.9e-5,
    },
    Ablation {
        name: "skip-scse",
        settings: &[("skip", "scse")],
        weights: Some("skip-scse.safetensors"),
        logits: &[("even", 3.6e-7)],
        loss: 6.6e-8,
        gradient: 3.4e-6,
        parameter: 1.5e-5,
    },
    Ablation {
        name: "strips-7-11-21",
        settings: &[("strips", "7-11-21")],
        weights: Some("strips-7-11-21.safetensors"),
        logits: &[("even", 4.5e-7), ("odd", 3.6e-7)],
        loss: 9.4e-8,
        gradient: 2.9e-6,
        parameter: 7.8e-6,
    },
];

/// Learnable parameters and multiply-adds at 256x256 of the published width.
const COUNTS: [(&str, &str, u64, u64); 7] = [
    ("norm", "bb", 2_619_898, 6_000_519_680),
    ("skip", "plain", 2_575_298, 5_996_544_000),
    ("skip", "se", 2_586_178, 5_996_554_880),
    ("skip", "cbam", 2_586_578, 6_005_095_680),
    ("skip", "scse", 2_587_172, 6_000_487_040),
    ("strips", "7-11-21", 2_651_642, 6_224_914_944),
    ("strips", "3-5-7", 2_604_026, 5_888_322_048),
];

impl Ablation {
    /// Returns the row that its measurements make.
    fn row(&self) -> Row {
        let Self { logits, loss, gradient, parameter, .. } = *self;
        Row { network: NetworkName::AmsUnet, logits, stages: &[], loss, gradient, parameter }
    }

    /// Returns the reference's weights of the network. Skip connections and strips may tell it; the
    /// rest is told by the settings.
    fn weights(&self, reference: &Reference) -> Weights {
        let mut tensors = reference.weights.tensors().clone();
        if self.name.starts_with("skip") {
            tensors.retain(|name, _| !name.contains(".satt.") && !name.contains(".catt."));
        }
        for (name, values) in self.weights.map(|file| reference.others(file)).unwrap_or_default() {
            tensors.insert(name, values.mapv(|value| value as f32));
        }
        let told: BTreeMap<_, _> =
            self.settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let untold = NetworkName::AmsUnet.options().iter().filter(|option| !option.in_weights);
        let untold: Vec<_> = untold.map(|option| option.name).collect();
        let options = told.into_iter().filter(|(name, _)| untold.contains(&name.as_str())).collect();
        Weights::new(NetworkName::AmsUnet, tensors).with_options(options)
    }
}

#[test]
fn burn_and_onnx_runtime_compute_what_pytorch_computes() {
    let reference = Reference::zoo(NetworkName::AmsUnet);
    for ablation in ABLATIONS {
        let net = ablation.weights(&reference).to_network(&Device::flex()).unwrap();
        let expected = NetworkName::AmsUnet.config(3, 2).with_settings(ablation.settings.iter().copied()).unwrap();
        assert_eq!(net.config().options(), expected.options(), "{}", ablation.name);
        for (case, error) in ablation.logits {
            let image = input(&reference, case);
            let logits = format!("{}.{case}", ablation.name);
            let found = stages(&net, &image).pop().unwrap().1;
            check_logits(&reference, "Burn", &logits, *error, &found);
            for opset in [Opset::V20, Opset::V17] {
                let exported = export(&checkpoint(&net), &Options { opset, ..Options::default() }).unwrap();
                let found = open(&exported.bytes).run(image.view().into_dimensionality::<Ix4>().unwrap()).unwrap();
                check_logits(&reference, &format!("opset {opset}"), &logits, *error, &found.into_dyn());
            }
        }
    }
}

#[test]
fn the_first_step_has_pytorchs_loss_gradients_and_statistics() {
    let reference = Reference::zoo(NetworkName::AmsUnet);
    for ablation in ABLATIONS {
        let (row, case) = (ablation.row(), format!("{}.", ablation.name));
        let device = Device::flex().autodiff();
        let net = ablation.weights(&reference).to_network(&device).unwrap();
        let logits = net.forward(to_tensor(&input(&reference, "even"), &device));
        let Loss { total, cross_entropy, dice } = loss(logits, target(&reference, &device));
        let gradients = Gradients::from_loss(&total, &net);
        let found = [total, cross_entropy, dice].map(Tensor::into_scalar::<f32>);
        check_losses(&row, &reference, &case, found);
        check_gradients(&row, &reference, &case, &gradients);
        let after = Weights::from_network(&net.valid());
        for (parameter, expected) in reference.below(&format!("{case}train.after1.")) {
            check_statistic(&format!("{case}{parameter} after a step"), &after.tensors()[parameter], expected);
        }
    }
}

#[test]
fn the_published_counts() {
    for (name, value, learnable, multiply_adds) in COUNTS {
        let config = NetworkName::AmsUnet.config(3, 2).with_settings([(name, value)]).unwrap();
        let net = config.init(&Device::flex());
        let total = to_graph(&net, "input", "logits").unwrap();
        let total = total.cost(&[("batch", 1), ("height", 256), ("width", 256)]).unwrap().total;
        let case = format!("{name}={value}");
        assert_eq!((net.num_learnable() as u64, total.multiply_adds), (learnable, multiply_adds), "{case}");
        assert_eq!(total.parameters, learnable, "{case}");
    }
}
