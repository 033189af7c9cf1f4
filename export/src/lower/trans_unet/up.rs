//! A step of the decoder: twice the size, joined with a skip where there is one.

use seg_nets::trans_unet::Up;
use seg_onnx::graph::{Coordinates, ResizeMode, Scope, Value};

use crate::lower::{Lower, LowerError};

impl Lower<Vec<Value>> for Up {
    fn lower(&self, at: &mut Scope<'_>, name: &str, inputs: Vec<Value>) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let deep = at.upsample("upsample", inputs[0], 2, ResizeMode::Linear, Coordinates::AlignCorners)?;
        let joined = match inputs.get(1) {
            Some(&skip) => {
                let skip = at.pad_to_size_of("pad", skip, deep)?;
                at.concat_channels("joined", &[deep, skip])?
            }
            None => deep,
        };
        self.conv.lower(at, "conv", joined)
    }
}
