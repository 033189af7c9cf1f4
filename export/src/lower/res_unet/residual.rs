//! Two 3x3 convolutions beside a shortcut.

use seg_nets::res_unet::{Residual, Shortcut};
use seg_onnx::graph::{Scope, Value};

use crate::lower::{Lower, LowerError};

impl Lower for Residual {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let y = self.conv1.lower(at, "conv1", x)?;
        let y = self.norm1.lower(at, "norm1", y)?;
        let y = at.relu("relu1", y)?;
        let y = self.conv2.lower(at, "conv2", y)?;
        let y = self.norm2.lower(at, "norm2", y)?;
        let x = match &self.shortcut {
            Some(Shortcut { conv, norm }) => {
                let at = &mut at.scope("shortcut");
                let x = conv.lower(at, "conv", x)?;
                norm.lower(at, "norm", x)?
            }
            None => x,
        };
        let sum = at.add("sum", y, x)?;
        Ok(at.relu("relu2", sum)?)
    }
}
