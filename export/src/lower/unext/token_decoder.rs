//! A step of the decoder that mixes tokens: twice the size, and the skip added.

use seg_nets::unext::TokenDecoder;
use seg_onnx::graph::{Scope, Value};

use crate::lower::{Lower, LowerError};

impl Lower<[Value; 2]> for TokenDecoder {
    fn lower(&self, at: &mut Scope<'_>, name: &str, inputs: [Value; 2]) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let x = self.join.lower(at, "join", inputs)?;
        let x = self.block.lower(at, "block", x)?;
        self.norm_out.lower(at, "norm_out", x)
    }
}
