//! GELU, the exact one, with the exact gradient on every backend.

use std::f64::consts::FRAC_1_SQRT_2;

use burn::tensor::{Tensor, activation};

use super::is_cpu;

/// `x * (1 + erf(x / sqrt(2))) / 2`, element by element.
///
/// Burn's GELU has the exact gradient on the CPU only: its CubeCL backends differentiate the tanh approximation. There
/// the operators are written out, so that the gradient is theirs (and kernel fusion makes one kernel of them).
pub fn gelu(x: Tensor<4>) -> Tensor<4> {
    if is_cpu(&x) { activation::gelu(x) } else { composed(x) }
}

/// GELU from operators whose gradients are exact on every backend.
fn composed(x: Tensor<4>) -> Tensor<4> {
    let normal = x.clone().mul_scalar(FRAC_1_SQRT_2).erf().add_scalar(1.0).mul_scalar(0.5);
    x * normal
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    /// `(x, GELU(x), GELU'(x))`, from 30-digit arithmetic of `x Phi(x)` and `Phi(x) + x phi(x)`.
    const VALUES: [(f32, f32, f32); 7] = [
        (-4.0, -0.000_126_684_97, -0.000_503_649_66),
        (-1.5, -0.100_210_81, -0.127_469_31),
        (-0.5, -0.154_268_77, 0.132_504_87),
        (0.0, 0.0, 0.5),
        (0.5, 0.345_731_23, 0.867_495_13),
        (1.0, 0.841_344_75, 1.083_315_5),
        (3.0, 2.995_950_3, 1.011_945_7),
    ];

    #[test]
    fn value_and_gradient_are_exact() {
        let device = Device::flex().autodiff();
        let forms: [(&str, fn(Tensor<4>) -> Tensor<4>); 2] = [("chosen", gelu), ("composed", composed)];
        for (form, function) in forms {
            let data = TensorData::new(VALUES.map(|(x, _, _)| x).to_vec(), [1, 1, 1, VALUES.len()]);
            let x = Tensor::<4>::from_data(data, &device).require_grad();
            let y = function(x.clone());
            let gradient = x.grad(&y.clone().sum().backward()).unwrap();
            let y: Vec<f32> = y.into_data().try_to_vec().unwrap();
            let gradient: Vec<f32> = gradient.into_data().try_to_vec().unwrap();
            for (i, (x, value, slope)) in VALUES.into_iter().enumerate() {
                assert!((y[i] - value).abs() < 3e-7, "{form}: GELU({x}) = {}, expected {value}", y[i]);
                // The tanh approximation is off by up to 1e-3 here.
                assert!((gradient[i] - slope).abs() < 1e-6, "{form}: GELU'({x}) = {}, expected {slope}", gradient[i]);
            }
        }
    }
}
