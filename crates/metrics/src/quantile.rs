//! Quantiles: interpolated linearly, as NumPy's are by default, and by nearest rank.

/// Returns the value below which the share `q` of the `sorted` values lies, interpolated between
/// neighbours; `None` for no values.
///
/// This is definition 7 of R. J. Hyndman and Y. Fan, 1996.
pub fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let rank = q * last as f64;
    let below = (rank.floor() as usize).min(last);
    let above = (below + 1).min(last);
    Some(sorted[below] + (rank - below as f64) * (sorted[above] - sorted[below]))
}

/// Returns the median, which of an even number of values is the mean of the two in the middle;
/// `None` for no values. The values may be in any order, which is not kept.
pub fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    quantile(values, 0.5)
}

/// Returns the smallest value that at least the share `q` of the values do not exceed, which is one
/// of them; `None` for no values. The values may be in any order, which is not kept.
pub fn nearest_rank(values: &mut [f64], q: f64) -> Option<f64> {
    let last = values.len().checked_sub(1)?;
    let rank = ((values.len() as f64 * q).ceil() as usize).saturating_sub(1).min(last);
    Some(*values.select_nth_unstable_by(rank, f64::total_cmp).1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_neighbours() {
        for (name, sorted, q, expected) in [
            ("nothing", &[][..], 0.5, None),
            ("one value", &[3.0], 0.95, Some(3.0)),
            ("the least", &[1.0, 2.0, 4.0], 0.0, Some(1.0)),
            ("the greatest", &[1.0, 2.0, 4.0], 1.0, Some(4.0)),
            ("the middle of two", &[1.0, 2.0], 0.5, Some(1.5)),
            ("three quarters", &[1.0, 2.0, 4.0], 0.75, Some(3.0)),
        ] {
            assert_eq!(quantile(sorted, q), expected, "{name}");
        }
    }

    #[test]
    fn the_median_is_the_middle_in_any_order() {
        for (values, expected) in
            [(vec![], None), (vec![0.25], Some(0.25)), (vec![1.0, 0.0], Some(0.5)), (vec![1.0, 0.0, 0.1], Some(0.1))]
        {
            assert_eq!(median(&mut values.clone()), expected, "{values:?}");
        }
    }

    #[test]
    fn a_nearest_rank_is_one_of_the_values() {
        let values = [4.0, 1.0, 3.0, 2.0];
        for (q, expected) in [(0.0, 1.0), (0.25, 1.0), (0.5, 2.0), (0.51, 3.0), (0.95, 4.0), (1.0, 4.0)] {
            assert_eq!(nearest_rank(&mut values.clone(), q), Some(expected), "{q}");
        }
        assert_eq!(nearest_rank(&mut [], 0.5), None);
    }
}
