//! Attention between all tokens.

use seg_nets::trans_unet::Attention;
use seg_onnx::graph::{Scope, Tensor, Value};

use crate::lower::{Lower, LowerError};

impl Lower for Attention {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let [hidden, _] = self.query.weight.dims();
        let (heads, per_head) = (self.heads as i64, (hidden / self.heads) as i64);
        // The grid of tokens is that of the position table, whose size is fixed.
        let height = at.type_of(x)?.shape.get(2).and_then(|size| size.as_constant()).unwrap_or(0);
        let query = self.query.lower(at, "query", x)?;
        let query = at.reshape("query_heads", query, [0, heads, per_head, -1])?;
        let query = at.transpose("query_turned", query, [0, 1, 3, 2])?;
        let key = self.key.lower(at, "key", x)?;
        let key = at.reshape("key_heads", key, [0, heads, per_head, -1])?;
        let value = self.value.lower(at, "value", x)?;
        let value = at.reshape("value_heads", value, [0, heads, per_head, -1])?;
        let value = at.transpose("value_turned", value, [0, 1, 3, 2])?;
        let scores = at.mat_mul("scores", query, key)?;
        let scale = at.constant("scale", Tensor::scalar(self.scale() as f32))?;
        let scores = at.mul("scaled", scores, scale)?;
        let shares = at.softmax("shares", scores, 3)?;
        let mixed = at.mat_mul("mixed", shares, value)?;
        let mixed = at.transpose("mixed_turned", mixed, [0, 1, 3, 2])?;
        let mixed = at.reshape("planes", mixed, [0, hidden as i64, height, -1])?;
        self.out.lower(at, "out", mixed)
    }
}
