//! The pointwise feed-forward part with a depthwise convolution in its wide middle.

use seg_nets::seg_next::FeedForward;
use seg_onnx::graph::{Scope, Value};

use crate::lower::{Lower, LowerError};

impl Lower for FeedForward {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let x = self.expand.lower(at, "expand", x)?;
        let x = self.local.lower(at, "local", x)?;
        let x = at.gelu("gelu", x)?;
        self.project.lower(at, "project", x)
    }
}
