//! CBAM: a skip connection weighted by channel, then by place.

use seg_nets::amsunet::Cbam;
use seg_onnx::graph::{AveragePool, BuildError, MaxPool, Op, Scope, Tensor, Value};

use crate::lower::{Lower, LowerError};

impl Lower for Cbam {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let average = at.global_average_pool("average", x)?;
        let largest = at.global_max_pool("largest", x)?;
        // Both are pixels of one image, so that the shared layers see them at once.
        let both = at.node("both", Op::Concat { axis: 3 }, &[average, largest])?;
        let hidden = self.reduce.lower(at, "reduce", both)?;
        let hidden = at.relu("relu", hidden)?;
        let restored = self.restore.lower(at, "restore", hidden)?;
        let average = column(at, "of_average", restored, 0)?;
        let largest = column(at, "of_largest", restored, 1)?;
        let sum = at.add("sum", average, largest)?;
        let channel = at.sigmoid("channel_sigmoid", sum)?;
        let y = at.mul("channel_product", x, channel)?;
        // Pooling moves over the last two axes, so the channels become one of them.
        let channels = self.restore.weight.dims()[0];
        let rows = at.node("rows", Op::Transpose { perm: PERM.into() }, &[y])?;
        let (kernel, strides) = ([channels, 1], [channels, 1]);
        let mean = at.average_pool("row_means", rows, AveragePool { kernel, strides })?;
        let mean = at.node("means", Op::Transpose { perm: PERM.into() }, &[mean])?;
        let largest = at.max_pool("row_maxima", rows, MaxPool { kernel, strides, pads: [0; 4] })?;
        let largest = at.node("maxima", Op::Transpose { perm: PERM.into() }, &[largest])?;
        let maps = at.concat_channels("maps", &[mean, largest])?;
        let weights = self.spatial.lower(at, "spatial", maps)?;
        let weights = self.norm.lower(at, "norm", weights)?;
        let weights = at.sigmoid("spatial_sigmoid", weights)?;
        Ok(at.mul("product", y, weights)?)
    }
}

/// The order of axes that exchanges channels and rows; twice, it is the identity.
const PERM: [usize; 4] = [0, 2, 1, 3];

/// Adds one column of an image.
fn column(at: &mut Scope<'_>, name: &str, x: Value, index: i64) -> Result<Value, BuildError> {
    let mut inside = at.scope(name);
    let starts = inside.constant("starts", Tensor::vector(vec![index]))?;
    let ends = inside.constant("ends", Tensor::vector(vec![index + 1]))?;
    let axes = inside.constant("axes", Tensor::vector(vec![3_i64]))?;
    at.node(name, Op::Slice, &[x, starts, ends, axes])
}
