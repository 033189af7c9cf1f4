//! The ranges of a graph's values.

use std::collections::BTreeMap;

/// The range of a value, or the part of it that the quantised form covers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// The smallest.
    pub min: f32,
    /// The largest.
    pub max: f32,
}

/// The ranges of values, by name; of some, those of each channel too.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ranges {
    whole: BTreeMap<String, Range>,
    channels: BTreeMap<String, Vec<Range>>,
}

impl Range {
    /// Creates the smallest range that holds the values.
    pub(super) fn from_values(values: &[f32]) -> Self {
        let (min, max) = (f32::INFINITY, f32::NEG_INFINITY);
        values
            .iter()
            .fold(Self { min, max }, |range, value| Self { min: range.min.min(*value), max: range.max.max(*value) })
    }

    /// Returns the part of the range that lies within another.
    #[must_use]
    pub fn within(self, Self { min, max }: Self) -> Self {
        // `f32::clamp` would panic at what is not a number.
        let [min, max] = [self.min, self.max].map(|end| end.max(min).min(max));
        Self { min, max }
    }

    /// Returns whether both ends are finite.
    pub(super) fn is_finite(self) -> bool {
        self.min.is_finite() && self.max.is_finite()
    }
}

impl Ranges {
    /// Adds a value with the range of each of its channels, of which
    /// [`Scheme::Fused`](super::Scheme::Fused) makes steps.
    pub fn insert(&mut self, name: String, range: Range, channels: Vec<Range>) {
        self.channels.insert(name.clone(), channels);
        self.whole.insert(name, range);
    }

    /// Returns the range of a value.
    pub(super) fn get(&self, name: &str) -> Option<Range> {
        self.whole.get(name).copied()
    }

    /// Returns the range of each channel of a value, if they are known and finite.
    pub(super) fn channels(&self, name: &str) -> Option<&[Range]> {
        let channels = self.channels.get(name).map(Vec::as_slice);
        channels.filter(|channels| channels.iter().all(|range| range.is_finite()))
    }
}

impl FromIterator<(String, Range)> for Ranges {
    fn from_iter<I: IntoIterator<Item = (String, Range)>>(ranges: I) -> Self {
        Self { whole: ranges.into_iter().collect(), channels: BTreeMap::new() }
    }
}

impl<const N: usize> From<[(String, Range); N]> for Ranges {
    fn from(ranges: [(String, Range); N]) -> Self {
        ranges.into_iter().collect()
    }
}
