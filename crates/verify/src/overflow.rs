//! How near a model comes to the end of 16-bit floats, value by value.

use std::collections::BTreeMap;

use ndarray::ArrayView4;
use seg_onnx::Model;
use seg_onnx::evaluate::EvaluateError;
use seg_onnx::graph::{DataType, Node};
use seg_onnx::precision::HALF_MAX;

use crate::bounds::Precision;
use crate::finding::Finding;
use crate::layers::Extreme;
use crate::yardstick::model_values;

/// The values that a model computes in 16-bit floats, and how large they become.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Halves {
    magnitudes: BTreeMap<String, f64>,
    unknown: Vec<String>,
}

impl Halves {
    /// Those of a model in a precision: what its graph has in 16 bits, or all floats of a graph without any, which a
    /// provider of [`Precision::Float16`] brings to 16 bits itself. `magnitudes` are those that the values of the
    /// network's graph reached over all that was asked of it; what a rewrite made, it does not know.
    pub fn of(model: &Model, precision: Precision, magnitudes: &BTreeMap<String, f64>) -> Self {
        let is = |data_type| move |node: &&Node| node.output.data_type == data_type;
        let mut names: Vec<_> = model.graph.nodes.iter().filter(is(DataType::F16)).map(|node| &node.name).collect();
        if names.is_empty() && precision == Precision::Float16 {
            names = model.graph.nodes.iter().filter(is(DataType::F32)).map(|node| &node.name).collect();
        }
        let mut halves = Self::default();
        for name in names {
            match magnitudes.get(name) {
                Some(&magnitude) => halves.insert(name.clone(), magnitude),
                None => halves.unknown.push(name.clone()),
            }
        }
        halves
    }

    /// Whether there are values that no one has looked at.
    pub fn has_unknown(&self) -> bool {
        !self.unknown.is_empty()
    }

    /// Looks at these, for an image as the model is given it. The evaluator rounds what the graph has in 16 bits, so
    /// that what they do not hold is infinite.
    ///
    /// # Errors
    /// When the input does not fit the model.
    pub fn look(&mut self, model: &Model, input: ArrayView4<'_, f32>) -> Result<(), EvaluateError> {
        let unknown = std::mem::take(&mut self.unknown);
        let names: Vec<_> = unknown.iter().map(String::as_str).collect();
        for (name, values) in model_values(model, input, &names)? {
            // Not a number: infinite on the way.
            let larger = |largest: f64, value: &f64| if value.is_nan() { f64::MAX } else { largest.max(value.abs()) };
            self.insert(name, values.iter().fold(0.0, larger));
        }
        Ok(())
    }

    fn insert(&mut self, name: String, magnitude: f64) {
        self.magnitudes.insert(name, magnitude.min(f64::MAX));
    }

    /// The largest.
    pub(super) fn largest(&self) -> Option<Extreme> {
        let largest = self.magnitudes.iter().max_by(|(_, one), (_, other)| one.total_cmp(other));
        largest.map(|(value, &found)| Extreme { value: value.clone(), found, allowed: HALF_MAX })
    }

    /// Those that 16-bit floats do not hold.
    pub fn findings(&self) -> Vec<Finding> {
        let beyond = self.magnitudes.iter().filter(|(_, found)| **found > HALF_MAX);
        beyond.map(|(value, &found)| Finding::Overflow { value: value.clone(), found, allowed: HALF_MAX }).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::threshold;
    use ndarray::Array4;
    use seg_contract::SizePolicy;
    use seg_onnx::graph::{Dim, Graph, GraphBuilder};
    use seg_onnx::precision::{Magnitudes, halve};

    use super::*;

    /// The square of an image, as the network has it, and the square of that, as only a rewrite has it; in 16 bits or not.
    fn squares(is_half: bool) -> Graph {
        let mut builder = GraphBuilder::new("squares");
        let image = builder.input("input", [Dim::from(1), Dim::from(3), Dim::from(1), Dim::from(1)]).unwrap();
        let mut root = builder.root();
        let square = root.mul("square", image, image).unwrap();
        let rewritten = root.mul("rewritten", square, square).unwrap();
        let y = root.relu("y", rewritten).unwrap();
        let graph = builder.finish(&[("y", y)]).unwrap();
        let magnitudes: Magnitudes = graph.nodes.iter().map(|node| (node.name.clone(), 1.0)).collect();
        if is_half { halve(&graph, &magnitudes).unwrap().graph } else { graph }
    }

    #[test]
    fn what_16_bits_do_not_hold_is_found_in_whatever_the_network_or_a_rewrite_made() {
        for (name, is_half, precision, square, image, expected) in [
            ("halves that hold all", true, Precision::Float16, 100.0, 10.0_f32, &[][..]),
            ("halves of a rewrite", true, Precision::Float16, 100.0, 17.0, &["rewritten"]),
            ("halves of the network, on other images", true, Precision::Float16, 7e4, 10.0, &["square"]),
            ("a provider of halves", false, Precision::Float16, 100.0, 17.0, &["rewritten", "y"]),
            ("floats", false, Precision::Float32, 1e6, 1e3, &[]),
        ] {
            let model = Model { graph: squares(is_half), ..threshold::model(SizePolicy::Native) };
            let known = BTreeMap::from([("square".to_owned(), square)]);
            let mut halves = Halves::of(&model, precision, &known);
            assert_eq!(halves.has_unknown(), precision == Precision::Float16, "{name}");
            halves.look(&model, Array4::from_elem([1, 3, 1, 1], image).view()).unwrap();
            assert!(!halves.has_unknown(), "{name}");
            let of = |finding| match finding {
                Finding::Overflow { value, .. } => value,
                other => panic!("{name}: {other}"),
            };
            assert_eq!(halves.findings().into_iter().map(of).collect::<Vec<_>>(), expected, "{name}");
            let largest = halves.largest().map(|largest| largest.value);
            assert!(expected.is_empty() || largest.is_some_and(|value| expected.contains(&value.as_str())), "{name}");
        }
    }
}
