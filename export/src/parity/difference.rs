//! The distance of computed values from the expected ones.

use std::fmt;

use ndarray::ArrayD;

/// The largest error that passes, relative to the largest value expected: Burn computes in float32
/// and rounds some hundred times by 6e-8 on the way through the network, the graph is evaluated in
/// float64.
const TOLERANCE: f64 = 5e-6;

/// The difference of values from the expected ones; prints all that a person needs to find its
/// cause.
#[derive(Debug)]
pub(super) struct Difference {
    /// The name of the comparison.
    pub(super) name: String,
    relative: f64,
    differing: usize,
    elements: usize,
    index: Vec<usize>,
    found: f64,
    expected: f64,
}

impl Difference {
    pub(super) fn between(name: &str, found: &ArrayD<f64>, expected: &ArrayD<f32>) -> Self {
        assert_eq!(found.shape(), expected.shape(), "{name}");
        let expected = expected.mapv(f64::from);
        let scale = expected.iter().fold(0.0, |scale: f64, value| scale.max(value.abs()));
        assert!(scale > 0.0, "{name}: all zeros show nothing");
        let relative = |index: &ndarray::IxDyn| (found[index] - expected[index]).abs() / scale;
        let indices: Vec<_> = found.indexed_iter().map(|(index, _)| index).collect();
        let worst = indices.iter().max_by(|a, b| relative(a).total_cmp(&relative(b))).unwrap();
        Self {
            name: name.into(),
            relative: relative(worst),
            differing: indices.iter().filter(|index| relative(index) > TOLERANCE).count(),
            elements: indices.len(),
            index: ndarray::Dimension::slice(worst).to_vec(),
            found: found[worst],
            expected: expected[worst],
        }
    }

    pub(super) fn check(self) -> Result<(), Self> {
        if self.relative <= TOLERANCE { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, relative, differing, elements, index, found, expected } = self;
        write!(f, "{name}: {differing} of {elements} elements differ, ")?;
        write!(f, "most by {relative:.1e} at {index:?}: found {found}, expected {expected}")
    }
}
