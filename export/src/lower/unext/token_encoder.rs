//! A step of the encoder that mixes tokens: half the size, a token for each pixel.

use seg_nets::unext::TokenEncoder;
use seg_onnx::graph::{Scope, Value};

use crate::lower::{Lower, LowerError};

impl Lower for TokenEncoder {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let x = self.conv.lower(at, "conv", x)?;
        let x = self.norm.lower(at, "norm", x)?;
        let x = self.block.lower(at, "block", x)?;
        self.norm_out.lower(at, "norm_out", x)
    }
}
