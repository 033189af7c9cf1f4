//! The contract of a network, as far as the network itself decides it.

use seg_contract::{
    Class, ColorOrder, Contract, Input, InputForm, Output, OutputKind, Provenance, Reading, SizePolicy,
};

use crate::network::NetworkConfig;

/// Makes the contract of a network of this configuration; the origin of its weights is for the
/// caller to add.
pub fn contract(
    config: &NetworkConfig,
    color: ColorOrder,
    size: SizePolicy,
    mean: Vec<f32>,
    std: Vec<f32>,
    classes: Vec<Class>,
) -> Contract {
    let sides = config.sides();
    let input = Input {
        name: "input".into(),
        color,
        mean,
        std,
        size,
        side_min: sides.min,
        side_multiple: sides.multiple,
        form: InputForm { size: sides.only, ..InputForm::default() },
        reading: Reading::default(),
    };
    Contract {
        format: input.contract_format(),
        input,
        output: Output { name: "logits".into(), kind: OutputKind::Logits },
        classes,
        provenance: Provenance {
            network: config.name().to_string(),
            configuration: config.summary(),
            ..Provenance::default()
        },
    }
}
