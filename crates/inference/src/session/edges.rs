//! The input and the output of a session, by what ONNX Runtime says of them, beside what the
//! contract says: for files whose graph cannot be read here.

use ort::session::Session;
use ort::value::{Outlet, TensorElementType, ValueType};
use seg_contract::{Contract, Element, OutputKind};
use seg_onnx::ModelError;

/// The type of a tensor: its elements, and the size of each axis if there is one size.
type Edge = (TensorElementType, Vec<Option<usize>>);

/// Checks that a session has the one input and the output that the contract describes; sizes may be
/// open where the other has one.
pub(super) fn check(session: &Session, contract: &Contract) -> Result<(), ModelError> {
    let [input, output] = expected(contract);
    let inputs = names(session.inputs());
    if inputs != [contract.input.name.as_str()] {
        return broken("input", &contract.input.name, &inputs.join("`, `"));
    }
    check_edge("input's type", &session.inputs()[0], &input)?;
    match session.outputs().iter().find(|outlet| outlet.name() == contract.output.name) {
        Some(found) => check_edge("output's type", found, &output),
        None => broken("output", &contract.output.name, &names(session.outputs()).join("`, `")),
    }
}

fn names(outlets: &[Outlet]) -> Vec<&str> {
    outlets.iter().map(Outlet::name).collect()
}

fn broken(what: &'static str, expected: &str, found: &str) -> Result<(), ModelError> {
    Err(ModelError::Broken { what, expected: format!("`{expected}`"), found: format!("`{found}`") })
}

/// Returns the types of the input and of the output that a contract describes.
fn expected(contract: &Contract) -> [Edge; 2] {
    let form = &contract.input.form;
    let [height, width] = form.size.map_or([None; 2], |size| size.map(Some));
    let (channels, classes) = (Some(contract.input.color.channels()), Some(contract.classes.len()));
    let input = match form.element {
        Element::Float => (TensorElementType::Float32, vec![form.batch, channels, height, width]),
        Element::U8 => (TensorElementType::Uint8, vec![form.batch, height, width, channels]),
    };
    let output = match contract.output.kind {
        OutputKind::Logits | OutputKind::Probabilities => {
            (TensorElementType::Float32, vec![form.batch, classes, height, width])
        }
        OutputKind::Mask => (TensorElementType::Uint8, vec![form.batch, height, width]),
    };
    [input, output]
}

fn check_edge(what: &'static str, found: &Outlet, expected: &Edge) -> Result<(), ModelError> {
    let ValueType::Tensor { ty, shape, .. } = found.dtype() else {
        return broken(what, &text(expected), &found.dtype().to_string());
    };
    let sizes: Vec<Option<usize>> = shape.iter().map(|size| usize::try_from(*size).ok()).collect();
    // An output without a shape says nothing: optimisers leave it out.
    let fits = sizes.is_empty() && what.starts_with("output")
        || sizes.len() == expected.1.len()
            && sizes
                .iter()
                .zip(&expected.1)
                .all(|(found, expected)| found.is_none() || expected.is_none() || found == expected);
    if *ty == expected.0 && fits { Ok(()) } else { broken(what, &text(expected), &text(&(*ty, sizes))) }
}

fn text((element, sizes): &Edge) -> String {
    let sizes: Vec<_> = sizes.iter().map(|size| size.map_or_else(|| "?".into(), |size| size.to_string())).collect();
    format!("{element}[{}]", sizes.join(", "))
}
