//! The joining of the last three stages.

use seg_nets::seg_next::Squeeze;
use seg_onnx::graph::{Coordinates, ResizeMode, Scope, Value};

use crate::lower::{Lower, LowerError};

impl Lower<[Value; 3]> for Squeeze {
    fn lower(&self, at: &mut Scope<'_>, name: &str, [x, y, z]: [Value; 3]) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let y = at.resize_to_size_of("resize2", y, x, ResizeMode::Linear, Coordinates::HalfPixel)?;
        let z = at.resize_to_size_of("resize4", z, x, ResizeMode::Linear, Coordinates::HalfPixel)?;
        let joined = at.concat_channels("joined", &[x, y, z])?;
        let x = self.layer.lower(at, "layer", joined)?;
        Ok(at.relu("relu", x)?)
    }
}
