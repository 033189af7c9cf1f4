//! The pointwise feed-forward part of a layer.

use seg_nets::trans_unet::Mlp;
use seg_onnx::graph::{Scope, Value};

use crate::lower::{Lower, LowerError};

impl Lower for Mlp {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let x = self.expand.lower(at, "expand", x)?;
        let x = at.gelu("gelu", x)?;
        self.project.lower(at, "project", x)
    }
}
