//! The layers of the transformer.

use seg_nets::trans_unet::Encoder;
use seg_onnx::graph::{Scope, Value};

use crate::lower::{Lower, LowerError};

impl Lower for Encoder {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let mut layers = self.layers.iter().enumerate();
        let x = layers.try_fold(x, |x, (index, layer)| layer.lower(at, &format!("layers.{index}"), x))?;
        self.norm.lower(at, "norm", x)
    }
}
