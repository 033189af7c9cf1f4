//! AMSE: attention and feed-forward part under one residual, normalised before each.

use seg_nets::amsunet::Amse;
use seg_onnx::graph::{Scope, Value};

use crate::lower::{Lower, LowerError};

impl Lower for Amse {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let y = self.norm1.lower(at, "norm1", x)?;
        let y = self.attention.lower(at, "attention", y)?;
        let y = self.norm2.lower(at, "norm2", y)?;
        let y = self.ffn.lower(at, "ffn", y)?;
        let sum = at.add("sum", y, x)?;
        Ok(at.gelu("gelu", sum)?)
    }
}
