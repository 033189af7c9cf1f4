//! UNet++, the whole network.

use seg_nets::topology::{Stage, inputs as exactly};
use seg_nets::unet_plus_plus::{Part, UNetPlusPlus};
use seg_onnx::graph::{Scope, Value};

use crate::lower::{Lower, LowerError, LowerNetwork};

impl LowerNetwork for UNetPlusPlus {
    fn lower_stage(&self, at: &mut Scope<'_>, stage: &Stage, inputs: Vec<Value>) -> Result<Value, LowerError> {
        let only = |inputs| {
            let [x] = exactly(inputs);
            x
        };
        match self.part(stage) {
            Part::Stem(conv) => conv.lower(at, stage.name, only(inputs)),
            Part::Down(down) => down.lower(at, stage.name, only(inputs)),
            Part::Join(join) => join.lower(at, stage.name, inputs),
            Part::Head(head) => head.lower(at, stage.name, only(inputs)),
        }
    }
}
