//! A node of the decoder: all maps of its level so far, joined with the one below them.

use seg_nets::unet_plus_plus::Join;
use seg_onnx::graph::{Coordinates, ResizeMode, Scope, Value};

use crate::lower::{Lower, LowerError};

impl Lower<Vec<Value>> for Join {
    fn lower(&self, at: &mut Scope<'_>, name: &str, mut inputs: Vec<Value>) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let deep = inputs.pop().expect("a node has skips and deep features");
        let deep = at.upsample("upsample", deep, 2, ResizeMode::Linear, Coordinates::AlignCorners)?;
        // Nothing is missing at the sizes that the network takes, but a graph of any size cannot
        // know.
        let deep = at.pad_to_size_of("pad", deep, inputs[0])?;
        inputs.push(deep);
        let joined = at.concat_channels("joined", &inputs)?;
        self.conv.lower(at, "conv", joined)
    }
}
