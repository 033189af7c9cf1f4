//! AMSE: attention and feed-forward part under one residual, normalised before each; and its other
//! forms.

use seg_nets::amsunet::{Amse, AmseForm, NormPlace, Residuals};
use seg_onnx::graph::{Scope, Value};

use crate::lower::{Lower, LowerError};

impl Lower for Amse {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let AmseForm { norm, residual, closing_gelu } = self.form;
        let y = match norm {
            NormPlace::Bf => {
                let y = self.norm1.lower(at, "norm1", x)?;
                self.attention.lower(at, "attention", y)?
            }
            NormPlace::Bb => {
                let y = self.attention.lower(at, "attention", x)?;
                self.norm1.lower(at, "norm1", y)?
            }
        };
        let (y, x) = match residual {
            Residuals::N => (y, x),
            Residuals::O => {
                let sum = at.add("sum1", y, x)?;
                (sum, sum)
            }
        };
        let y = match norm {
            NormPlace::Bf => {
                let y = self.norm2.lower(at, "norm2", y)?;
                self.ffn.lower(at, "ffn", y)?
            }
            NormPlace::Bb => {
                let y = self.ffn.lower(at, "ffn", y)?;
                self.norm2.lower(at, "norm2", y)?
            }
        };
        let sum = at.add("sum", y, x)?;
        let is_closed = residual == Residuals::N || closing_gelu;
        if is_closed { Ok(at.gelu("gelu", sum)?) } else { Ok(sum) }
    }
}
