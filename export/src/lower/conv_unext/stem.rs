//! The first stage: a large kernel whose border is reflected.

use seg_nets::conv_unext::Stem;
use seg_onnx::graph::{Scope, Value};

use super::block::mirrored;
use crate::lower::{Lower, LowerError};

impl Lower for Stem {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let x = mirrored(&self.conv, at, x)?;
        let x = self.norm.lower(at, "norm", x)?;
        let x = at.gelu("gelu", x)?;
        self.block.lower(at, "block", x)
    }
}
