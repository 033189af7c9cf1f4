//! Attention U-Net, the whole network.

use seg_nets::attention_unet::{AttentionUNet, Part};
use seg_nets::topology::{Stage, inputs as exactly};
use seg_onnx::graph::{Scope, Value};

use crate::lower::{Lower, LowerError, LowerNetwork};

impl LowerNetwork for AttentionUNet {
    fn lower_stage(&self, at: &mut Scope<'_>, stage: &Stage, inputs: Vec<Value>) -> Result<Value, LowerError> {
        let only = |inputs| {
            let [x] = exactly(inputs);
            x
        };
        match self.part(stage) {
            Part::Stem(conv) => conv.lower(at, stage.name, only(inputs)),
            Part::Down(down) => down.lower(at, stage.name, only(inputs)),
            Part::Up(up) => up.lower(at, stage.name, only(inputs)),
            Part::Gate(gate) => gate.lower(at, stage.name, exactly(inputs)),
            Part::Join(conv) => {
                let [skip, deep] = exactly(inputs);
                let mut inside = at.scope(stage.name);
                let deep = inside.pad_to_size_of("pad", deep, skip)?;
                let joined = inside.concat_channels("joined", &[skip, deep])?;
                conv.lower(at, stage.name, joined)
            }
            Part::Head(head) => head.lower(at, stage.name, only(inputs)),
        }
    }
}
