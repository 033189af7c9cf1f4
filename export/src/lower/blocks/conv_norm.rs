//! A 3x3 convolution with batch normalisation.

use seg_nets::blocks::ConvNorm;
use seg_onnx::graph::{Scope, Value};

use crate::lower::{Lower, LowerError};

impl Lower for ConvNorm {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let x = self.conv.lower(at, "conv", x)?;
        self.norm.lower(at, "norm", x)
    }
}
