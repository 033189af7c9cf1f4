//! The exact Euclidean distance transform of A. Meijster, J. B. T. M. Roerdink and W. H. Hesselink,
//! *A general algorithm for computing distance transforms in linear time*, 2000, with pixels of any
//! height and width.
//!
//! With pixels of 1x1 all numbers are integers, so that no distance is rounded before its root is
//! taken.

use rayon::prelude::*;

/// Returns the squared distance of every pixel, row by row, to the nearest of `points`, in the unit
/// of `spacing`: the distances between rows and between columns.
///
/// Without points the distances have no meaning.
pub fn squared_distances(width: usize, height: usize, points: &[(usize, usize)], spacing: [f64; 2]) -> Vec<f64> {
    // More rows than any pixel of a column is from another one.
    let far = (width + height) as i64;
    let mut along_columns = vec![far; width * height];
    for (x, y) in points {
        along_columns[y * width + x] = 0;
    }
    for index in width..along_columns.len() {
        along_columns[index] = along_columns[index].min(along_columns[index - width] + 1);
    }
    for index in (width..along_columns.len()).rev() {
        along_columns[index - width] = along_columns[index - width].min(along_columns[index] + 1);
    }
    let rows = along_columns.par_chunks(width.max(1));
    rows.flat_map_iter(|columns| lower_envelope(columns, far, spacing).into_iter()).collect()
}

/// Computes for each `x` the smallest `(across (x - i))^2 + (down columns[i])^2` over all `i` whose
/// column has a point, and so fewer rows than `far` to it.
fn lower_envelope(columns: &[i64], far: i64, [down, across]: [f64; 2]) -> Vec<f64> {
    let square = |value: i64| (value * value) as f64;
    let (down, across) = (down * down, across * across);
    let at = |x: i64, column: i64| across * square(x - column) + down * square(columns[column as usize]);
    // Parabolas of the envelope from left to right, each with the first pixel at which it is the
    // lowest.
    let mut envelope: Vec<(i64, i64)> = Vec::new();
    for column in (0..columns.len() as i64).filter(|column| columns[*column as usize] < far) {
        while envelope.last().is_some_and(|(lowest, start)| at(*start, *lowest) > at(*start, column)) {
            envelope.pop();
        }
        let start = envelope.last().map_or(0, |(lowest, _)| {
            // Up to here the parabola before is not above this one.
            let difference = at(0, column) - at(0, *lowest);
            1 + (difference / (2.0 * across * (column - lowest) as f64)).floor() as i64
        });
        if start < columns.len() as i64 {
            envelope.push((column, start));
        }
    }
    let mut envelope = envelope.into_iter().peekable();
    let mut distances = Vec::with_capacity(columns.len());
    while let Some((column, start)) = envelope.next() {
        let end = envelope.peek().map_or(columns.len() as i64, |(_, start)| *start);
        distances.extend((start..end).map(|x| at(x, column)));
    }
    distances
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn every_distance_is_that_to_the_nearest_point() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        for (width, height) in [(1, 1), (1, 9), (13, 1), (17, 11), (8, 40)] {
            for count in [1, 2, 5, 30] {
                let mut point = || (random.random_range(0..width), random.random_range(0..height));
                let points: Vec<_> = (0..count).map(|_| point()).collect();
                for spacing in [[1.0, 1.0], [0.37, 2.9], [5.0, 0.1], [0.01, 7.0]] {
                    let found = squared_distances(width, height, &points, spacing);
                    let nearest = |pixel: usize| {
                        let (x, y) = (pixel % width, pixel / width);
                        let squared = |point: &(usize, usize)| {
                            let (across, down) = (point.0.abs_diff(x) as f64, point.1.abs_diff(y) as f64);
                            (spacing[1] * across).powi(2) + (spacing[0] * down).powi(2)
                        };
                        points.iter().map(squared).fold(f64::INFINITY, f64::min)
                    };
                    let expected: Vec<_> = (0..width * height).map(nearest).collect();
                    let agree = |(found, expected): (&f64, &f64)| match spacing {
                        [1.0, 1.0] => found == expected,
                        _ => (found - expected).abs() <= 1e-12 * expected,
                    };
                    let name = format!("{width}x{height}, {points:?}, {spacing:?}");
                    assert_eq!(found.len(), expected.len(), "{name}");
                    assert!(found.iter().zip(&expected).all(agree), "{name}");
                }
            }
        }
    }
}
