//! The unit of a residual stage: three convolutions, and what it was given.

use seg_nets::trans_unet::{Shortcut, Unit};
use seg_onnx::graph::{Scope, Value};

use crate::lower::{Lower, LowerError};

impl Lower for Unit {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let y = self.conv1.lower(at, "conv1", x)?;
        let y = self.norm1.lower(at, "norm1", y)?;
        let y = at.relu("relu1", y)?;
        let y = self.conv2.lower(at, "conv2", y)?;
        let y = self.norm2.lower(at, "norm2", y)?;
        let y = at.relu("relu2", y)?;
        let y = self.conv3.lower(at, "conv3", y)?;
        let y = self.norm3.lower(at, "norm3", y)?;
        let x = match &self.shortcut {
            Some(shortcut) => shortcut.lower(at, "shortcut", x)?,
            None => x,
        };
        let sum = at.add("sum", x, y)?;
        Ok(at.relu("relu", sum)?)
    }
}

impl Lower for Shortcut {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let x = self.conv.lower(at, "conv", x)?;
        self.norm.lower(at, "norm", x)
    }
}
