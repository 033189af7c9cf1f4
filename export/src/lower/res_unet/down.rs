//! A step of the encoder: half the size.

use seg_nets::res_unet::Down;
use seg_onnx::graph::{MaxPool, Scope, Value};

use crate::lower::{Lower, LowerError};

impl Lower for Down {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let x = at.max_pool("pool", x, MaxPool { kernel: [2, 2], strides: [2, 2], pads: [0; 4] })?;
        self.conv.lower(at, "conv", x)
    }
}
