//! A pointwise convolution with group normalisation.

use seg_nets::seg_next::ConvNorm;
use seg_onnx::graph::{Scope, Value};

use crate::lower::{Lower, LowerError};

impl Lower for ConvNorm {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let x = self.conv.lower(at, "conv", x)?;
        self.norm.lower(at, "norm", x)
    }
}
