//! Attention: AMS between two pointwise convolutions.

use seg_nets::amsunet::Attention;
use seg_onnx::graph::{Scope, Value};

use crate::lower::{Lower, LowerError};

impl Lower for Attention {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let x = self.conv1.lower(at, "conv1", x)?;
        let x = at.gelu("gelu", x)?;
        let x = self.ams.lower(at, "ams", x)?;
        self.conv2.lower(at, "conv2", x)
    }
}
