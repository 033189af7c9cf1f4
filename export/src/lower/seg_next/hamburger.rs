//! The map's main parts: a factorisation between two pointwise convolutions.

use seg_nets::seg_next::Hamburger;
use seg_onnx::graph::{Scope, Value};

use crate::lower::{Lower, LowerError};

impl Lower for Hamburger {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let y = self.conv.lower(at, "conv", x)?;
        let y = at.relu("relu_in", y)?;
        let y = self.factors.lower(at, "factors", y)?;
        let y = self.out.lower(at, "out", y)?;
        let y = at.add("sum", x, y)?;
        Ok(at.relu("relu", y)?)
    }
}
