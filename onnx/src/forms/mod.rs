//! The forms of an exported graph: changes of its input and output, as its contract says.
//!
//! A network is lowered in one form: normalised floats of any number and size in, logits out.
//! Unlike a pass, a form changes what a caller sees. So each form has a field in the [`Contract`],
//! and the passes that run afterwards fold its nodes into the network.

mod bytes;
mod classes;
mod fixed;
mod sides;

use seg_contract::{Contract, Element, OutputKind};

pub(crate) use sides::are_sides_restricted;
pub use sides::{least_multiple, restrict_sides, suits};

use crate::graph::{CheckError, DimError, Graph, TensorType};

/// An error in bringing a graph to a form.
#[derive(Debug, thiserror::Error)]
pub enum FormError {
    /// The graph does not have the form in which networks are lowered.
    #[error(
        "cannot change the input and output of the graph: expected one {what} `{name}` of {expected}, found {found}"
    )]
    Edge {
        /// Input or output.
        what: &'static str,
        /// The name in the contract.
        name: String,
        /// The expected type.
        expected: &'static str,
        /// The type that was found.
        found: String,
    },
    /// The name of the new output is taken.
    #[error("cannot name the output `{0}`: the graph has that name already")]
    Taken(String),
    /// The sizes do not fit the network.
    #[error("cannot give the graph the form that its contract describes")]
    Sizes(#[from] CheckError),
    /// The multiple is too large.
    #[error("cannot compute sides that are multiples of the number")]
    Multiple(#[from] DimError),
}

/// Brings a graph that takes normalised floats and outputs logits, named `logits`, to the form that
/// the contract describes.
///
/// # Errors
/// When the graph has another form already, or cannot have this one.
pub fn apply(graph: &mut Graph, logits: &str, contract: &Contract) -> Result<(), FormError> {
    if contract.input.form.element == Element::U8 {
        bytes::take_bytes(graph, &contract.input)?;
    }
    match contract.output.kind {
        OutputKind::Logits => {}
        OutputKind::Probabilities => classes::give_probabilities(graph, logits, &contract.output.name)?,
        OutputKind::Mask => classes::give_mask(graph, logits, &contract.output.name)?,
    }
    fixed::fix_sizes(graph, &contract.input.form)
}

/// Returns the type of the graph's only input, which has the given name and is a batch of images.
fn image_input<'g>(graph: &'g Graph, name: &str) -> Result<&'g TensorType, FormError> {
    match &graph.inputs[..] {
        [input] if input.name == name && input.tensor_type.rank() == 4 => Ok(&input.tensor_type),
        inputs => {
            let found: Vec<_> =
                inputs.iter().map(|input| format!("`{}` of {}", input.name, input.tensor_type)).collect();
            Err(FormError::Edge { what: "input", name: name.into(), expected: "four axes", found: found.join(", ") })
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{ArrayD, IxDyn};
    use seg_contract::example::contract;

    use super::*;
    use crate::evaluate::{Array, evaluate};
    use crate::graph::example::{self, Random};
    use crate::{Model, Opset, Target, passes};

    /// Lists every form of a model, with a name.
    fn forms() -> Vec<(String, Contract)> {
        let mut forms = Vec::new();
        for element in [Element::Float, Element::U8] {
            for kind in [OutputKind::Logits, OutputKind::Probabilities, OutputKind::Mask] {
                for (batch, size) in [(None, None), (Some(2), None), (None, Some([17, 20])), (Some(1), Some([16, 19]))]
                {
                    let mut contract = contract();
                    contract.input.form.element = element;
                    (contract.input.form.batch, contract.input.form.size) = (batch, size);
                    contract.output.kind = kind;
                    contract.output.name = kind.to_string();
                    forms.push((format!("{element} to {kind}, batch {batch:?}, size {size:?}"), contract));
                }
            }
        }
        forms
    }

    /// Returns the values that the form is made of, pixel by pixel: the logits of normalised
    /// images.
    fn logits(pixels: &ArrayD<f64>, contract: &Contract) -> ArrayD<f64> {
        let (mean, std) = (&contract.input.mean, &contract.input.std);
        let image = ArrayD::from_shape_fn(pixels.raw_dim(), |at| {
            (pixels[&at] / 255.0 - f64::from(mean[at[1]])) / f64::from(std[at[1]])
        });
        match evaluate(&example::encoder_decoder(), &[("input", image)], &["logits"]).unwrap().remove("logits") {
            Some(Array::F64(logits)) => logits,
            other => panic!("{other:?}"),
        }
    }

    fn assert_form(name: &str, graph: &Graph, contract: &Contract) {
        let mut random = Random(5);
        let form = &contract.input.form;
        let ([height, width], batch) = (form.size.unwrap_or([18, 21]), form.batch.unwrap_or(3));
        let pixels = ArrayD::from_shape_fn(IxDyn(&[batch, 3, height, width]), |_| {
            (127.5 * (f64::from(random.number()) + 1.0)).round()
        });
        let expected = logits(&pixels, contract);
        let input = match form.element {
            Element::U8 => pixels.permuted_axes(IxDyn(&[0, 2, 3, 1])),
            Element::Float => ArrayD::from_shape_fn(pixels.raw_dim(), |at| {
                (pixels[&at] / 255.0 - f64::from(contract.input.mean[at[1]])) / f64::from(contract.input.std[at[1]])
            }),
        };
        let output = contract.output.name.as_str();
        let found = evaluate(graph, &[("input", input)], &[output]).unwrap().remove(output).unwrap();
        let [ground, target] = [0, 1].map(|class| expected.index_axis(ndarray::Axis(1), class).to_owned());
        match (contract.output.kind, &found) {
            (OutputKind::Logits, Array::F64(found)) => assert_close(name, found, &expected),
            (OutputKind::Probabilities, Array::F64(found)) => {
                let share = (&ground - &target).mapv(|difference| 1.0 / (1.0 + difference.exp()));
                assert_close(name, &found.index_axis(ndarray::Axis(1), 1).to_owned(), &share);
            }
            (OutputKind::Mask, Array::I64(found)) => {
                let mask = (&target - &ground).mapv(|difference| i64::from(difference > 0.0));
                assert!(
                    mask.iter().any(|&class| class == 0) && mask.iter().any(|&class| class == 1),
                    "{name}: one class"
                );
                assert_eq!(*found, mask, "{name}");
            }
            (kind, found) => panic!("{name}: expected {kind}, found {found:?}"),
        }
    }

    fn assert_close(name: &str, found: &ArrayD<f64>, expected: &ArrayD<f64>) {
        assert_eq!(found.shape(), expected.shape(), "{name}");
        let largest = expected.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
        let worst = (found - expected).iter().fold(0.0, |worst: f64, value| worst.max(value.abs()));
        assert!(worst <= 1e-6 * largest, "{name}: off by {worst:e} of {largest:e}");
    }

    #[test]
    fn every_form_computes_the_same_classes_before_and_after_the_passes_and_is_a_model() {
        for (name, contract) in forms() {
            let mut graph = example::encoder_decoder();
            apply(&mut graph, "logits", &contract).unwrap_or_else(|error| panic!("{name}: {error}"));
            graph.check().unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_form(&name, &graph, &contract);
            passes::run(&mut graph, Opset::V20, Target::Portable).unwrap();
            assert_form(&name, &graph, &contract);
            let model = Model { graph, opset: Opset::V20, contract };
            assert_eq!(Model::from_bytes(&model.to_bytes().unwrap()).unwrap(), model, "{name}");
        }
    }

    #[test]
    fn a_graph_of_other_edges_is_refused() {
        type Change = fn(&mut Graph, &mut Contract);
        let rows: [(Change, &str); 4] = [
            (|_, c| c.input.name = "image".into(), "expected one input `image` of four axes, found `input` of f32["),
            (|g, _| g.outputs[0] = "up.pad".into(), "expected one output `logits` of logits, found `up.pad`"),
            (|_, c| c.output.name = "up.pad".into(), "cannot name the output `up.pad`"),
            (|_, c| c.input.form.size = Some([1, 1]), "cannot give the graph the form"),
        ];
        for (change, expected) in rows {
            let (mut graph, mut contract) = (example::encoder_decoder(), contract());
            contract.input.form.element = Element::U8;
            (contract.output.kind, contract.output.name) = (OutputKind::Mask, "mask".into());
            change(&mut graph, &mut contract);
            let message = apply(&mut graph, "logits", &contract).unwrap_err().to_string();
            assert!(message.contains(expected), "{expected}: {message}");
        }
    }
}
