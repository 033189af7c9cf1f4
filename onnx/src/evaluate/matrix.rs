//! Matrix products.

use ndarray::{ArrayD, Axis, Ix2, IxDyn};
use rayon::prelude::*;

use super::OpError;

/// Multiplies `[..., m, k]` by `[..., k, n]`; axes in front that have the size 1 or are not there
/// are repeated.
pub(super) fn product(a: &ArrayD<f64>, b: &ArrayD<f64>) -> Result<ArrayD<f64>, OpError> {
    const MISFIT: OpError = OpError::Operands("matrices that can be multiplied");
    let (Some(front_a), Some(front_b)) = (a.ndim().checked_sub(2), b.ndim().checked_sub(2)) else {
        return Err(MISFIT);
    };
    let (rows, columns) = (a.shape()[front_a], b.shape()[front_b + 1]);
    if a.shape()[front_a + 1] != b.shape()[front_b] {
        return Err(MISFIT);
    }
    let rank = front_a.max(front_b);
    let size =
        |shape: &[usize], front: usize, axis: usize| (axis + front).checked_sub(rank).map_or(1, |axis| shape[axis]);
    let front: Vec<_> = (0..rank)
        .map(|axis| match (size(a.shape(), front_a, axis), size(b.shape(), front_b, axis)) {
            (1, other) => other,
            (size, _) => size,
        })
        .collect();
    let with = |matrix: [usize; 2]| IxDyn(&[&front[..], &matrix].concat());
    let inner = a.shape()[front_a + 1];
    let (Some(a), Some(b)) = (a.broadcast(with([rows, inner])), b.broadcast(with([inner, columns]))) else {
        return Err(MISFIT);
    };
    let count: usize = front.iter().product();
    let places: Vec<Vec<usize>> = (0..count)
        .map(|mut index| {
            let mut place = vec![0; rank];
            for axis in (0..rank).rev() {
                place[axis] = index % front[axis];
                index /= front[axis];
            }
            place
        })
        .collect();
    let products: Vec<_> = places
        .par_iter()
        .map(|place| {
            let matrix = |all: &ndarray::ArrayViewD<'_, f64>| {
                let view = place.iter().fold(all.clone(), |view, &at| view.index_axis_move(Axis(0), at));
                view.into_dimensionality::<Ix2>().map(|view| view.to_owned())
            };
            Ok(matrix(&a).map_err(|_| MISFIT)?.dot(&matrix(&b).map_err(|_| MISFIT)?))
        })
        .collect::<Result<_, OpError>>()?;
    let values = products.iter().flat_map(|product| product.iter().copied()).collect();
    ArrayD::from_shape_vec(with([rows, columns]), values).map_err(|_| MISFIT)
}
