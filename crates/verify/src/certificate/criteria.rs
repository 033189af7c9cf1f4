//! The criteria of a proof as rows of a table: bound, worst result and verdict.

use super::Certificate;
use crate::bounds::{ANY_ANSWER, CLASS_PIXELS_LEAST};
use crate::finding::Finding;
use crate::layers::Extreme;
use crate::proof::classes::ClassVerdict;
use crate::proof::report::InputReport;
use crate::reference::framework::FrameworkReport;

/// A criterion of a proof.
#[derive(Clone, Debug, PartialEq)]
pub struct Criterion {
    /// The name.
    pub name: String,
    /// The bound, in words.
    pub bound: String,
    /// The worst result.
    pub found: String,
    /// The verdict.
    pub verdict: Verdict,
}

/// The verdict on a criterion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No finding.
    Holds,
    /// A finding against the model.
    Fails,
    /// Not judged, because it could not be or need not be.
    NotAsked,
}

/// The subject of a finding. Each has one row, except that each class has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Topic {
    Weights,
    Contract,
    Graph,
    Framework,
    FrameworkMask,
    Answer,
    Error,
    TimesTrained,
    Batch,
    Mask,
    Flipped,
    Classes,
    ExactValues,
    Range,
    Inputs,
}

/// Returns the rows of a certificate.
pub fn criteria(certificate: &Certificate) -> Vec<Criterion> {
    let rows = Rows { certificate };
    let mut all = rows.file_rows();
    all.extend(rows.framework_rows());
    all.extend(rows.output_rows());
    all.extend(rows.mask_rows());
    all.extend(rows.inner_rows());
    all
}

/// The certificate that the rows are made from.
#[derive(Clone, Copy)]
struct Rows<'c> {
    certificate: &'c Certificate,
}

impl<'c> Rows<'c> {
    fn row(self, topic: Topic, name: &str, bound: impl Into<String>, found: Option<String>) -> Criterion {
        let fails = self.certificate.proof.findings().any(|finding| topic_of(finding) == topic);
        let verdict = match &found {
            _ if fails => Verdict::Fails,
            Some(_) => Verdict::Holds,
            None => Verdict::NotAsked,
        };
        let found = found.unwrap_or_else(|| "–".into());
        Criterion { name: name.into(), bound: bound.into(), found, verdict }
    }

    /// Lists the inputs with something to compare.
    fn compared(self) -> impl Iterator<Item = &'c InputReport> {
        self.certificate.proof.inputs.iter().filter(|input| !input.beyond_float32)
    }

    /// Returns the largest error that passes for an input, relative to its scale.
    fn allowed(self, input: &InputReport) -> f64 {
        allowed(self.certificate, input)
    }

    /// Returns the input that is closest to its bound, or farthest beyond it.
    fn worst(self, found_and_allowed: impl Fn(&InputReport) -> Option<[f64; 2]>) -> Option<([f64; 2], &'c str)> {
        let share = |[found, allowed]: [f64; 2]| if found == 0.0 { 0.0 } else { found / allowed };
        let known = self.compared().filter_map(|input| Some((found_and_allowed(input)?, input.name.as_str())));
        known.max_by(|(one, _), (other, _)| share(*one).total_cmp(&share(*other)))
    }

    /// Says that all things of a topic are equal, or how many differ.
    fn equal(self, topic: Topic) -> Option<String> {
        match self.certificate.proof.findings().filter(|finding| topic_of(finding) == topic).count() {
            0 => Some("equal".to_owned()),
            differing => Some(format!("{differing} differ")),
        }
    }

    fn file_rows(self) -> Vec<Criterion> {
        let Self { certificate } = self;
        let checkpoint = if certificate.weights.is_some() { ", and bit for bit those of the checkpoint" } else { "" };
        let graph = self.equal(Topic::Graph).filter(|_| certificate.rebuilt);
        let images = self.compared().filter(|input| input.is_image()).count();
        let [compared, all] = [self.compared().count(), certificate.proof.inputs.len()];
        vec![
            self.row(
                Topic::Inputs,
                "Inputs",
                if self.rests_on_images() {
                    format!("images in which two classes have {CLASS_PIXELS_LEAST} pixels: only these are judged")
                } else {
                    "at least one that a wrong model would fail".into()
                },
                Some(format!("{compared} of {all} can be compared, {images} of them images")),
            ),
            self.row(
                Topic::Weights,
                "Weights",
                format!("those whose hash the contract names{checkpoint}"),
                self.equal(Topic::Weights),
            ),
            self.row(
                Topic::Contract,
                "Contract",
                "the trained network's, except for the form of input and output",
                self.equal(Topic::Contract),
            ),
            self.row(
                Topic::Graph,
                "Graph",
                "node by node what the passes make of the reference; not asked of fewer bits, nor of what another version exported",
                graph,
            ),
        ]
    }

    fn framework_rows(self) -> [Criterion; 2] {
        let Self { certificate: Certificate { trained_relative, per_pixel, .. } } = self;
        let error = self.worst(|input| {
            Some([input.framework.as_ref()?.relative, trained_relative + per_pixel * input.side() as f64])
        });
        let known: Vec<_> = self.compared().filter_map(|input| input.framework.as_ref()).collect();
        let pixels = self.compared().filter(|input| input.framework.is_some()).map(|input| input.mask.pixels).sum();
        let sum = |of: fn(&FrameworkReport) -> usize| known.iter().copied().map(of).sum::<usize>();
        let of = |inputs: usize| format!(", {inputs} of {} inputs known", self.compared().count());
        [
            self.row(
                Topic::Framework,
                "Training framework's error",
                format!("{}, of logits and of values inside", error_bound(*trained_relative, *per_pixel)),
                error.map(|(found, input)| place(found, input) + &of(known.len())),
            ),
            self.row(
                Topic::FrameworkMask,
                "Its flipped pixels",
                "the exact logits of the two classes are closer than two such errors",
                (!known.is_empty()).then(|| {
                    flips(sum(|one| one.flipped), pixels, sum(|one| one.unexplained))
                        + &self.crossed(|input| input.framework.as_ref().map(|found| [found.widest, found.margin]))
                }),
            ),
        ]
    }

    fn output_rows(self) -> Vec<Criterion> {
        let Self { certificate } = self;
        let scores: Vec<_> = self.compared().filter_map(|input| input.exported.as_ref()).collect();
        let [elements, not_finite] = [
            scores.iter().map(|errors| errors.elements).sum::<usize>(),
            scores.iter().map(|errors| errors.not_finite).sum(),
        ];
        let error = self.worst(|input| Some([input.relative()?, self.allowed(input)]));
        let times = self.worst(|input| input.times_trained.zip(input.times_allowed).map(<[f64; 2]>::from));
        let batch = self.worst(|input| input.batch.zip(input.batch_allowed).map(<[f64; 2]>::from));
        let bound = error_bound(certificate.relative, certificate.per_pixel);
        vec![
            self.row(
                Topic::Answer,
                "Answers",
                "of the exact one's shape, and infinite or not a number only where no 32-bit float holds the exact one",
                Some(if scores.is_empty() {
                    "masks, which are always finite".into()
                } else {
                    format!("{not_finite} of {elements} values are not finite")
                }),
            ),
            self.row(Topic::Error, "Error of the output", bound, error.map(|(found, input)| place(found, input))),
            self.row(
                Topic::TimesTrained,
                "Root mean square error",
                match certificate.times_trained {
                    Some(times) => {
                        format!("{times} times the training framework's; asked of images that do not repeat themselves")
                    }
                    None => "not asked on this provider and in this precision".into(),
                },
                times.map(|([found, allowed], input)| format!("{found:.2} times, {allowed:.2} allowed ({input})")),
            ),
            self.row(
                Topic::Batch,
                "Batches",
                "each image has the output that it has alone, except for rounding in another order",
                batch.map(|(found, input)| place(found, input)),
            ),
        ]
    }

    fn mask_rows(self) -> Vec<Criterion> {
        let Self { certificate } = self;
        let sum = |of: fn(&InputReport) -> usize| self.compared().map(of).sum::<usize>();
        let [pixels, could_flip] = [sum(|input| input.mask.pixels), sum(|input| input.mask.could_flip)];
        let near =
            format!("; {} are so near to a tie that they could flip", share(could_flip as f64 / pixels.max(1) as f64));
        let found = flips(sum(|input| input.mask.flipped), pixels, sum(|input| input.mask.unexplained));
        let mut rows = vec![self.row(
            Topic::Mask,
            "Flipped pixels",
            "the exact logits of the two classes are closer than two errors of the output",
            (pixels > 0).then(|| {
                format!("{found}{near}{}", self.crossed(|input| Some([input.mask.widest, input.mask.margin])))
            }),
        )];
        let judges_masks = certificate.dice.is_some();
        let image_share = self.worst(|input| {
            (input.is_image() && judges_masks).then(|| [1.0 - input.mask.identity(), certificate.flipped])
        });
        let none = "not asked where errors are so small";
        rows.push(self.row(
            Topic::Flipped,
            "Flipped pixels of an image",
            if judges_masks { format!("{} of them", share(certificate.flipped)) } else { none.into() },
            image_share.map(|([found, _], input)| format!("{} ({input})", share(found))),
        ));
        let bound = certificate.dice.map_or_else(
            || none.to_owned(),
            |least| format!("a Dice of {least} of its pixels in all images, those of the exact masks and the model's"),
        );
        for class in &certificate.proof.classes {
            let pixels = class.pixels;
            let found = class.unknown(self.rests_on_images()).unwrap_or_else(|| {
                let dice = class.dice.unwrap_or_default();
                format!("{dice:.4}: {} and {} pixels, {} in both", pixels.exact, pixels.exported, pixels.both)
            });
            let verdict = match class.verdict {
                ClassVerdict::Kept => Verdict::Holds,
                ClassVerdict::NotKept => Verdict::Fails,
                ClassVerdict::NothingProven => Verdict::NotAsked,
            };
            rows.push(Criterion { name: format!("Class {}", class.class), bound: bound.clone(), found, verdict });
        }
        if certificate.proof.classes.is_empty() {
            rows.push(self.row(Topic::Classes, "Classes", bound, None));
        }
        rows
    }

    fn inner_rows(self) -> [Criterion; 2] {
        let Self { certificate } = self;
        [
            self.row(
                Topic::ExactValues,
                "Intermediate values",
                "as the error of the output, each of its own scale, on the first input",
                extreme(certificate.inside.as_ref()),
            ),
            self.row(
                Topic::Range,
                "Range of 16-bit floats",
                "holds every value that is computed in them, on the images or else on noise",
                extreme(certificate.reach.as_ref()),
            ),
        ]
    }

    /// Describes the widest margin of a flipped pixel, beside the one that rounding explains.
    fn crossed(self, margins: impl Fn(&InputReport) -> Option<[f64; 2]>) -> String {
        match self.worst(margins) {
            Some(([widest, margin], input)) if widest > 0.0 => format!(
                "; the widest margin crossed is {} of logits, {} allowed ({input})",
                scientific(widest),
                scientific(margin)
            ),
            _ => String::new(),
        }
    }

    fn rests_on_images(self) -> bool {
        self.certificate.relative >= ANY_ANSWER
    }
}

/// Returns the largest error that passes for an input, relative to its scale.
pub(crate) fn allowed(certificate: &Certificate, input: &InputReport) -> f64 {
    certificate.relative + certificate.per_pixel * input.side() as f64
}

fn error_bound(relative: f64, per_pixel: f64) -> String {
    let [relative, per_pixel] = [relative, per_pixel].map(scientific);
    format!("{relative} of the scale, and {per_pixel} more for each pixel of the longer side")
}

fn topic_of(finding: &Finding) -> Topic {
    match finding {
        Finding::Weights { .. } | Finding::Hash { .. } => Topic::Weights,
        Finding::Contract { .. } => Topic::Contract,
        Finding::File { .. } => Topic::Graph,
        Finding::Trained { .. } | Finding::Input | Finding::NoFramework { .. } | Finding::NoValues => Topic::Framework,
        Finding::TrainedMask { .. } => Topic::FrameworkMask,
        Finding::Shape { .. } | Finding::NotFinite { .. } | Finding::Hidden { .. } => Topic::Answer,
        Finding::Error { .. } => Topic::Error,
        Finding::TimesTrained { .. } => Topic::TimesTrained,
        Finding::Batch { .. } => Topic::Batch,
        Finding::Mask { .. } => Topic::Mask,
        Finding::Flipped { .. } => Topic::Flipped,
        Finding::Class { .. } => Topic::Classes,
        Finding::Value { .. } => Topic::ExactValues,
        Finding::Overflow { .. } => Topic::Range,
        Finding::NoImage { .. } | Finding::OneClass { .. } | Finding::Nothing | Finding::NothingOfImage => {
            Topic::Inputs
        }
    }
}

fn flips(flipped: usize, pixels: usize, unexplained: usize) -> String {
    format!("{flipped} of {pixels}, {unexplained} of them not explained")
}

fn extreme(extreme: Option<&Extreme>) -> Option<String> {
    extreme.map(|Extreme { value, found, allowed }| place([*found, *allowed], value))
}

fn place([found, allowed]: [f64; 2], place: &str) -> String {
    format!("{}, {} allowed ({place})", scientific(found), scientific(allowed))
}

/// Formats a share in percent.
pub(crate) fn share(share: f64) -> String {
    format!("{:.3} %", 100.0 * share)
}

/// Formats a number with two digits.
pub(crate) fn scientific(value: f64) -> String {
    if value == 0.0 { "0".into() } else { format!("{value:.1e}") }
}
