//! A second session for a size of input that keeps coming.
//!
//! A graph for any size is slower than the same graph for one: where ONNX Runtime does not know
//! that two maps have one size, it does not add to the first of them in place, but copies it first,
//! on one thread. Opening a session takes as long as some runs. So one is opened for a shape when
//! the runs of this shape, one after the other, have taken [`OPENINGS`] times as long as opening
//! did: it then costs at most that share of the time if no further run comes.
//!
//! The second session answers only if its first output has the values of the first session's, and
//! stays only if it is faster. Both hold the weights, but only one at a time the memory between
//! layers, of which the second needs more: [`Options::one_shape_pixels_max`] bounds it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use ort::environment::Environment;
use ort::session::Session;
use seg_contract::{Contract, Element};
use seg_onnx::graph::Graph;

use crate::provider::Options;
use crate::session::opening::{File, OpenError};
use crate::session::reading::External;

/// The times that opening a session takes, for which inputs of a shape have been run before there
/// is a session for it.
const OPENINGS: u32 = 10;
/// The runs in a row from which on a shape is one that keeps coming, or no longer does.
const RUNS_IN_ROW: usize = 4;
/// The timed runs after which a second session is judged.
const RUNS_TIMED: usize = 4;
/// The share of the first session's time that the second may take.
const SHARE_MAX: f64 = 0.98;

/// The shapes that a session has run, and a second session for one of them.
#[derive(Debug)]
pub(super) struct Sizes {
    source: Source,
    /// The time that opening the session took.
    opening: Duration,
    /// The most pixels at once that a second session may be opened for.
    pixels_max: usize,
    coming: Option<Coming>,
    second: Option<Second>,
    /// The shapes for which a second session does not pay.
    unpaid: Vec<[usize; 4]>,
}

/// The file of a session, to open another.
pub(super) struct Source {
    pub(super) environment: Environment,
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
    pub(super) external: Vec<External>,
    /// The symbols of the graph's input, each with its axis in `[n, channels, h, w]`.
    pub(super) symbols: Vec<(String, usize)>,
}

/// Returns the symbols of a graph's input, each with its axis in `[n, channels, h, w]`.
pub(super) fn symbols(graph: &Graph, element: Element) -> Vec<(String, usize)> {
    let axes = match element {
        Element::Float => [0, 1, 2, 3],
        Element::U8 => [0, 2, 3, 1],
    };
    let dims = graph.inputs.iter().flat_map(|input| input.tensor_type.shape.iter().zip(axes));
    dims.filter(|(dim, _)| dim.as_constant().is_none()).map(|(dim, axis)| (dim.to_string(), axis)).collect()
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Source").field(&self.path).finish()
    }
}

/// The runs of one shape in a row, in the first session.
#[derive(Clone, Copy, Debug)]
struct Coming {
    shape: [usize; 4],
    runs: usize,
    time: Duration,
    fastest: Duration,
}

/// A session for one shape.
#[derive(Debug)]
struct Second {
    session: Session,
    shape: [usize; 4],
    /// The fastest run of the shape in the first session.
    first: Duration,
    runs: usize,
    fastest: Duration,
    /// The runs of other shapes in a row.
    others: usize,
}

impl Sizes {
    /// Starts without a second session; opening the first took this long.
    pub(super) fn new(source: Source, opening: Duration, pixels_max: usize) -> Self {
        Self { source, opening, pixels_max, coming: None, second: None, unpaid: Vec::new() }
    }

    /// Returns the second session if it is one for this shape.
    pub(super) fn session(&mut self, shape: [usize; 4]) -> Option<&mut Session> {
        self.second.as_mut().filter(|second| second.shape == shape).map(|second| &mut second.session)
    }

    /// Returns whether the run of this shape in the first session should be followed by opening a
    /// second.
    pub(super) fn is_due(&self, shape: [usize; 4]) -> bool {
        let due = |coming: &Coming| coming.runs >= RUNS_IN_ROW && coming.time >= self.opening * OPENINGS;
        let [n, _, height, width] = shape;
        self.second.is_none()
            && n.saturating_mul(height).saturating_mul(width) <= self.pixels_max
            && !self.unpaid.contains(&shape)
            && self.coming.as_ref().is_some_and(|coming| coming.shape == shape && due(coming))
    }

    /// Returns whether the first session should free the memory between its layers after a run:
    /// from the time on when there is a second one.
    pub(super) fn frees_memory(&self, shape: [usize; 4]) -> bool {
        self.second.is_some() || self.is_due(shape)
    }

    /// Counts a run in the first session.
    pub(super) fn ran_in_first(&mut self, shape: [usize; 4], time: Duration) {
        let before = self.coming.filter(|coming| coming.shape == shape);
        let coming = before.unwrap_or(Coming { shape, runs: 0, time: Duration::ZERO, fastest: Duration::MAX });
        self.coming = Some(Coming {
            runs: coming.runs + 1,
            time: coming.time + time,
            fastest: coming.fastest.min(time),
            ..coming
        });
        if let Some(second) = &mut self.second {
            second.others += 1;
            if second.others >= RUNS_IN_ROW {
                self.second = None;
            }
        }
    }

    /// Counts a run in the second session, which is closed if it turns out not to be faster.
    pub(super) fn ran_in_second(&mut self, time: Duration) {
        let Some(second) = &mut self.second else { return };
        second.others = 0;
        second.runs += 1;
        second.fastest = second.fastest.min(time);
        let (first, fastest) = (second.first.as_secs_f64(), second.fastest.as_secs_f64());
        if second.runs == RUNS_TIMED && fastest > first * SHARE_MAX {
            self.unpaid.push(second.shape);
            self.second = None;
        }
    }

    /// Opens a session for a shape, on the provider that the options name.
    pub(super) fn open(&self, shape: [usize; 4], contract: &Contract, options: &Options) -> Result<Session, OpenError> {
        let Source { environment, path, bytes, external, symbols } = &self.source;
        let sizes = symbols.iter().map(|(symbol, axis)| (symbol.as_str(), shape[*axis]));
        File { environment, path, bytes, external, contract, graph: None }.open_for(sizes, options)
    }

    /// Takes a session for a shape that [is due](Self::is_due).
    pub(super) fn add(&mut self, session: Session, shape: [usize; 4]) {
        let first = self.coming.take().map_or(Duration::MAX, |coming| coming.fastest);
        self.second = Some(Second { session, shape, first, runs: 0, fastest: Duration::MAX, others: 0 });
    }

    /// Notes that there can be no second session for a shape.
    pub(super) fn refuse(&mut self, shape: [usize; 4]) {
        self.unpaid.push(shape);
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array4;
    use seg_contract::{InputForm, OutputKind};

    use super::*;
    use crate::library::tests::environment;
    use crate::threshold;

    fn batch([n, side]: [usize; 2], round: usize) -> Array4<f32> {
        Array4::from_shape_fn((n, 3, side, 2 * side), |(n, _, y, x)| {
            ((n + 3 * y + 5 * x + 7 * round) % 11) as f32 / 5.0 - 1.0
        })
    }

    fn options() -> Options {
        Options { one_shape_pixels_max: 1000, ..Options::default() }
    }

    fn has_second(session: &crate::Session) -> bool {
        session.sizes.as_ref().is_some_and(|sizes| sizes.second.is_some())
    }

    #[test]
    fn a_shape_that_keeps_coming_gets_a_session_with_the_same_results() {
        let folder = tempfile::tempdir().unwrap();
        for (element, kind) in [
            (Element::Float, OutputKind::Logits),
            (Element::U8, OutputKind::Probabilities),
            (Element::U8, OutputKind::Mask),
        ] {
            let path = threshold::write_as(folder.path(), InputForm { element, ..InputForm::default() }, kind);
            let open = || crate::Session::open(environment(), &path, &options()).unwrap();
            let (mut plain, mut session) = (open(), open());
            plain.sizes = None;
            session.sizes.as_mut().unwrap().opening = Duration::ZERO;
            let mut rows = vec![([1, 8], false); 4];
            rows.extend([([1, 8], true), ([1, 8], true), ([2, 8], true), ([1, 9], true), ([1, 8], true)]);
            rows.extend([([1, 9], true), ([1, 9], true), ([2, 9], true), ([1, 9], false)]);
            for (round, (shape, expected)) in rows.into_iter().enumerate() {
                let images = batch(shape, round);
                let found = session.infer(images.view()).unwrap();
                assert_eq!(found, plain.infer(images.view()).unwrap(), "{element:?} {kind:?}, run {round}");
                assert_eq!(has_second(&session), expected, "{element:?} {kind:?}, after run {round}");
            }
        }
    }

    #[test]
    fn a_second_session_that_is_slower_is_closed_for_good() {
        let folder = tempfile::tempdir().unwrap();
        let path = threshold::write(folder.path(), seg_contract::SizePolicy::Native);
        let mut session = crate::Session::open(environment(), &path, &options()).unwrap();
        session.sizes.as_mut().unwrap().opening = Duration::ZERO;
        let images = batch([1, 8], 0);
        for _ in 0..=RUNS_IN_ROW {
            session.infer(images.view()).unwrap();
        }
        session.sizes.as_mut().unwrap().second.as_mut().unwrap().first = Duration::ZERO;
        for run in 1..=2 * (RUNS_TIMED + RUNS_IN_ROW) {
            session.infer(images.view()).unwrap();
            assert_eq!(has_second(&session), run < RUNS_TIMED, "after run {run}");
        }
    }

    #[test]
    fn few_or_short_runs_are_not_worth_a_session() {
        let folder = tempfile::tempdir().unwrap();
        let path = threshold::write(folder.path(), seg_contract::SizePolicy::Native);
        let mut session = crate::Session::open(environment(), &path, &options()).unwrap();
        session.sizes.as_mut().unwrap().opening = Duration::from_secs(3600);
        for _ in 0..3 * RUNS_IN_ROW {
            session.infer(batch([1, 8], 0).view()).unwrap();
        }
        session.sizes.as_mut().unwrap().opening = Duration::ZERO;
        let others = [9, 10, 9, 10, 9, 10, 9, 10].into_iter().chain([23; 2 * RUNS_IN_ROW]);
        for side in others {
            session.infer(batch([1, side], 0).view()).unwrap();
            assert!(!has_second(&session), "alternating, and too large");
        }
        let fixed = InputForm { size: Some([8, 16]), batch: Some(1), ..InputForm::default() };
        let path = threshold::write_as(folder.path(), fixed, OutputKind::Logits);
        assert!(crate::Session::open(environment(), &path, &options()).unwrap().sizes.is_none());
    }
}
