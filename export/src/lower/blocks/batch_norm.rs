//! Batch normalisation by running statistics.

use seg_nets::blocks::BatchNorm;
use seg_onnx::graph::{self, Scope, Value};

use crate::lower::{Lower, LowerError, constant};

impl Lower for BatchNorm {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let norm = graph::BatchNorm {
            weight: constant(self.weight.val()),
            bias: constant(self.bias.val()),
            running_mean: constant(self.running_mean.value()),
            running_var: constant(self.running_var.value()),
            epsilon: self.epsilon as f32,
        };
        Ok(at.batch_norm(name, x, norm)?)
    }
}
