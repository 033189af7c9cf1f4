//! A layer of the transformer.

use seg_nets::trans_unet::Layer;
use seg_onnx::graph::{Scope, Value};

use crate::lower::{Lower, LowerError};

impl Lower for Layer {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let y = self.norm1.lower(at, "norm1", x)?;
        let y = self.attention.lower(at, "attention", y)?;
        let x = at.add("sum1", x, y)?;
        let y = self.norm2.lower(at, "norm2", x)?;
        let y = self.mlp.lower(at, "mlp", y)?;
        Ok(at.add("sum2", x, y)?)
    }
}
