//! The training framework's output for an input, and how far it is from the exact one.

use std::collections::BTreeMap;

use ndarray::{Array3, Array4, ArrayView4};
use serde::{Deserialize, Serialize};

use crate::bounds::framework_bound_at;
use crate::error_stats::ErrorStats;
use crate::finding::Finding;
use crate::inputs;
use crate::proof::masks::{MaskReport, classes, probabilities};

/// The output of the training framework in float32 for one input, as its errors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrameworkOutput {
    /// The hash of the input.
    pub input_sha256: String,
    /// The error of the logits.
    pub logits: ErrorStats,
    /// The error of the probabilities, which are the softmax of the logits.
    pub probabilities: ErrorStats,
    /// The errors of intermediate values by their names, if any were compared.
    pub values: BTreeMap<String, ErrorStats>,
    /// The pixels whose class differs from the exact mask's, counted along batch, rows and columns,
    /// and that class.
    pub flips: Vec<(usize, u8)>,
}

/// The distance of the training framework's output from the exact one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FrameworkReport {
    /// The largest error of the logits or of a compared intermediate value, relative to its scale.
    pub relative: f64,
    /// The number of pixels whose class differs from the exact mask's.
    pub flipped: usize,
    /// The number of those whose margin is too wide for rounding.
    pub unexplained: usize,
    /// The widest exact margin of such a pixel; 0 if there is none.
    pub widest: f64,
    /// The widest margin that rounding explains.
    pub margin: f64,
}

impl FrameworkOutput {
    /// Compares the framework's logits `found`, `[n, classes, h, w]`, with the exact ones.
    pub fn compare(input: ArrayView4<'_, f32>, found: ArrayView4<'_, f32>, exact: ArrayView4<'_, f64>) -> Self {
        let softmax = probabilities(found.mapv(f64::from).view()).mapv(|share| share as f32);
        let masks = classes(found).into_iter().zip(classes(exact)).enumerate();
        Self {
            input_sha256: inputs::tensor_sha256(input),
            logits: ErrorStats::compare(found.into_dyn(), exact.into_dyn()),
            probabilities: ErrorStats::compare(softmax.view().into_dyn(), probabilities(exact).view().into_dyn()),
            values: BTreeMap::new(),
            flips: masks
                .filter(|(_, (found, exact))| found != exact)
                .map(|(pixel, (found, _))| (pixel, found))
                .collect(),
        }
    }

    /// Returns true if all figures fit together.
    pub(crate) fn is_consistent(&self) -> bool {
        [&self.logits, &self.probabilities].into_iter().chain(self.values.values()).all(ErrorStats::is_consistent)
    }

    /// Returns the framework's mask `[n, h, w]`: the exact one with these flips.
    pub fn mask(&self, exact: &Array4<f64>) -> Array3<u8> {
        let mut mask = classes(exact.view());
        let (_, height, width) = mask.dim();
        for &(pixel, class) in &self.flips {
            let index = (pixel / (height * width), pixel / width % height, pixel % width);
            if let Some(label) = mask.get_mut(index) {
                *label = class;
            }
        }
        mask
    }

    /// Measures the distance from the exact output, with errors of logits relative to `scale`.
    ///
    /// The findings are errors that the framework's rounding does not explain. They are evidence
    /// that the graph is not the trained network.
    pub fn check(&self, exact: &Array4<f64>, scale: f64) -> (FrameworkReport, Vec<Finding>) {
        let (_, _, height, width) = exact.dim();
        let allowed = framework_bound_at(height.max(width));
        let (logits, margin) = (self.logits.clone().with_scale(scale), 2.0 * allowed * scale);
        let mut findings: Vec<_> = self
            .values
            .iter()
            .filter(|(_, errors)| !errors.is_within(allowed))
            .map(|(value, errors)| value_finding(value, errors, allowed))
            .collect();
        if !logits.is_within(allowed) {
            findings.push(value_finding("the output", &logits, allowed));
        }
        let mask = MaskReport::compare(self.mask(exact).view(), exact.view(), margin);
        if mask.unexplained > 0 {
            findings.push(Finding::TrainedMask { unexplained: mask.unexplained, widest: mask.widest, allowed: margin });
        }
        let MaskReport { flipped, unexplained, widest, margin, .. } = mask;
        let relative = self.values.values().map(ErrorStats::relative).fold(logits.relative(), f64::max);
        (FrameworkReport { relative, flipped, unexplained, widest, margin }, findings)
    }
}

fn value_finding(value: &str, errors: &ErrorStats, allowed: f64) -> Finding {
    Finding::Trained { value: value.into(), found: errors.relative(), not_finite: errors.not_finite, allowed }
}
