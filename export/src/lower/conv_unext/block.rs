//! The block of a large depthwise kernel and two linear maps.

use burn::nn::conv::Conv2d;
use seg_nets::conv_unext::Block;
use seg_onnx::graph::{PadMode, Scope, Value};

use crate::lower::{Lower, LowerError, conv_unpadded};

impl Lower for Block {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let y = mirrored(&self.conv, at, x)?;
        let y = self.norm1.lower(at, "norm1", y)?;
        let y = self.expand.lower(at, "expand", y)?;
        let y = at.gelu("gelu_middle", y)?;
        let y = self.project.lower(at, "project", y)?;
        let y = self.norm2.lower(at, "norm2", y)?;
        let sum = at.add("sum", x, y)?;
        Ok(at.gelu("gelu", sum)?)
    }
}

/// Adds the convolution `conv` of a map that is mirrored at its border by as much as the kernel
/// reaches over it.
pub(super) fn mirrored(conv: &Conv2d, at: &mut Scope<'_>, x: Value) -> Result<Value, LowerError> {
    let [rows, columns] = conv.kernel_size.map(|side| side as u32 / 2);
    let x = at.pad("pad", x, [rows, columns, rows, columns], PadMode::Reflect)?;
    conv_unpadded(conv, at, "conv", x)
}
