//! A gate on a skip connection: each pixel is weighted by what the decoder asks for.

use seg_nets::attention_unet::Gate;
use seg_onnx::graph::{Scope, Value};

use crate::lower::{Lower, LowerError};

impl Lower<[Value; 2]> for Gate {
    fn lower(&self, at: &mut Scope<'_>, name: &str, [deep, skip]: [Value; 2]) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let deep = self.deep.lower(at, "deep", deep)?;
        let deep = self.deep_norm.lower(at, "deep_norm", deep)?;
        // Nothing is missing at the sizes that the network takes, but a graph of any size cannot
        // know.
        let deep = at.pad_to_size_of("pad", deep, skip)?;
        let own = self.skip.lower(at, "skip", skip)?;
        let own = self.skip_norm.lower(at, "skip_norm", own)?;
        let sum = at.add("sum", deep, own)?;
        let sum = at.relu("relu", sum)?;
        let weights = self.weigh.lower(at, "weigh", sum)?;
        let weights = self.weigh_norm.lower(at, "weigh_norm", weights)?;
        let weights = at.sigmoid("sigmoid", weights)?;
        Ok(at.mul("product", skip, weights)?)
    }
}
