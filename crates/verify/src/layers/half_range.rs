//! The distance of a model's values from the end of the range of 16-bit floats.

use std::collections::BTreeMap;

use ndarray::ArrayView4;
use seg_onnx::Model;
use seg_onnx::evaluate::EvaluateError;
use seg_onnx::graph::{DataType, Node};
use seg_onnx::precision::HALF_MAX;

use super::Extreme;
use crate::bounds::ModelPrecision;
use crate::exact::values::model_values;
use crate::finding::Finding;

/// The largest magnitudes of the values that a model computes in 16-bit floats.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HalfRangeCheck {
    magnitudes: BTreeMap<String, f64>,
    unknown: Vec<String>,
}

impl HalfRangeCheck {
    /// Selects the values that the graph has in 16 bits, or all floats of a graph without any if a
    /// provider converts them in [`ModelPrecision::Float16`]. `magnitudes` are those of the
    /// network's graph over all inputs; values that a rewrite made are not among them.
    pub fn new(model: &Model, precision: ModelPrecision, magnitudes: &BTreeMap<String, f64>) -> Self {
        let is = |data_type| move |node: &&Node| node.output.data_type == data_type;
        let mut names: Vec<_> = model.graph.nodes.iter().filter(is(DataType::F16)).map(|node| &node.name).collect();
        if names.is_empty() && precision == ModelPrecision::Float16 {
            names = model.graph.nodes.iter().filter(is(DataType::F32)).map(|node| &node.name).collect();
        }
        let mut check = Self::default();
        for name in names {
            match magnitudes.get(name) {
                Some(&magnitude) => check.insert(name.clone(), magnitude),
                None => check.unknown.push(name.clone()),
            }
        }
        check
    }

    /// Returns true if values are left whose magnitude is unknown.
    pub fn has_unknown(&self) -> bool {
        !self.unknown.is_empty()
    }

    /// Measures the values whose magnitude is unknown, on an image as the model takes it. The
    /// evaluator rounds 16-bit values, so that those beyond the range are infinite.
    ///
    /// # Errors
    /// When the input does not fit the model.
    pub fn measure_unknown(&mut self, model: &Model, input: ArrayView4<'_, f32>) -> Result<(), EvaluateError> {
        let unknown = std::mem::take(&mut self.unknown);
        let names: Vec<_> = unknown.iter().map(String::as_str).collect();
        for (name, values) in model_values(model, input, &names)? {
            // A value that is not a number came from an infinite one.
            let larger = |largest: f64, value: &f64| if value.is_nan() { f64::MAX } else { largest.max(value.abs()) };
            self.insert(name, values.iter().fold(0.0, larger));
        }
        Ok(())
    }

    fn insert(&mut self, name: String, magnitude: f64) {
        self.magnitudes.insert(name, magnitude.min(f64::MAX));
    }

    /// Returns the largest value.
    pub(crate) fn largest(&self) -> Option<Extreme> {
        let largest = self.magnitudes.iter().max_by(|(_, one), (_, other)| one.total_cmp(other));
        largest.map(|(value, &found)| Extreme { value: value.clone(), found, allowed: HALF_MAX })
    }

    /// Returns a finding for each value beyond the range of 16-bit floats.
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

    /// Builds the square of an image, as in the network, and the square of that, as only a rewrite
    /// has it; in 16 bits or in 32.
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
    fn values_beyond_16_bits_are_found_in_the_network_and_in_rewrites() {
        for (name, is_half, precision, square, image, expected) in [
            ("halves that hold all", true, ModelPrecision::Float16, 100.0, 10.0_f32, &[][..]),
            ("halves of a rewrite", true, ModelPrecision::Float16, 100.0, 17.0, &["rewritten"]),
            ("halves of the network, on other images", true, ModelPrecision::Float16, 7e4, 10.0, &["square"]),
            ("a provider of halves", false, ModelPrecision::Float16, 100.0, 17.0, &["rewritten", "y"]),
            ("floats", false, ModelPrecision::Float32, 1e6, 1e3, &[]),
        ] {
            let model = Model { graph: squares(is_half), ..threshold::model(SizePolicy::Native) };
            let known = BTreeMap::from([("square".to_owned(), square)]);
            let mut check = HalfRangeCheck::new(&model, precision, &known);
            assert_eq!(check.has_unknown(), precision == ModelPrecision::Float16, "{name}");
            check.measure_unknown(&model, Array4::from_elem([1, 3, 1, 1], image).view()).unwrap();
            assert!(!check.has_unknown(), "{name}");
            let found = check.findings();
            let values: Vec<_> = found
                .iter()
                .map(|finding| match finding {
                    Finding::Overflow { value, .. } => value.as_str(),
                    other => panic!("{name}: {other}"),
                })
                .collect();
            assert_eq!(values, expected, "{name}");
            let largest = check.largest().map(|largest| largest.value);
            assert!(expected.is_empty() || largest.is_some_and(|value| expected.contains(&value.as_str())), "{name}");
        }
    }
}
