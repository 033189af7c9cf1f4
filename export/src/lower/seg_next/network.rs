//! SegNeXt, the whole network.

use seg_nets::seg_next::{Part, SegNext};
use seg_nets::topology::{Stage, inputs as exactly};
use seg_onnx::graph::{Coordinates, ResizeMode, Scope, Value};

use crate::lower::{Lower, LowerError, LowerNetwork};

impl LowerNetwork for SegNext {
    fn lower_stage(&self, at: &mut Scope<'_>, stage: &Stage, inputs: Vec<Value>) -> Result<Value, LowerError> {
        match self.part(stage) {
            Part::First(first) => first.lower(at, stage.name, only(inputs)),
            Part::Next(next) => next.lower(at, stage.name, only(inputs)),
            Part::Squeeze(squeeze) => squeeze.lower(at, stage.name, exactly(inputs)),
            Part::Hamburger(hamburger) => hamburger.lower(at, stage.name, only(inputs)),
            Part::Align(align) => {
                let x = align.lower(at, stage.name, only(inputs))?;
                Ok(at.scope(stage.name).relu("relu", x)?)
            }
            Part::Head(head) => head.lower(at, stage.name, only(inputs)),
            Part::Resize => {
                let [x, image] = exactly(inputs);
                Ok(at.resize_to_size_of(stage.name, x, image, ResizeMode::Linear, Coordinates::HalfPixel)?)
            }
        }
    }
}

/// Returns the only input of a stage.
fn only(inputs: Vec<Value>) -> Value {
    let [x] = exactly(inputs);
    x
}
