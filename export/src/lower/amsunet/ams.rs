//! AMS: the atrous multi-scale attention map, and its product with what it attends to.

use seg_nets::amsunet::Ams;
use seg_onnx::graph::{Scope, Value};

use crate::lower::{Lower, LowerError};

impl Lower for Ams {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let local = self.local.lower(at, "local", x)?;
        let atrous = self.atrous.lower(at, "atrous", local)?;
        let strip_5 = self.strip_5.lower(at, "strip_5", atrous)?;
        let strip_7 = self.strip_7.lower(at, "strip_7", atrous)?;
        let strip_11 = self.strip_11.lower(at, "strip_11", atrous)?;
        let sum = at.add("sum", local, atrous)?;
        let sum = at.add("sum_5", sum, strip_5)?;
        let sum = at.add("sum_7", sum, strip_7)?;
        let sum = at.add("sum_11", sum, strip_11)?;
        let mix = self.mix.lower(at, "mix", sum)?;
        Ok(at.mul("product", mix, x)?)
    }
}
