//! The factorisation of a map into two matrices without negative numbers.
//!
//! Height and width stay two axes, so that images of any size are possible: a product over all
//! pixels is one over each row, and the sum of the rows.

use seg_nets::seg_next::{EPSILON, Factors, STEPS};
use seg_onnx::graph::{BuildError, Scope, Tensor, Value};

use crate::lower::{Lower, LowerError, constant};

/// The map in the orders that products need.
struct Map {
    /// `[n, h, w, c]`
    by_pixel: Value,
    /// `[n, h, c, w]`
    by_row: Value,
    /// A number, added to denominators.
    epsilon: Value,
}

impl Lower for Factors {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let at = &mut at.scope(name);
        let bases = self.bases.value();
        let [_, channels, rank] = bases.dims();
        let map = Map {
            by_pixel: at.transpose("by_pixel", x, [0, 2, 3, 1])?,
            by_row: at.transpose("by_row", x, [0, 2, 1, 3])?,
            epsilon: at.scope("denominator").constant("epsilon", Tensor::scalar(EPSILON as f32))?,
        };
        let bases = at.constant("bases", constant(bases))?;
        let mut bases = at.reshape("first_bases", bases, [1, 1, channels as i64, rank as i64])?;
        let coefficients = at.mat_mul("first", map.by_pixel, bases)?;
        let mut coefficients = at.softmax("softmax", coefficients, 3)?;
        for step in 0..STEPS {
            let at = &mut at.scope(&format!("step{step}"));
            coefficients = update_coefficients(&mut at.scope("coefficients"), &map, coefficients, bases)?;
            bases = update_bases(&mut at.scope("bases"), &map, bases, coefficients)?;
        }
        let coefficients = update_coefficients(&mut at.scope("last"), &map, coefficients, bases)?;
        let turned = at.transpose("turned", coefficients, [0, 1, 3, 2])?;
        let product = at.mat_mul("product", bases, turned)?;
        Ok(at.transpose("planes", product, [0, 2, 1, 3])?)
    }
}

/// Adds `C * (X^T B) / (C (B^T B) + e)`, `C` `[n, h, w, r]` and `B` `[n, 1, c, r]`.
fn update_coefficients(at: &mut Scope<'_>, map: &Map, c: Value, b: Value) -> Result<Value, BuildError> {
    let wanted = at.mat_mul("wanted", map.by_pixel, b)?;
    let turned = at.transpose("turned", b, [0, 1, 3, 2])?;
    let squares = at.mat_mul("squares", turned, b)?;
    let found = at.mat_mul("found", c, squares)?;
    scale(at, map, c, [wanted, found])
}

/// Adds `B * (X C) / (B (C^T C) + e)`.
fn update_bases(at: &mut Scope<'_>, map: &Map, b: Value, c: Value) -> Result<Value, BuildError> {
    let rows = at.mat_mul("wanted_rows", map.by_row, c)?;
    let wanted = at.reduce_sum("wanted", rows, 1)?;
    let turned = at.transpose("turned", c, [0, 1, 3, 2])?;
    let rows = at.mat_mul("square_rows", turned, c)?;
    let squares = at.reduce_sum("squares", rows, 1)?;
    let found = at.mat_mul("found", b, squares)?;
    scale(at, map, b, [wanted, found])
}

fn scale(at: &mut Scope<'_>, map: &Map, x: Value, [wanted, found]: [Value; 2]) -> Result<Value, BuildError> {
    let product = at.mul("product", x, wanted)?;
    let found = at.add("positive", found, map.epsilon)?;
    at.div("updated", product, found)
}
