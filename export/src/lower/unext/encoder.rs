//! A step of the encoder that convolves: half the size.

use seg_nets::unext::Encoder;
use seg_onnx::graph::{MaxPool, Scope, Value};

use crate::lower::{Lower, LowerError};

impl Lower for Encoder {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let x = self.conv.lower(at, "conv", x)?;
        let x = self.norm.lower(at, "norm", x)?;
        let x = at.max_pool("pool", x, MaxPool { kernel: [2, 2], strides: [2, 2], pads: [0; 4] })?;
        Ok(at.relu("relu", x)?)
    }
}
