//! An example of a contract, for the tests of this crate and of others.

use crate::{
    CONTRACT_FORMAT, Class, ColorOrder, Contract, Input, InputForm, Output, OutputKind, Provenance, Reading, SizePolicy,
};

/// Creates a contract of two classes at native size.
pub fn contract() -> Contract {
    Contract {
        format: CONTRACT_FORMAT,
        input: Input {
            name: "input".into(),
            color: ColorOrder::Rgb,
            mean: vec![0.5, 0.25, 0.125],
            std: vec![0.5, 0.25, 0.25],
            size: SizePolicy::Native,
            side_min: 16,
            side_multiple: 1,
            form: InputForm::default(),
            reading: Reading::default(),
        },
        output: Output { name: "logits".into(), kind: OutputKind::Logits },
        classes: vec![Class::new("background", 0), Class::new("nucleus", 1)],
        provenance: Provenance { network: "amsunet".into(), ..Provenance::default() },
    }
}
