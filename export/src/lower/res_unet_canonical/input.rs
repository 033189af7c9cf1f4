//! The first stage: two convolutions beside one.

use seg_nets::res_unet_canonical::Input;
use seg_onnx::graph::{Scope, Value};

use crate::lower::{Lower, LowerError};

impl Lower for Input {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let y = self.conv1.lower(at, "conv1", x)?;
        let y = self.norm.lower(at, "norm", y)?;
        let y = at.relu("relu", y)?;
        let y = self.conv2.lower(at, "conv2", y)?;
        let x = self.skip.lower(at, "skip", x)?;
        Ok(at.add("sum", y, x)?)
    }
}
