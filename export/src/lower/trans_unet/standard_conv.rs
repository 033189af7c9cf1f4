//! A convolution whose filters are standardised, which is done here once.

use burn::nn::conv::Conv2d;
use seg_nets::trans_unet::StandardConv;
use seg_onnx::graph::{Conv, Op, Scope, Value};

use crate::lower::{Lower, LowerError, constant, keep};

impl Lower for StandardConv {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        keep(&mut at.scope(name), "weight", constant(self.weight.val()))?;
        let Conv2d { weight, kernel_size: [height, width], stride, .. } = self.standardized();
        let kernel = at.scope(&format!("{name}_kernel")).constant("value", constant(weight.val()))?;
        let pads = [height / 2, width / 2, height / 2, width / 2];
        let conv = Conv { strides: stride, pads, ..Conv::default() };
        Ok(at.node(name, Op::Conv(conv), &[x, kernel])?)
    }
}
