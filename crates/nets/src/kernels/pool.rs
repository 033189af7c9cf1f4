//! Pooling that halves a map.

use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Tensor, module};

use super::{fused, in_float32, is_fused};

/// Takes the largest value of each 2x2 square; an odd last row or column is left out.
///
/// # Shapes
/// - input: `[n, c, h, w]`
/// - output: `[n, c, floor(h / 2), floor(w / 2)]`
pub fn max_pool_2x2(x: Tensor<4>) -> Tensor<4> {
    if is_fused(&x) {
        return fused::max_pool_2x2(x);
    }
    // The largest of some 16-bit numbers is one of them, so nothing is rounded on the way.
    in_float32(x, |x| module::max_pool2d(x, MaxPoolOptions::new([2, 2])))
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    #[test]
    fn an_odd_last_row_and_column_are_left_out() {
        let rows = [[-3.0, -1.0, 9.0], [-2.0, -5.0, 9.0], [9.0, 9.0, 9.0]];
        let y = max_pool_2x2(Tensor::<4>::from_data([[rows]], &Device::flex()));
        assert_eq!(y.into_data(), TensorData::from([[[[-1.0_f32]]]]));
    }
}
