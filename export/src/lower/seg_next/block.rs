//! The block of a stage: attention and feed-forward, each added with a factor per channel.

use burn::module::Param;
use burn::tensor::Tensor;
use seg_nets::seg_next::Block;
use seg_onnx::graph::{Scope, Value};

use crate::lower::{Lower, LowerError, constant, keep};

impl Lower for Block {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let factors = |scale: &Param<Tensor<1>>| constant(scale.val().reshape([1, -1, 1, 1]));
        keep(at, "scale1", constant(self.scale1.val()))?;
        keep(at, "scale2", constant(self.scale2.val()))?;
        let y = self.norm1.lower(at, "norm1", x)?;
        let y = self.attention.lower(at, "attention", y)?;
        let y = at.scale_channels("scaled1", y, factors(&self.scale1))?;
        let x = at.add("sum1", x, y)?;
        let y = self.norm2.lower(at, "norm2", x)?;
        let y = self.feed_forward.lower(at, "feed_forward", y)?;
        let y = at.scale_channels("scaled2", y, factors(&self.scale2))?;
        Ok(at.add("sum2", x, y)?)
    }
}
