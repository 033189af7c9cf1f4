//! A residual block that is normalised and activated before each convolution.

use seg_nets::res_unet_canonical::Residual;
use seg_onnx::graph::{Scope, Value};

use crate::lower::{Lower, LowerError};

impl Lower for Residual {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let y = self.norm1.lower(at, "norm1", x)?;
        let y = at.relu("relu1", y)?;
        let y = self.conv1.lower(at, "conv1", y)?;
        let y = self.norm2.lower(at, "norm2", y)?;
        let y = at.relu("relu2", y)?;
        let y = self.conv2.lower(at, "conv2", y)?;
        let x = self.skip.lower(at, "skip", x)?;
        let x = self.skip_norm.lower(at, "skip_norm", x)?;
        Ok(at.add("sum", y, x)?)
    }
}
