//! The U shape as a graph, by the lowering of its modules.

use seg_nets::topology::{Stage, inputs as exactly};
use seg_nets::u_shape::{Part, UShape};
use seg_onnx::graph::{Scope, Value};

use super::{Lower, LowerError};

/// Adds the computation of a stage's output from its inputs, below the stage's name.
///
/// # Errors
/// When the graph cannot express it.
///
/// # Panics
/// When the stage is not one of a U shape, or has other inputs.
pub(super) fn lower_stage<Stem: Lower, Down: Lower, Up: Lower<[Value; 2]>>(
    network: &UShape<'_, Stem, Down, Up>,
    at: &mut Scope<'_>,
    stage: &Stage,
    inputs: Vec<Value>,
) -> Result<Value, LowerError> {
    match network.part(stage) {
        Part::Stem(stem) => stem.lower(at, stage.name, only(inputs)),
        Part::Down(down) => down.lower(at, stage.name, only(inputs)),
        Part::Up(up) => up.lower(at, stage.name, exactly(inputs)),
        Part::Head(head) => head.lower(at, stage.name, only(inputs)),
    }
}

/// Returns the only input of a stage.
fn only(inputs: Vec<Value>) -> Value {
    let [x] = exactly(inputs);
    x
}
