//! Several models as one: the conditions, and the input that all of them take.

use ndarray::{ArrayView3, Axis, CowArray, Ix3};
use seg_contract::{Contract, Input};
use thiserror::Error;

use crate::session::OpenError;

/// The reason for which several models cannot be averaged.
#[derive(Debug, Error)]
pub enum EnsembleError {
    /// A model cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// No model is given.
    #[error("an ensemble needs at least one model")]
    Empty,
    /// The contracts of two models differ.
    #[error("`{first}` and `{other}` cannot be averaged: their contracts differ in {what}")]
    Disagreement {
        /// The first model.
        first: String,
        /// The model that differs from it.
        other: String,
        /// The part of the contracts that differs.
        what: &'static str,
    },
}

/// Names the part in which two contracts differ so that their models cannot be averaged.
pub(super) fn difference(first: &Contract, other: &Contract) -> Option<&'static str> {
    let names = |contract: &Contract| contract.classes.iter().map(|class| class.name.clone()).collect::<Vec<_>>();
    let (sizes, input) = ([first, other].map(|contract| contract.input.form.size), common(first, other));
    if names(first) != names(other) {
        Some("their classes")
    } else if first.input.size != other.input.size {
        Some("the size at which images are run")
    } else if first.input.color != other.input.color {
        Some("the order of the colours that their networks take")
    } else if first.input.reading != other.input.reading {
        Some("how medical images become pictures (window, slices, level or spacing)")
    } else if first.output.kind != other.output.kind {
        Some("what their outputs are")
    } else if matches!(sizes, [Some(one), Some(other)] if one != other)
        || input.form.size.is_some_and(|size| !input.fits(size))
    {
        Some("the sizes that their graphs take")
    } else {
        None
    }
}

/// Returns the input that both graphs take, for contracts that [agree](difference) in the rest.
///
/// If one of them takes a single size, so does the result; its shortest side is the longer one of
/// the two.
pub(super) fn common(first: &Contract, other: &Contract) -> Input {
    let mut input = first.input.clone();
    input.form.size = input.form.size.or(other.input.form.size);
    input.side_min = input.side_min.max(other.input.side_min);
    input.side_multiple = least_common_multiple(input.side_multiple, other.input.side_multiple);
    input
}

/// Returns the input with colours as they are, in [0, 1].
///
/// It is what the models of an ensemble share where their means or deviations differ, as those of
/// the folds of a cross-validation do: each is measured on other images.
pub(super) fn plain(input: &Input) -> Input {
    let channels = input.color.channels();
    Input { mean: vec![0.0; channels], std: vec![1.0; channels], ..input.clone() }
}

/// Returns whether two networks take colours of one mean and deviation.
pub(super) fn is_normalized_alike(one: &Input, other: &Input) -> bool {
    (&one.mean, &one.std) == (&other.mean, &other.std)
}

/// Returns an image as a member takes it: `image` is as `given` describes it, which is either the
/// member's `own` input or [`plain`].
pub(super) fn normalized<'a>(image: ArrayView3<'a, f32>, given: &Input, own: &Input) -> CowArray<'a, f32, Ix3> {
    if is_normalized_alike(given, own) {
        return image.into();
    }
    let mut image = image.to_owned();
    for (mut plane, (mean, std)) in image.axis_iter_mut(Axis(0)).zip(own.mean.iter().zip(&own.std)) {
        // The same operations as those of a model that runs alone, so that it has the same input.
        plane.mapv_inplace(|value| (value - mean) / std);
    }
    image.into()
}

/// Returns the least common multiple of two numbers, neither of which is 0.
fn least_common_multiple(one: usize, other: usize) -> usize {
    let (mut divisor, mut rest) = (one, other);
    while rest != 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    one / divisor * other
}
