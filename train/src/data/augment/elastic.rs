//! A smooth random deformation: a cubic B-spline through displaced control points.

use rand::Rng;

/// The distance of the control points, in pixels.
const SPACING: f64 = 64.0;

/// The farthest that a control point may move along an axis, in pixels.
///
/// A uniform cubic B-spline over points that move by at most `a` changes by at most `1.5 a / h` per
/// pixel, `h` being their distance: the derivatives of its four weights are at most 1.5 in sum.
/// With both axes that is `3 a / h`, and a displacement that changes by less than a pixel per pixel
/// maps no two points to the same one. So up to a third of the distance nothing folds.
pub(super) const AMPLITUDE_MAX: f64 = 21.0;

/// Displacements over a view.
#[derive(Debug)]
pub(super) struct Elastic {
    /// Control points per row.
    columns: usize,
    /// The displacements of the control points along x and y, row by row, in pixels.
    points: Vec<[f32; 2]>,
}

impl Elastic {
    /// Draws a deformation of a view whose control points move by at most `amplitude`.
    pub(super) fn draw([height, width]: [u32; 2], amplitude: f64, rng: &mut impl Rng) -> Self {
        // Four weights reach one point to the left and two to the right.
        let [rows, columns] = [height, width].map(|side| (f64::from(side) / SPACING) as usize + 4);
        let amplitude = amplitude as f32;
        let points =
            (0..rows * columns).map(|_| [0; 2].map(|_: i32| rng.random_range(-amplitude..=amplitude))).collect();
        Self { columns, points }
    }

    /// Returns the displacements of the points of one row, which is `y` pixels from the top.
    pub(super) fn row(&self, y: f64) -> ElasticRow {
        let (first, weights) = weights(y);
        ElasticRow { points: (0..self.columns).map(|column| self.column(column, first, weights)).collect() }
    }

    /// Returns the weighted sum of four control points of a column, from row `first` on.
    fn column(&self, column: usize, first: usize, weights: [f32; 4]) -> [f32; 2] {
        let point = |row| -> [f32; 2] { self.points[(first + row) * self.columns + column] };
        [0, 1].map(|axis| (0..4).map(|row| weights[row] * point(row)[axis]).sum())
    }
}

/// Displacements along one row of a view.
pub(super) struct ElasticRow {
    points: Vec<[f32; 2]>,
}

impl ElasticRow {
    /// Returns the displacement along x and y of the point `x` pixels from the left.
    pub(super) fn at(&self, x: f64) -> [f64; 2] {
        let (first, weights) = weights(x);
        let points = &self.points[first..first + 4];
        [0, 1].map(|axis| f64::from((0..4).map(|point| weights[point] * points[point][axis]).sum::<f32>()))
    }
}

/// Returns the first of the four control points around a position, and their weights.
fn weights(position: f64) -> (usize, [f32; 4]) {
    let cell = position / SPACING;
    let first = cell as usize;
    let t = (cell - first as f64) as f32;
    let s = 1.0 - t;
    (
        first,
        [s * s * s, 3.0 * t * t * (t - 2.0) + 4.0, 3.0 * s * s * (s - 2.0) + 4.0, t * t * t].map(|weight| weight / 6.0),
    )
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn the_weights_are_shares() {
        for position in [0.0, 0.5, 31.9, 64.0, 100.0, 479.5] {
            let (_, weights) = weights(position);
            assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-6 && weights.iter().all(|weight| *weight >= 0.0));
        }
    }

    #[test]
    fn nothing_moves_farther_than_the_control_points_and_nothing_folds() {
        let (height, width) = (200u32, 300u32);
        let elastic = Elastic::draw([height, width], AMPLITUDE_MAX, &mut ChaCha8Rng::seed_from_u64(1));
        let mut farthest = 0.0f64;
        let moved = |x: u32, y: u32| {
            let [dx, dy] = elastic.row(f64::from(y)).at(f64::from(x));
            (dx, dy, f64::from(x) + dx, f64::from(y) + dy)
        };
        for (x, y) in (0..height - 1).flat_map(|y| (0..width - 1).map(move |x| (x, y))) {
            let (dx, dy, here_x, here_y) = moved(x, y);
            farthest = farthest.max(dx.abs()).max(dy.abs());
            assert!(moved(x + 1, y).2 > here_x && moved(x, y + 1).3 > here_y, "it folds at {x},{y}");
        }
        assert!(farthest <= AMPLITUDE_MAX && farthest > AMPLITUDE_MAX / 4.0, "{farthest}");
    }
}
