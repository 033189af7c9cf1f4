//! A step of the decoder that convolves: twice the size, and the skip added.

use seg_nets::unext::Decoder;
use seg_onnx::graph::{Coordinates, ResizeMode, Scope, Value};

use crate::lower::{Lower, LowerError};

impl Lower<[Value; 2]> for Decoder {
    fn lower(&self, at: &mut Scope<'_>, name: &str, [deep, skip]: [Value; 2]) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let deep = self.conv.lower(at, "conv", deep)?;
        let deep = self.norm.lower(at, "norm", deep)?;
        let deep = at.resize_to_size_of("upsample", deep, skip, ResizeMode::Linear, Coordinates::HalfPixel)?;
        let deep = at.relu("relu", deep)?;
        Ok(at.add("sum", deep, skip)?)
    }
}
