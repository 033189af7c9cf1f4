//! The first stage: the one convolution whose border is reflected.

use seg_nets::amsunet::Stem;
use seg_onnx::graph::{PadMode, Scope, Value};

use crate::lower::{Lower, LowerError};

impl Lower for Stem {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let x = at.pad("pad", x, [1, 1, 1, 1], PadMode::Reflect)?;
        let x = self.conv.lower(at, "conv", x)?;
        let x = self.norm.lower(at, "norm", x)?;
        let x = at.gelu("gelu", x)?;
        self.amse.lower(at, "amse", x)
    }
}
