//! Two 3x3 convolutions, each with its normalisation and ReLU.

use seg_nets::blocks::DoubleConv;
use seg_onnx::graph::{Scope, Value};

use crate::lower::{Lower, LowerError};

impl Lower for DoubleConv {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let x = self.conv1.lower(at, "conv1", x)?;
        let x = self.norm1.lower(at, "norm1", x)?;
        let x = at.relu("relu1", x)?;
        let x = self.conv2.lower(at, "conv2", x)?;
        let x = self.norm2.lower(at, "norm2", x)?;
        Ok(at.relu("relu2", x)?)
    }
}
