//! Quantiles, interpolated linearly, as NumPy's are unless told otherwise.

/// The value below which the share `q` of the `sorted` values lies, interpolated between neighbours; `None` of nothing.
///
/// It is R. J. Hyndman's and Y. Fan's definition 7.
pub(crate) fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = q * last as f64;
    let below = (place.floor() as usize).min(last);
    let above = (below + 1).min(last);
    Some(sorted[below] + (place - below as f64) * (sorted[above] - sorted[below]))
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
}
