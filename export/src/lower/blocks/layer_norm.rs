//! Layer normalisation: of the channels of each pixel.

use seg_nets::blocks::LayerNorm;
use seg_onnx::graph::{Op, Scope, Value};

use crate::lower::{Lower, LowerError, constant};

impl Lower for LayerNorm {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let weight = at.constant("weight", constant(self.weight.val()))?;
        let bias = at.constant("bias", constant(self.bias.val()))?;
        // ONNX normalises the last axes.
        let x = at.transpose("channels_last", x, [0, 2, 3, 1])?;
        let norm = Op::LayerNormalization { axis: 3, epsilon: self.epsilon as f32 };
        let x = at.node("norm", norm, &[x, weight, bias])?;
        Ok(at.transpose("channels_first", x, [0, 3, 1, 2])?)
    }
}
