//! The published ResUNet, the whole network.

use seg_nets::res_unet_canonical::{Part, ResUNetCanonical};
use seg_nets::topology::{Stage, inputs as exactly};
use seg_onnx::graph::{Scope, Value};

use crate::lower::{Lower, LowerError, LowerNetwork};

impl LowerNetwork for ResUNetCanonical {
    fn lower_stage(&self, at: &mut Scope<'_>, stage: &Stage, inputs: Vec<Value>) -> Result<Value, LowerError> {
        let only = |inputs| {
            let [x] = exactly(inputs);
            x
        };
        match self.part(stage) {
            Part::Input(input) => input.lower(at, stage.name, only(inputs)),
            Part::Down(down) => down.lower(at, stage.name, only(inputs)),
            Part::Upsample(layer) => layer.lower(at, stage.name, only(inputs)),
            Part::Up(up) => {
                let [deep, skip] = exactly(inputs);
                let mut inside = at.scope(stage.name);
                // Nothing is missing at the sizes that the network takes, but a graph of any size
                // cannot know.
                let deep = inside.pad_to_size_of("pad", deep, skip)?;
                let joined = inside.concat_channels("joined", &[deep, skip])?;
                up.lower(at, stage.name, joined)
            }
            Part::Head(head) => head.lower(at, stage.name, only(inputs)),
        }
    }
}
