//! A convolution whose filters are standardised, which is done here once.

use seg_nets::trans_unet::StandardConv;
use seg_onnx::graph::{Scope, Value};

use crate::lower::{Lower, LowerError};

impl Lower for StandardConv {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        self.standardized().lower(at, name, x)
    }
}
