//! The report on one input of a proof.

use serde::{Deserialize, Serialize};

use super::masks::MaskReport;
use crate::bounds::{ANY_ANSWER, Bound};
use crate::error_stats::ErrorStats;
use crate::finding::Finding;
use crate::inputs::{IMAGE, LoadedInput, tensor_sha256};
use crate::reference::framework::FrameworkReport;

/// The results of one input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct InputReport {
    /// The input's name.
    pub name: String,
    /// Images, height and width of the model's input.
    pub shape: [usize; 3],
    /// The hash of the input.
    pub input_sha256: String,
    /// Height and width of the image file whose middle is the input, if the model takes only
    /// another size.
    #[serde(default)]
    pub middle_of: Option<[usize; 2]>,
    /// The errors of the exported model, if it gives scores.
    pub exported: Option<ErrorStats>,
    /// The errors of the same scores in the training framework, if they are known.
    #[serde(rename = "trained")]
    pub framework_errors: Option<ErrorStats>,
    /// The distance of the training framework's output from the exact one, if it is known.
    pub framework: Option<FrameworkReport>,
    /// True if a value in the network is larger than any 32-bit float. Then there is nothing to
    /// compare; the model must only not hide it.
    pub beyond_float32: bool,
    /// The factor by which the network [amplifies](crate::amplification) rounding for this input.
    /// The scale of the logits' errors is multiplied by it. It is computed only if the input would
    /// fail otherwise.
    pub amplification: Option<f64>,
    /// The exported model's root mean square error divided by the training framework's.
    pub times_trained: Option<f64>,
    /// The largest such ratio that passes, if it is judged: see [`Bound::times_trained`].
    pub times_allowed: Option<f64>,
    /// The ratio of the largest errors, which is reported and not judged: see
    /// [`Bound::times_trained`].
    pub largest_times_trained: Option<f64>,
    /// The largest difference between an image's output in the batch and alone, relative to the
    /// scale; of masks, the share of pixels that differ.
    pub batch: Option<f64>,
    /// The largest such difference that passes.
    pub batch_allowed: Option<f64>,
    /// The comparison of the masks.
    pub mask: MaskReport,
    /// The scores against the true mask, if it is known.
    pub dice: Option<Dice>,
    /// The findings against the model.
    pub findings: Vec<Finding>,
}

/// The mean Dice over the classes without the background, against the true mask.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Dice {
    /// Dice of the exact mask.
    pub exact: f64,
    /// Dice of the exported model's mask.
    pub exported: f64,
}

impl InputReport {
    /// Creates the report on an input before anything is compared.
    pub(crate) fn new(name: &str, input: &LoadedInput, beyond_float32: bool) -> Self {
        let (n, _, height, width) = input.tensor.dim();
        Self {
            name: name.to_owned(),
            shape: [n, height, width],
            input_sha256: tensor_sha256(input.tensor.view()),
            middle_of: input.middle_of,
            exported: None,
            framework_errors: None,
            framework: None,
            beyond_float32,
            amplification: None,
            times_trained: None,
            times_allowed: None,
            largest_times_trained: None,
            batch: None,
            batch_allowed: None,
            mask: MaskReport::default(),
            dice: None,
            findings: Vec::new(),
        }
    }

    /// Returns the largest error relative to the scale, if the model gives scores.
    pub fn relative(&self) -> Option<f64> {
        self.exported.as_ref().map(ErrorStats::relative)
    }

    /// Returns true if the input is an image file.
    pub(crate) fn is_image(&self) -> bool {
        self.name.starts_with(IMAGE)
    }

    /// Returns the length of the longer side, in pixels.
    pub fn side(&self) -> usize {
        self.shape[1].max(self.shape[2])
    }

    /// Lists the findings that the figures give by a bound. A proof and a reader of its certificate
    /// judge by this one rule.
    pub(crate) fn judge(&self, bound: &Bound) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let Some(errors) = self.exported.as_ref().filter(|_| !self.beyond_float32) {
            let allowed = bound.at(self.side());
            if errors.not_finite > 0 {
                findings.push(Finding::NotFinite { count: errors.not_finite, elements: errors.elements });
            }
            if errors.max > allowed * errors.scale {
                findings.push(Finding::Error { found: errors.relative(), allowed });
            }
            if let (Some(found), Some(allowed)) = (self.times_trained, self.times_allowed)
                && found > allowed
            {
                findings.push(Finding::TimesTrained { found, allowed });
            }
        }
        if self.mask.unexplained > 0 {
            let MaskReport { unexplained, widest, margin, .. } = self.mask;
            findings.push(Finding::Mask { unexplained, widest, allowed: margin });
        }
        let flipped = 1.0 - self.mask.identity();
        if self.is_image() && flipped > bound.flipped {
            findings.push(Finding::Flipped { found: flipped, allowed: bound.flipped });
        }
        if let Some(allowed) = self.batch_allowed
            && self.batch.is_none_or(|found| found > allowed)
        {
            findings.push(Finding::Batch { found: self.batch.unwrap_or(f64::MAX), allowed });
        }
        findings
    }

    /// Returns true if the input can be judged at all: by its mask where everything rests on
    /// images, else because a wrong output would fail.
    pub(crate) fn is_judged(&self, bound: &Bound) -> bool {
        if bound.rests_on_images() { !self.beyond_float32 } else { self.can_fail(bound) }
    }

    /// Returns true if a mask was compared with an exact one.
    pub(super) fn has_mask(&self) -> bool {
        !self.beyond_float32 && self.mask.pixels > 0
    }

    /// Returns true if a wrong output would fail.
    ///
    /// It would not if there is nothing to compare, or if rounding is amplified so much that any
    /// output passes.
    pub(super) fn can_fail(&self, bound: &Bound) -> bool {
        !self.beyond_float32 && bound.at(self.side()) * self.amplification.unwrap_or(1.0) < ANY_ANSWER
    }
}
