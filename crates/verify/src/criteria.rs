//! Everything that is asked of a model, with its bound, what was found and the verdict, a row each: what a reader of a certificate goes by.

use crate::bounds::{ANY_ANSWER, CLASS_PIXELS_LEAST};
use crate::certificate::Certificate;
use crate::class::ClassVerdict;
use crate::finding::Finding;
use crate::layers::Extreme;
use crate::proof::CaseReport;
use crate::reference::TrainedReport;

/// Something that was asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Criterion {
    /// What it is called.
    pub name: String,
    /// What passes.
    pub bound: String,
    /// The worst that was found.
    pub found: String,
    /// What comes of it.
    pub verdict: Verdict,
}

/// What comes of a criterion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing speaks against the model.
    Holds,
    /// Something does.
    Fails,
    /// It could not be asked, or need not.
    NotAsked,
}

/// What a finding is about: a row each, but for the classes.
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
    Inside,
    Range,
    Inputs,
}

/// The rows of a certificate.
pub fn criteria(certificate: &Certificate) -> Vec<Criterion> {
    let rows = Rows { certificate };
    let mut all = rows.of_the_file();
    all.extend(rows.of_the_framework());
    all.extend(rows.of_the_answers());
    all.extend(rows.of_the_masks());
    all.extend(rows.of_the_inside());
    all
}

/// The certificate that rows are made of.
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

    /// The cases with something to compare.
    fn cases(self) -> impl Iterator<Item = &'c CaseReport> {
        self.certificate.proof.cases.iter().filter(|case| !case.beyond_float32)
    }

    /// The error that passes in a case, relative to its scale.
    fn allowed(self, case: &CaseReport) -> f64 {
        allowed(self.certificate, case)
    }

    /// The case that comes nearest to its bound, or is farthest beyond it.
    fn worst(self, of: impl Fn(&CaseReport) -> Option<[f64; 2]>) -> Option<([f64; 2], &'c str)> {
        let share = |[found, allowed]: [f64; 2]| if found == 0.0 { 0.0 } else { found / allowed };
        let known = self.cases().filter_map(|case| Some((of(case)?, case.name.as_str())));
        known.max_by(|(one, _), (other, _)| share(*one).total_cmp(&share(*other)))
    }

    fn of_the_file(self) -> Vec<Criterion> {
        let Self { certificate } = self;
        let count = |topic| certificate.proof.findings().filter(|finding| topic_of(finding) == topic).count();
        let equal = |topic| match count(topic) {
            0 => Some("equal".to_owned()),
            one_or_more => Some(format!("{one_or_more} differ")),
        };
        let checkpoint = if certificate.weights.is_some() { ", and bit for bit those of the checkpoint" } else { "" };
        let graph = equal(Topic::Graph).filter(|_| certificate.rebuilt);
        let images = self.cases().filter(|case| case.is_image()).count();
        let [compared, all] = [self.cases().count(), certificate.proof.cases.len()];
        vec![
            self.row(
                Topic::Inputs,
                "Inputs",
                if self.rests_on_images() {
                    format!("images in which two classes have {CLASS_PIXELS_LEAST} pixels: all rests on these")
                } else {
                    "at least one that a wrong model would fail".into()
                },
                Some(format!("{compared} of {all} can be compared, {images} of them images")),
            ),
            self.row(
                Topic::Weights,
                "Weights",
                format!("those whose hash the contract names{checkpoint}"),
                equal(Topic::Weights),
            ),
            self.row(
                Topic::Contract,
                "Contract",
                "the trained network's, but for the form of input and output",
                equal(Topic::Contract),
            ),
            self.row(
                Topic::Graph,
                "Graph",
                "node by node what the passes make of the reference; not asked of fewer bits, nor of what another version exported",
                graph,
            ),
        ]
    }

    fn of_the_framework(self) -> [Criterion; 2] {
        let Self { certificate: Certificate { trained_relative, per_pixel, .. } } = self;
        let error = self
            .worst(|case| Some([case.framework.as_ref()?.relative, trained_relative + per_pixel * case.side() as f64]));
        let known: Vec<_> = self.cases().filter_map(|case| case.framework.as_ref()).collect();
        let pixels = self.cases().filter(|case| case.framework.is_some()).map(|case| case.mask.pixels).sum();
        let sum = |of: fn(&TrainedReport) -> usize| known.iter().copied().map(of).sum::<usize>();
        let of = |inputs: usize| format!(", {inputs} of {} inputs known", self.cases().count());
        [
            self.row(
                Topic::Framework,
                "Training framework's error",
                format!("{}, of logits and of values inside", error_bound(*trained_relative, *per_pixel)),
                error.map(|(found, case)| place(found, case) + &of(known.len())),
            ),
            self.row(
                Topic::FrameworkMask,
                "Its flipped pixels",
                "the exact logits of the two classes are closer than two such errors",
                (!known.is_empty()).then(|| {
                    flips(sum(|one| one.flipped), pixels, sum(|one| one.unexplained))
                        + &self.crossed(|case| case.framework.as_ref().map(|found| [found.widest, found.margin]))
                }),
            ),
        ]
    }

    fn of_the_answers(self) -> Vec<Criterion> {
        let Self { certificate } = self;
        let scores: Vec<_> = self.cases().filter_map(|case| case.exported.as_ref()).collect();
        let [elements, not_finite] = [
            scores.iter().map(|figures| figures.elements).sum::<usize>(),
            scores.iter().map(|figures| figures.not_finite).sum(),
        ];
        let error = self.worst(|case| Some([case.relative()?, self.allowed(case)]));
        let times = self.worst(|case| case.times_trained.zip(case.times_allowed).map(<[f64; 2]>::from));
        let batch = self.worst(|case| case.batch.zip(case.batch_allowed).map(<[f64; 2]>::from));
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
            self.row(Topic::Error, "Error of the output", bound, error.map(|(found, case)| place(found, case))),
            self.row(
                Topic::TimesTrained,
                "Root mean square error",
                match certificate.times_trained {
                    Some(times) => {
                        format!("{times} times the training framework's; asked of images that do not repeat themselves")
                    }
                    None => "not asked on this provider and in this precision".into(),
                },
                times.map(|([found, allowed], case)| format!("{found:.2} times, {allowed:.2} allowed ({case})")),
            ),
            self.row(
                Topic::Batch,
                "Batches",
                "each image is answered as it is alone, but for rounding in another order",
                batch.map(|(found, case)| place(found, case)),
            ),
        ]
    }

    fn of_the_masks(self) -> Vec<Criterion> {
        let Self { certificate } = self;
        let sum = |of: fn(&CaseReport) -> usize| self.cases().map(of).sum::<usize>();
        let [pixels, could_flip] = [sum(|case| case.mask.pixels), sum(|case| case.mask.could_flip)];
        let near =
            format!("; {} are so near to a tie that they could flip", share(could_flip as f64 / pixels.max(1) as f64));
        let found = flips(sum(|case| case.mask.flipped), pixels, sum(|case| case.mask.unexplained));
        let mut rows =
            vec![self.row(
                Topic::Mask,
                "Flipped pixels",
                "the exact logits of the two classes are closer than two errors of the output",
                (pixels > 0).then(|| {
                    format!("{found}{near}{}", self.crossed(|case| Some([case.mask.widest, case.mask.margin])))
                }),
            )];
        let judges_masks = certificate.dice.is_some();
        let of_image = self
            .worst(|case| (case.is_image() && judges_masks).then(|| [1.0 - case.mask.identity(), certificate.flipped]));
        let none = "not asked where errors are so small";
        rows.push(self.row(
            Topic::Flipped,
            "Flipped pixels of an image",
            if judges_masks { format!("{} of them", share(certificate.flipped)) } else { none.into() },
            of_image.map(|([found, _], case)| format!("{} ({case})", share(found))),
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

    fn of_the_inside(self) -> [Criterion; 2] {
        let Self { certificate } = self;
        let found = |extreme: &Option<Extreme>| {
            extreme.as_ref().map(|Extreme { value, found, allowed }| place([*found, *allowed], value))
        };
        [
            self.row(
                Topic::Inside,
                "Values inside",
                "as the error of the output, each of its own scale, on the first input",
                found(&certificate.inside),
            ),
            self.row(
                Topic::Range,
                "Range of 16-bit floats",
                "holds every value that is computed in them, on the images or else on noise",
                found(&certificate.reach),
            ),
        ]
    }

    /// The widest margin that a flipped pixel crossed, beside what rounding explains.
    fn crossed(self, of: impl Fn(&CaseReport) -> Option<[f64; 2]>) -> String {
        match self.worst(of) {
            Some(([widest, margin], case)) if widest > 0.0 => format!(
                "; the widest margin crossed is {} of logits, {} allowed ({case})",
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

/// The error that passes in a case, relative to its scale.
pub(super) fn allowed(certificate: &Certificate, case: &CaseReport) -> f64 {
    certificate.relative + certificate.per_pixel * case.side() as f64
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
        Finding::Trained { .. } | Finding::Input => Topic::Framework,
        Finding::TrainedMask { .. } => Topic::FrameworkMask,
        Finding::Shape { .. } | Finding::NotFinite { .. } | Finding::Hidden { .. } => Topic::Answer,
        Finding::Error { .. } => Topic::Error,
        Finding::TimesTrained { .. } => Topic::TimesTrained,
        Finding::Batch { .. } => Topic::Batch,
        Finding::Mask { .. } => Topic::Mask,
        Finding::Flipped { .. } => Topic::Flipped,
        Finding::Class { .. } => Topic::Classes,
        Finding::Value { .. } => Topic::Inside,
        Finding::Overflow { .. } => Topic::Range,
        Finding::NoImage { .. } | Finding::OneClass { .. } | Finding::Nothing | Finding::NothingOfImage => {
            Topic::Inputs
        }
    }
}

fn flips(flipped: usize, pixels: usize, unexplained: usize) -> String {
    format!("{flipped} of {pixels}, {unexplained} of them not explained")
}

fn place([found, allowed]: [f64; 2], place: &str) -> String {
    format!("{}, {} allowed ({place})", scientific(found), scientific(allowed))
}

/// A share of something, in percent.
pub(super) fn share(share: f64) -> String {
    format!("{:.3} %", 100.0 * share)
}

/// A number in two digits.
pub(super) fn scientific(value: f64) -> String {
    if value == 0.0 { "0".into() } else { format!("{value:.1e}") }
}
