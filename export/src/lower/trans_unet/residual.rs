//! A residual stage: several units, of which the first changes size and channels.

use seg_nets::trans_unet::Residual;
use seg_onnx::graph::{Scope, Value};

use crate::lower::{Lower, LowerError};

impl Lower for Residual {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let mut units = self.units.iter().enumerate();
        units.try_fold(x, |x, (index, unit)| unit.lower(at, &format!("units.{index}"), x))
    }
}
