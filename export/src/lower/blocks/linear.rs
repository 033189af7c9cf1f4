//! A linear map of the channels, with its weight as PyTorch's `Linear` has it.

use seg_nets::blocks::Linear;
use seg_onnx::graph::{Conv, Scope, Value};

use crate::lower::{Lower, LowerError, constant};

impl Lower for Linear {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let [channels_out, channels_in] = self.weight.dims();
        let weight = constant(self.weight.val().reshape([channels_out, channels_in, 1, 1]));
        Ok(at.conv(name, x, weight, Some(constant(self.bias.val())), Conv::default())?)
    }
}
