//! A linear map of the channels, with its weight as PyTorch's `Linear` has it.

use seg_nets::blocks::Linear;
use seg_onnx::graph::{Conv, Op, Scope, Value};

use crate::lower::{Lower, LowerError, constant, keep};

impl Lower for Linear {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let [channels_out, channels_in] = self.weight.dims();
        let module = &mut at.scope(name);
        keep(module, "weight", constant(self.weight.val()))?;
        let bias = module.constant("bias", constant(self.bias.val()))?;
        let kernel = constant(self.weight.val().reshape([channels_out, channels_in, 1, 1]));
        let kernel = at.scope(&format!("{name}_kernel")).constant("value", kernel)?;
        Ok(at.node(name, Op::Conv(Conv::default()), &[x, kernel, bias])?)
    }
}
