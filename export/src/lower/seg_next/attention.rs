//! Attention: a map of weights by convolutions of several sizes, between two pointwise ones.

use seg_nets::seg_next::Attention;
use seg_onnx::graph::{Scope, Value};

use crate::lower::{Lower, LowerError};

impl Lower for Attention {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let g = self.conv1.lower(at, "conv1", x)?;
        let g = at.gelu("gelu", g)?;
        let local = self.local.lower(at, "local", g)?;
        let strip_7 = self.strip_7.lower(at, "strip_7", local)?;
        let strip_11 = self.strip_11.lower(at, "strip_11", local)?;
        let strip_21 = self.strip_21.lower(at, "strip_21", local)?;
        let sum = at.add("sum_7", local, strip_7)?;
        let sum = at.add("sum_11", sum, strip_11)?;
        let sum = at.add("sum_21", sum, strip_21)?;
        let mix = self.mix.lower(at, "mix", sum)?;
        let y = at.mul("product", mix, g)?;
        let y = self.conv2.lower(at, "conv2", y)?;
        Ok(at.add("sum", x, y)?)
    }
}
