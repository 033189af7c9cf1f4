//! Flags that are right by themselves and wrong together: what would have no effect is refused, not
//! ignored.
//!
//! Flags that only allow or forbid something, such as `--allow-fallback` and `--offline`, are
//! accepted even if there is nothing to allow.

use seg_contract::{Contract, Input, OutputKind};
use seg_inference::Provider;
use seg_runtime::save::Save;
use thiserror::Error;

use super::answers::Tile;
use super::{Answers, Bench, Command, Engine, Ep, Eval, Infer, Inspect, Measuring, Saves, Serve, Size};

/// An error in flags that exclude each other.
#[derive(Debug, Error)]
pub(crate) enum Conflict {
    /// A flag would have no effect.
    #[error("`{flag}` has no effect {beside}; {remedy}")]
    NoEffect { flag: &'static str, beside: &'static str, remedy: &'static str },
    /// Only one of two numbers could hold.
    #[error("`--min-area` names `{class}` twice; name each class once")]
    TwoAreas { class: String },
    /// There are fewer parts.
    #[error("`--part {part}` is none of `--num-parts {parts}`; parts are counted from 1")]
    NoPart { part: usize, parts: usize },
    /// The model has learned from other pictures.
    #[error("`{flag}` is {found}, but the model was trained with {learned}; leave out the flag")]
    Learned { flag: &'static str, found: String, learned: String },
    /// The model takes no images of this size.
    #[error("`--size {size}` is none that the model takes: {takes}")]
    NoSize { size: Size, takes: String },
    /// Nothing is computed.
    #[error("`--ep` and what goes with it need `--placement`")]
    NoPlacement,
}

/// A flag: true if it would have no effect, its name, the flag that takes its effect, and the
/// remedy.
type Row = (bool, &'static str, &'static str, &'static str);

const LEAVE_IT_OUT: &str = "leave it out";
const LEAVE_OUT_ONE: &str = "leave out one of them";

impl Command {
    /// Makes sure that each flag has an effect beside the others.
    pub(crate) fn check(&self) -> Result<(), Conflict> {
        match self {
            Self::Infer(args) => args.check(),
            Self::Serve(args) => args.check(),
            Self::Eval(args) => args.check(),
            Self::Inspect(args) => args.check(),
            Self::Bench(args) => args.check(),
            _ => Ok(()),
        }
    }
}

impl Infer {
    fn check(&self) -> Result<(), Conflict> {
        self.answers.check()?;
        self.saves.check()?;
        match self.parts.part.zip(self.parts.num_parts) {
            Some((part, parts)) if part > parts => Err(Conflict::NoPart { part: part.get(), parts: parts.get() }),
            _ => Ok(()),
        }
    }
}

impl Serve {
    fn check(&self) -> Result<(), Conflict> {
        self.answers.check()?;
        first([(
            self.limits.batch_delay > 0 && self.answers.batch.get() == 1,
            "--batch-delay",
            "with `--batch 1`, which waits for nothing",
            "give a larger `--batch`, or leave it out",
        )])
    }
}

impl Eval {
    fn check(&self) -> Result<(), Conflict> {
        self.answers.check()?;
        let Measuring { bootstrap, confidence, seed, worst, .. } = &self.measuring;
        let cuts_nothing = matches!(self.answers.tile, Tile::Off);
        first([
            (
                self.answers.batch.get() > 1 && cuts_nothing,
                "--batch",
                "with `--tile off`: `eval` takes images one by one, and only their tiles together",
                LEAVE_OUT_ONE,
            ),
            (
                *bootstrap == 0 && confidence.is_some(),
                "--confidence",
                "with `--bootstrap 0`, which draws nothing",
                LEAVE_OUT_ONE,
            ),
            (*bootstrap == 0 && seed.is_some(), "--seed", "with `--bootstrap 0`, which draws nothing", LEAVE_OUT_ONE),
            (
                self.out.is_none() && worst.is_some(),
                "--worst",
                "without `--out`, where the report shows them",
                "name a folder by `--out`, or leave it out",
            ),
        ])
    }

    /// Makes sure that each flag has an effect on what this model is given.
    pub(crate) fn check_for(&self, contract: &Contract) -> Result<(), Conflict> {
        self.answers.check_for(contract)?;
        first([(
            self.answers.batch.get() > 1 && !self.answers.cuts(contract),
            "--batch",
            "with a model whose images are never cut: `eval` takes them one by one, and only tiles together",
            LEAVE_IT_OUT,
        )])
    }
}

impl Inspect {
    fn check(&self) -> Result<(), Conflict> {
        if self.placement || self.engine == Engine::default() { Ok(()) } else { Err(Conflict::NoPlacement) }
    }
}

impl Bench {
    fn check(&self) -> Result<(), Conflict> {
        let takes = |ep: &Ep| [None, Some(Provider::Plugin)].contains(&ep.provider());
        first([(
            self.tuning.library.ep_library.is_some() && !self.ep.iter().any(takes),
            "--ep-library",
            "with these `--ep`",
            "add `plugin` to `--ep`, or leave it out",
        )])
    }
}

impl Answers {
    fn check(&self) -> Result<(), Conflict> {
        first([(
            self.overlap.is_some() && matches!(self.tile, Tile::Off),
            "--overlap",
            "with `--tile off`, which cuts nothing",
            LEAVE_OUT_ONE,
        )])?;
        let mut classes: Vec<_> = self.min_area.iter().map(|area| area.class.as_str()).collect();
        classes.sort_unstable();
        match classes.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(Conflict::TwoAreas { class: pair[0].into() }),
            None => Ok(()),
        }
    }

    /// Makes sure that each flag has an effect on what this model is given.
    pub(crate) fn check_for(&self, contract: &Contract) -> Result<(), Conflict> {
        let beside = match contract.output.kind {
            OutputKind::Mask => "with a model that gives masks: its images are never cut",
            OutputKind::Logits | OutputKind::Probabilities => {
                "with a model that stretches images to its size: they are never cut"
            }
        };
        first([(self.overlap.is_some() && !self.cuts(contract), "--overlap", beside, LEAVE_IT_OUT)])
    }

    /// Returns whether this model takes images in tiles.
    fn cuts(&self, contract: &Contract) -> bool {
        self.settings(&[]).cuts(contract)
    }
}

impl Size {
    /// Makes sure that this model's network takes images of this size.
    pub(crate) fn check_for(self, contract: &Contract) -> Result<(), Conflict> {
        let Input { form, .. } = &contract.input;
        let sides = [self.height, self.width].map(|side| side as usize);
        let takes = match form.size {
            Some(only @ [height, width]) if only != sides => format!("{height}x{width} only; leave it out"),
            None if !contract.input.fits(sides) => contract.input.sides().to_string(),
            _ => return Ok(()),
        };
        Err(Conflict::NoSize { size: self, takes })
    }
}

impl Saves {
    fn check(&self) -> Result<(), Conflict> {
        first([(
            self.uncertainty.is_some() && !self.save.contains(&Save::Uncertainty),
            "--uncertainty",
            "without `--save uncertainty`, the map that it is about",
            "add `uncertainty` to `--save`, or leave it out",
        )])
    }
}

/// Fails with the first flag that would have no effect.
fn first<const N: usize>(rows: [Row; N]) -> Result<(), Conflict> {
    match rows.into_iter().find(|(is_idle, ..)| *is_idle) {
        Some((_, flag, beside, remedy)) => Err(Conflict::NoEffect { flag, beside, remedy }),
        None => Ok(()),
    }
}
