//! The way from a map of the decoder to twice its size.

use seg_nets::attention_unet::Up;
use seg_onnx::graph::{Coordinates, ResizeMode, Scope, Value};

use crate::lower::{Lower, LowerError};

impl Lower for Up {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let x = at.upsample("upsample", x, 2, ResizeMode::Nearest, Coordinates::Asymmetric)?;
        let x = self.conv.lower(at, "conv", x)?;
        let x = self.norm.lower(at, "norm", x)?;
        Ok(at.relu("relu", x)?)
    }
}
