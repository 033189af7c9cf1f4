//! The embedding of a map's pixels as tokens, each with its place.

use seg_nets::trans_unet::Embedding;
use seg_onnx::graph::{Scope, Value};

use crate::lower::{Lower, LowerError, constant, keep};

impl Lower for Embedding {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let [_, tokens, _] = self.position.dims();
        keep(at, "position", constant(self.position.val()))?;
        let x = self.conv.lower(at, "conv", x)?;
        let planes = constant(self.planes(tokens.isqrt(), tokens.isqrt()));
        let position = at.scope("planes").constant("value", planes)?;
        Ok(at.add("sum", x, position)?)
    }
}
