//! Group normalisation: of groups of channels over the whole map.

use seg_nets::blocks::GroupNorm;
use seg_onnx::graph::{BatchNorm, Scope, Tensor, Value};

use crate::lower::{Lower, LowerError, constant};

impl Lower for GroupNorm {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let [channels] = self.weight.dims();
        // A group becomes one channel of more rows; `GroupNormalization` needs opset 21.
        let x = at.reshape("groups", x, [0, self.groups as i64, -1, 0])?;
        let x = at.instance_norm("norm", x, self.groups, self.epsilon as f32)?;
        let x = at.reshape("channels", x, [0, channels as i64, -1, 0])?;
        let affine = BatchNorm {
            weight: constant(self.weight.val()),
            bias: constant(self.bias.val()),
            running_mean: Tensor::vector(vec![0.0; channels]),
            running_var: Tensor::vector(vec![1.0; channels]),
            epsilon: 0.0,
        };
        Ok(at.batch_norm("affine", x, affine)?)
    }
}
