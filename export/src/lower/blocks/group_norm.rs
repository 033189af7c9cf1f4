//! Group normalisation: of groups of channels over the whole map.

use seg_nets::blocks::GroupNorm;
use seg_onnx::graph::{Op, Scope, Tensor, Value};

use crate::lower::{Lower, LowerError, constant};

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
        let variance = module.constant("variance", Tensor::vector(vec![1.0; channels]))?;
        let affine = Op::BatchNormalization { epsilon: 0.0 };
        Ok(at.node("affine", affine, &[x, weight, bias, mean, variance])?)
    }
}
