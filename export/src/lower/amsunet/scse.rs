//! scSE: a skip connection weighted by channel, plus the same weighted by place.

use seg_nets::amsunet::Scse;
use seg_onnx::graph::{Scope, Value};

use crate::lower::{Lower, LowerError};

impl Lower for Scse {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let average = at.global_average_pool("average", x)?;
        let hidden = self.reduce.lower(at, "reduce", average)?;
        let hidden = at.relu("relu", hidden)?;
        let channel = self.restore.lower(at, "restore", hidden)?;
        let channel = at.sigmoid("channel_sigmoid", channel)?;
        let channel = at.mul("channel_product", x, channel)?;
        let spatial = self.spatial.lower(at, "spatial", x)?;
        let spatial = at.sigmoid("spatial_sigmoid", spatial)?;
        let spatial = at.mul("spatial_product", x, spatial)?;
        Ok(at.add("sum", channel, spatial)?)
    }
}
