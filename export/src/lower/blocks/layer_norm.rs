//! Layer normalisation: of the channels of each pixel.

use seg_nets::blocks::LayerNorm;
use seg_onnx::graph::{Scope, Value};

use crate::lower::{Lower, LowerError, constant};

impl Lower for LayerNorm {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let parameters = [&self.weight, &self.bias].map(|values| constant(values.val()));
        // ONNX normalises the last axes.
        let x = at.transpose("channels_last", x, [0, 2, 3, 1])?;
        let x = at.layer_norm("norm", x, parameters, self.epsilon as f32)?;
        Ok(at.transpose("channels_first", x, [0, 3, 1, 2])?)
    }
}
