//! UNeXt, the whole network.

use seg_nets::topology::{Stage, inputs as exactly};
use seg_nets::unext::{Part, UNext};
use seg_onnx::graph::{Coordinates, ResizeMode, Scope, Value};

use crate::lower::{Lower, LowerError, LowerNetwork};

impl LowerNetwork for UNext {
    fn lower_stage(&self, at: &mut Scope<'_>, stage: &Stage, inputs: Vec<Value>) -> Result<Value, LowerError> {
        match self.part(stage) {
            Part::Encoder(encoder) => encoder.lower(at, stage.name, only(inputs)),
            Part::TokenEncoder(encoder) => encoder.lower(at, stage.name, only(inputs)),
            Part::TokenDecoder(decoder) => decoder.lower(at, stage.name, exactly(inputs)),
            Part::Decoder(decoder) => decoder.lower(at, stage.name, exactly(inputs)),
            Part::Last(conv) => {
                let [deep, image] = exactly(inputs);
                let x = conv.lower(at, stage.name, deep)?;
                let at = &mut at.scope(stage.name);
                let x = at.resize_to_size_of("upsample", x, image, ResizeMode::Linear, Coordinates::HalfPixel)?;
                Ok(at.relu("relu", x)?)
            }
            Part::Head(head) => head.lower(at, stage.name, only(inputs)),
        }
    }
}

/// Returns the only input of a stage.
fn only(inputs: Vec<Value>) -> Value {
    let [x] = exactly(inputs);
    x
}
