//! A step of the encoder: half the size.

use seg_nets::conv_unext::Down;
use seg_onnx::graph::{Scope, Value};

use crate::lower::{Lower, LowerError};

impl Lower for Down {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let x = self.norm.lower(at, "norm", x)?;
        let x = self.conv.lower(at, "conv", x)?;
        let mut blocks = self.blocks.iter().enumerate();
        blocks.try_fold(x, |x, (index, block)| block.lower(at, &format!("blocks.{index}"), x))
    }
}
