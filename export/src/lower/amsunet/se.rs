//! SE: a skip connection weighted by channel.

use seg_nets::amsunet::Se;
use seg_onnx::graph::{Scope, Value};

use crate::lower::{Lower, LowerError};

impl Lower for Se {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let average = at.global_average_pool("average", x)?;
        let hidden = self.reduce.lower(at, "reduce", average)?;
        let hidden = at.relu("relu", hidden)?;
        let weights = self.restore.lower(at, "restore", hidden)?;
        let weights = at.sigmoid("sigmoid", weights)?;
        Ok(at.mul("product", x, weights)?)
    }
}
