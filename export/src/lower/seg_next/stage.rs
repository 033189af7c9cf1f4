//! A stage of the backbone: an embedding, blocks, and a normalisation.

use seg_nets::seg_next::{First, Next, Trunk};
use seg_onnx::graph::{Scope, Value};

use crate::lower::{Lower, LowerError};

impl Lower for Trunk {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let mut blocks = self.blocks.iter().enumerate();
        let x = blocks.try_fold(x, |x, (index, block)| block.lower(at, &format!("blocks.{index}"), x))?;
        self.norm.lower(at, "norm", x)
    }
}

impl Lower for First {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let x = self.embed.lower(at, "embed", x)?;
        self.trunk.lower(at, "trunk", x)
    }
}

impl Lower for Next {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let x = self.embed.lower(at, "embed", x)?;
        self.trunk.lower(at, "trunk", x)
    }
}
