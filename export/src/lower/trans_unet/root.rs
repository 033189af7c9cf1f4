//! The first stage: a large kernel of stride 2.

use seg_nets::trans_unet::Root;
use seg_onnx::graph::{Scope, Value};

use crate::lower::{Lower, LowerError};

impl Lower for Root {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let x = self.conv.lower(at, "conv", x)?;
        let x = self.norm.lower(at, "norm", x)?;
        Ok(at.relu("relu", x)?)
    }
}
