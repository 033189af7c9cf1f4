//! Another shape for the same elements.

use super::{Content, Fact, Mismatch, property};
use crate::graph::{Dim, TensorType};

/// The most axes of a shape; a bound on the work.
const RANK_MAX: usize = 8;

/// The product of some sizes: a factor, and the sizes that are not constant.
struct Product {
    factor: i64,
    symbolic: Vec<Dim>,
}

impl Product {
    fn of<'d>(sizes: impl Iterator<Item = &'d Dim>) -> Result<Self, Mismatch> {
        let mut product = Self { factor: 1, symbolic: Vec::new() };
        for size in sizes {
            match size.as_constant() {
                Some(size) => {
                    let too_large = || property("the number of elements", "of 64 bits", size);
                    product.factor = product.factor.checked_mul(size).ok_or_else(too_large)?;
                }
                None => product.symbolic.push(size.clone()),
            }
        }
        Ok(product)
    }
}

/// Infers a shape with the same number of elements for every value of the symbols.
///
/// The shape is constant: a 0 copies the size of the same axis, and one -1 is the size that is
/// left, which must be a linear form: a constant times at most one size that is not copied.
pub(super) fn reshape(x: &Fact, shape: &Fact) -> Result<Fact, Mismatch> {
    let wanted = match &shape.content {
        Content::Integers(values) if values.len() <= RANK_MAX => {
            values.iter().map(Dim::as_constant).collect::<Option<Vec<_>>>()
        }
        _ => None,
    };
    let wanted = wanted.ok_or_else(|| property("the shape", "known constants", &shape.tensor_type))?;
    let misfit = || {
        let expected = format!("as many elements as {}", x.tensor_type);
        property("the shape", expected, format!("{wanted:?}"))
    };
    let mut sizes = Vec::with_capacity(wanted.len());
    let mut open = None;
    let mut copied = vec![false; x.shape().len()];
    for (axis, &size) in wanted.iter().enumerate() {
        sizes.push(match size {
            0 => {
                *copied.get_mut(axis).ok_or_else(misfit)? = true;
                x.shape()[axis].clone()
            }
            -1 if open.is_none() => {
                open = Some(axis);
                Dim::from(1)
            }
            1.. => Dim::from(size),
            _ => return Err(misfit()),
        });
    }
    // What is copied stands on both sides and cancels, unless it has no elements.
    let left = Product::of(x.shape().iter().zip(&copied).filter(|(_, copied)| !**copied).map(|(size, _)| size))?;
    let given = wanted.iter().filter(|size| **size > 0).copied().map(Dim::from).collect::<Vec<_>>();
    let given = Product::of(given.iter())?.factor;
    match (open, &left.symbolic[..]) {
        (Some(axis), []) if left.factor % given == 0 => sizes[axis] = Dim::from(left.factor / given),
        (Some(axis), [size]) => {
            let product = size.scale(left.factor)?;
            let quotient = product.floor_div(given).map_err(|_| misfit())?;
            if quotient.scale(given)? != product {
                return Err(misfit());
            }
            sizes[axis] = quotient;
        }
        (None, []) if left.factor == given => {}
        _ => return Err(misfit()),
    }
    Ok(Fact::from_type(TensorType::new(x.tensor_type.data_type, sizes)))
}

#[cfg(test)]
mod tests {
    use crate::graph::infer::tests::{assert_rows, f32_fact};
    use crate::graph::{Fact, Op};

    #[test]
    fn a_shape_has_as_many_elements_or_is_refused() {
        let to = |shape: &[&str]| {
            let shape = integers_of(shape);
            vec![f32_fact(["batch", "12", "floor(height/2)", "width"]), shape]
        };
        let fixed = |shape: &[&str]| vec![f32_fact(["batch", "12", "4", "5"]), integers_of(shape)];
        assert_rows(&[
            ("groups of channels", Op::Reshape, to(&["0", "3", "-1", "0"]), "f32[batch, 3, 4*floor(height/2), width]"),
            ("tokens", Op::Reshape, fixed(&["0", "12", "20"]), "f32[batch, 12, 20]"),
            ("heads", Op::Reshape, fixed(&["0", "3", "4", "-1"]), "f32[batch, 3, 4, 20]"),
            (
                "two sizes in one",
                Op::Reshape,
                to(&["0", "12", "-1"]),
                "the shape must be as many elements as f32[batch, 12, floor(height/2), width], found [0, 12, -1]",
            ),
            (
                "a remainder",
                Op::Reshape,
                to(&["0", "5", "-1", "0"]),
                "the shape must be as many elements as f32[batch, 12, floor(height/2), width], found [0, 5, -1, 0]",
            ),
            (
                "too many",
                Op::Reshape,
                fixed(&["0", "12", "21"]),
                "the shape must be as many elements as f32[batch, 12, 4, 5], found [0, 12, 21]",
            ),
            (
                "a symbol that is lost",
                Op::Reshape,
                fixed(&["12", "20"]),
                "the shape must be as many elements as f32[batch, 12, 4, 5], found [12, 20]",
            ),
            (
                "two that are left",
                Op::Reshape,
                fixed(&["0", "-1", "-1"]),
                "the shape must be as many elements as f32[batch, 12, 4, 5], found [0, -1, -1]",
            ),
            (
                "a copy of an axis that is not there",
                Op::Reshape,
                fixed(&["0", "12", "4", "5", "0"]),
                "the shape must be as many elements as f32[batch, 12, 4, 5], found [0, 12, 4, 5, 0]",
            ),
            ("computed", Op::Reshape, to(&["batch"]), "the shape must be known constants, found i64[1]"),
            (
                "beyond 64 bits",
                Op::Reshape,
                fixed(&["0", "9223372036854775807", "9223372036854775807"]),
                "the number of elements must be of 64 bits, found 9223372036854775807",
            ),
        ]);
    }

    fn integers_of(sizes: &[&str]) -> Fact {
        Fact::from_integers(sizes.iter().map(|size| size.parse().unwrap()).collect()).unwrap()
    }
}
