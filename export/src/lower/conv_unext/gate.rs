//! The gate of a skip connection, which the deep features open.

use seg_nets::conv_unext::Gate;
use seg_onnx::graph::{Scope, Value};

use crate::lower::{Lower, LowerError};

impl Lower<[Value; 2]> for Gate {
    fn lower(&self, at: &mut Scope<'_>, name: &str, [deep, skip]: [Value; 2]) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let [channels, _] = self.linear1.weight.dims();
        let gates = self.gate.lower(at, "gate", deep)?;
        let mut part =
            |name, part: usize| at.slice(name, gates, [(1, (part * channels) as i64, ((part + 1) * channels) as i64)]);
        let (g1, g2, g3) = (part("gate1", 0)?, part("gate2", 1)?, part("gate3", 2)?);
        let kept = at.add("opening", g1, skip)?;
        let kept = self.linear1.lower(at, "linear1", kept)?;
        let kept = at.sigmoid("sigmoid1", kept)?;
        let kept = at.mul("kept", kept, skip)?;
        let share = at.sigmoid("sigmoid2", g2)?;
        let added = at.tanh("tanh", g3)?;
        let added = at.mul("added", share, added)?;
        let sum = at.add("sum", kept, added)?;
        self.linear2.lower(at, "linear2", sum)
    }
}
