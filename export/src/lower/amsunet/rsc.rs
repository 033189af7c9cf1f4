//! RSC: what the decoder sees of a skip connection, weighted by place and by channel.

use seg_nets::amsunet::Rsc;
use seg_onnx::graph::{Scope, Value};

use crate::lower::{Lower, LowerError};

impl Lower for Rsc {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let spatial = self.spatial.lower(at, "spatial", x)?;
        let spatial = at.sigmoid("spatial_sigmoid", spatial)?;
        let spatial = at.mul("spatial_product", x, spatial)?;
        let channel = at.global_average_pool("average", x)?;
        let channel = self.reduce.lower(at, "reduce", channel)?;
        let channel = at.relu("relu", channel)?;
        let channel = self.restore.lower(at, "restore", channel)?;
        let channel = at.sigmoid("channel_sigmoid", channel)?;
        let channel = at.mul("channel_product", x, channel)?;
        let product = at.mul("product", spatial, channel)?;
        Ok(at.add("sum", x, product)?)
    }
}
