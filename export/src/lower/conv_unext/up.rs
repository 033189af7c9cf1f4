//! A step of the decoder: the deep features at the skip's size, joined with the gated skip.

use seg_nets::conv_unext::Up;
use seg_onnx::graph::{Coordinates, ResizeMode, Scope, Value};

use crate::lower::{Lower, LowerError};

impl Lower<[Value; 2]> for Up {
    fn lower(&self, at: &mut Scope<'_>, name: &str, [deep, skip]: [Value; 2]) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let deep = self.norm.lower(at, "norm", deep)?;
        let deep = at.upsample("upsample", deep, 2, ResizeMode::Linear, Coordinates::AlignCorners)?;
        // One row or column is missing at most, and `floor(1 / 2)` of it comes before.
        let deep = at.pad_to_size_of("pad", deep, skip)?;
        let skip = self.gate.lower(at, "gate", [deep, skip])?;
        let joined = at.concat_channels("joined", &[skip, deep])?;
        let joined = self.conv.lower(at, "conv", joined)?;
        self.block.lower(at, "block", joined)
    }
}
