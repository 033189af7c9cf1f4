//! The contract of an AMSUnet, as far as the network itself decides it.

use seg_contract::{
    CONTRACT_FORMAT, Class, ColorOrder, Contract, Input, InputForm, Output, OutputKind, Provenance, SizePolicy,
};

use crate::amsunet::{AmsUnetConfig, SIDE_MIN};

/// The name of the network in contracts and graphs.
pub const NETWORK: &str = "amsunet";

/// The contract of a network of this configuration; where its weights came from is for the caller to add.
pub fn contract(
    config: &AmsUnetConfig,
    color: ColorOrder,
    size: SizePolicy,
    mean: Vec<f32>,
    std: Vec<f32>,
    classes: Vec<Class>,
) -> Contract {
    Contract {
        format: CONTRACT_FORMAT,
        input: Input {
            name: "input".into(),
            color,
            mean,
            std,
            size,
            side_min: SIDE_MIN,
            side_multiple: 1,
            form: InputForm::default(),
        },
        output: Output { name: "logits".into(), kind: OutputKind::Logits },
        classes,
        provenance: Provenance {
            network: NETWORK.into(),
            configuration: format!("base_width={}", config.base_width),
            ..Provenance::default()
        },
    }
}
