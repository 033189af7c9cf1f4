//! TransUNet, the whole network.

use seg_nets::topology::{Stage, inputs as exactly};
use seg_nets::trans_unet::{Part, TransUNet};
use seg_onnx::graph::{MaxPool, Scope, Value};

use crate::lower::{Lower, LowerError, LowerNetwork};

impl LowerNetwork for TransUNet {
    fn lower_stage(&self, at: &mut Scope<'_>, stage: &Stage, inputs: Vec<Value>) -> Result<Value, LowerError> {
        match self.part(stage) {
            Part::Root(root) => root.lower(at, stage.name, only(inputs)),
            Part::Pooled(block) => {
                let pool = MaxPool { kernel: [3, 3], strides: [2, 2], pads: [0; 4] };
                let x = at.scope(stage.name).max_pool("pool", only(inputs), pool)?;
                block.lower(at, stage.name, x)
            }
            Part::Residual(block) => block.lower(at, stage.name, only(inputs)),
            Part::Embedding(embedding) => embedding.lower(at, stage.name, only(inputs)),
            Part::Encoder(encoder) => encoder.lower(at, stage.name, only(inputs)),
            Part::More(more) => {
                let x = more.lower(at, stage.name, only(inputs))?;
                Ok(at.scope(stage.name).relu("relu", x)?)
            }
            Part::Up(up) => up.lower(at, stage.name, inputs),
            Part::Head(head) => head.lower(at, stage.name, only(inputs)),
        }
    }
}

/// Returns the only input of a stage.
fn only(inputs: Vec<Value>) -> Value {
    let [x] = exactly(inputs);
    x
}
