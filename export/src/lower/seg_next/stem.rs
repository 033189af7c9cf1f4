//! The first embedding: two convolutions to a quarter of the size.

use seg_nets::seg_next::Stem;
use seg_onnx::graph::{Scope, Value};

use crate::lower::{Lower, LowerError};

impl Lower for Stem {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let x = self.conv1.lower(at, "conv1", x)?;
        let x = self.norm1.lower(at, "norm1", x)?;
        let x = at.gelu("gelu", x)?;
        let x = self.conv2.lower(at, "conv2", x)?;
        self.norm2.lower(at, "norm2", x)
    }
}
