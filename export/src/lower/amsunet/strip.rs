//! A large depthwise kernel as two strips.

use seg_nets::amsunet::Strip;
use seg_onnx::graph::{Scope, Value};

use crate::lower::{Lower, LowerError};

impl Lower for Strip {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let x = self.horizontal.lower(at, "horizontal", x)?;
        self.vertical.lower(at, "vertical", x)
    }
}
