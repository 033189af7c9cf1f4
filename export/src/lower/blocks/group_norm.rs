//! Group normalisation: of groups of channels over the whole map.

use seg_nets::blocks::GroupNorm;
use seg_onnx::graph::{Op, Scope, Tensor, Value};

use crate::lower::{Lower, LowerError, constant};

/// The `epsilon` of the normalisation that only scales: with its variance it is exactly 1, also in
/// 32 bits. Some readers of ONNX refuse 0.
const EPSILON: f32 = 1.0 / 131_072.0;

impl Lower for GroupNorm {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let [channels] = self.weight.dims();
        let weight = at.constant("weight", constant(self.weight.val()))?;
        let bias = at.constant("bias", constant(self.bias.val()))?;
        // A group becomes one channel of more rows; `GroupNormalization` needs opset 21.
        let x = at.reshape("groups", x, [0, self.groups as i64, -1, 0])?;
        let x = at.instance_norm("norm", x, self.groups, self.epsilon as f32)?;
        let x = at.reshape("channels", x, [0, channels as i64, -1, 0])?;
        let mut module = at.scope("affine");
        let mean = module.constant("mean", Tensor::vector(vec![0.0; channels]))?;
        let variance = module.constant("variance", Tensor::vector(vec![1.0 - EPSILON; channels]))?;
        let affine = Op::BatchNormalization { epsilon: EPSILON };
        Ok(at.node("affine", affine, &[x, weight, bias, mean, variance])?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variance_and_epsilon_add_up_to_exactly_one() {
        assert_eq!((1.0 - EPSILON) + EPSILON, 1.0);
        assert_eq!(f64::from(1.0 - EPSILON) + f64::from(EPSILON), 1.0);
    }
}
