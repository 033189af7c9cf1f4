//! The block of tokens: an MLP between whose linear maps the channels are shifted.

use seg_nets::unext::ShiftedBlock;
use seg_onnx::graph::{Scope, Value};

use super::shift::shift;
use crate::lower::{Lower, LowerError};

impl Lower for ShiftedBlock {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let [channels, _] = self.expand.weight.dims();
        let y = self.norm.lower(at, "norm", x)?;
        let y = shift(at, "shift_rows", y, channels, 2)?;
        let y = self.expand.lower(at, "expand", y)?;
        let y = self.local.lower(at, "local", y)?;
        let y = at.gelu("gelu", y)?;
        let y = shift(at, "shift_columns", y, channels, 3)?;
        let y = self.project.lower(at, "project", y)?;
        Ok(at.add("sum", x, y)?)
    }
}
