//! ConvUNeXt, the whole network.

use seg_nets::conv_unext::ConvUNext;
use seg_nets::topology::Stage;
use seg_onnx::graph::{Scope, Value};

use crate::lower::{LowerError, LowerNetwork, u_shape};

impl LowerNetwork for ConvUNext {
    fn lower_stage(&self, at: &mut Scope<'_>, stage: &Stage, inputs: Vec<Value>) -> Result<Value, LowerError> {
        u_shape::lower_stage(&self.u_shape(), at, stage, inputs)
    }
}
