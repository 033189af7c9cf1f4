//! A graph for images whose sides are multiples of a number: the symbols of its input say so.
//!
//! With `m*floor(height/m)` rows instead of `height`, every halving down to `m` is exact. What a
//! graph for any size computes for odd sides is then known: paddings by nothing, which the passes
//! remove, and sizes that are whole multiples of others.

use super::FormError;
use super::fixed::fold_known_integers;
use crate::graph::{Content, Dim, Graph, Op, ResizeBy, Tensor};

/// The largest number that is tried for a network.
const MULTIPLE_MAX: usize = 4096;

/// Restricts a graph for any size to images whose sides are multiples of a number.
///
/// # Errors
/// When a stage leaves a remainder, or a size cannot be computed.
pub fn restrict_sides(graph: &mut Graph, multiple: usize) -> Result<(), FormError> {
    for symbol in [Dim::height(), Dim::width()] {
        let restricted = symbol.multiple_of(multiple)?;
        for dim in graph.inputs.iter_mut().flat_map(|input| &mut input.tensor_type.shape) {
            if *dim == symbol {
                dim.clone_from(&restricted);
            }
        }
    }
    Ok(graph.infer_outputs()?)
}

/// Returns the least power of two from `least` on that leaves no size of a graph for any size to be
/// computed, if there is one.
pub fn least_multiple(graph: &Graph, least: usize) -> Option<usize> {
    let powers = (0..).map(|exponent| 1 << exponent).take_while(|power| *power <= MULTIPLE_MAX);
    powers.filter(|power| power.is_multiple_of(least)).find(|power| suits(graph, *power))
}

/// Returns whether a graph for any size computes no size for sides that are multiples of a number.
pub fn suits(graph: &Graph, multiple: usize) -> bool {
    let mut graph = graph.clone();
    restrict_sides(&mut graph, multiple).is_ok() && fold(&mut graph).is_ok() && !computes_sizes(&graph)
}

fn computes_sizes(graph: &Graph) -> bool {
    graph.nodes.iter().any(|node| matches!(node.op, Op::Shape { .. }))
}

/// Returns whether the sides of a graph's input are multiples of a number.
pub(crate) fn are_sides_restricted(graph: &Graph) -> bool {
    let mut dims = graph.inputs.iter().flat_map(|input| &input.tensor_type.shape);
    dims.any(|dim| dim.as_constant().is_none() && dim.as_symbol().is_none())
}

/// Replaces by constants the integers that follow from sides that are multiples of a number, and
/// the sizes of enlargements by their factors.
pub(super) fn fold(graph: &mut Graph) -> Result<(), FormError> {
    enlarge_by_factors(graph)?;
    fold_known_integers(graph)?;
    graph.tidy();
    Ok(())
}

/// Replaces the sizes of a `Resize` by factors where each size is a whole multiple of the given
/// one: a factor is then the quotient of both, as interpolation computes it from sizes.
fn enlarge_by_factors(graph: &mut Graph) -> Result<(), FormError> {
    let facts = graph.facts()?;
    let sizes_of = |name: &String| {
        let place = graph.nodes.iter().position(|node| node.name == *name)?;
        match &facts[place].content {
            Content::Integers(sizes) => Some(sizes),
            Content::Floats(_) | Content::Unknown => None,
        }
    };
    let mut found = Vec::new();
    for (place, node) in graph.nodes.iter().enumerate() {
        let Op::Resize { by: ResizeBy::Sizes, .. } = node.op else { continue };
        let (Some(given), Some(wanted)) = (graph.tensor_type(&node.inputs[0]), sizes_of(&node.inputs[1])) else {
            continue;
        };
        let factors: Option<Vec<_>> =
            given.shape.iter().zip(wanted).map(|(given, wanted)| factor(given, wanted)).collect();
        found.extend(factors.map(|factors| (place, factors)));
    }
    for (place, factors) in found {
        let scales = graph.add_constant(&format!("{}.scales", graph.nodes[place].name), Tensor::vector(factors));
        let node = &mut graph.nodes[place];
        if let Op::Resize { by, .. } = &mut node.op {
            *by = ResizeBy::Scales;
        }
        node.inputs[1] = scales;
    }
    Ok(())
}

/// Returns the whole number of times that one size is another, for all values of the symbols.
fn factor(given: &Dim, wanted: &Dim) -> Option<f32> {
    /// No network enlarges a map by more.
    const FACTOR_MAX: u16 = 64;
    (1..=FACTOR_MAX)
        .find(|factor| given.scale(i64::from(*factor)).is_ok_and(|enlarged| enlarged == *wanted))
        .map(f32::from)
}

#[cfg(test)]
mod tests {
    use ndarray::{ArrayD, IxDyn};

    use super::*;
    use crate::evaluate::{Array, evaluate};
    use crate::graph::{Coordinates, GraphBuilder, MaxPool, ResizeMode, example};
    use crate::{Opset, Target, passes};

    fn nodes(graph: &Graph, is_one: fn(&Op) -> bool) -> usize {
        graph.nodes.iter().filter(|node| is_one(&node.op)).count()
    }

    fn logits(graph: &Graph) -> ArrayD<f64> {
        let image = ArrayD::from_shape_fn(IxDyn(&[1, 3, 32, 48]), |place| {
            ((place[1] + 3 * place[2] + 5 * place[3]) % 7) as f64 / 3.0 - 1.0
        });
        match evaluate(graph, &[("input", image)], &["logits"]).unwrap().remove("logits") {
            Some(Array::F64(values)) => values,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn sizes_are_known_and_the_outputs_stay() {
        let mut any = example::encoder_decoder();
        let mut graph = any.clone();
        restrict_sides(&mut graph, 16).unwrap();
        assert!(are_sides_restricted(&graph) && !are_sides_restricted(&any));
        let expected = "f32[batch, 3, 16*floor(height/16), 16*floor(width/16)]";
        assert_eq!(graph.inputs[0].tensor_type.to_string(), expected);
        assert_eq!(logits(&graph), logits(&any));
        fold(&mut graph).unwrap();
        graph.check().unwrap();
        assert_eq!(logits(&graph), logits(&any));
        for graph in [&mut any, &mut graph] {
            passes::run(graph, Opset::V20, Target::Portable).unwrap();
        }
        assert!(computes_sizes(&any) && !computes_sizes(&graph));
        let padded = |op: &Op| matches!(op, Op::Pad { .. });
        assert_eq!([nodes(&any, padded), nodes(&graph, padded)], [2, 1], "the border of the first convolution stays");
        assert_eq!(logits(&graph), logits(&any));
    }

    #[test]
    fn an_enlargement_to_a_whole_multiple_is_one_by_a_factor() {
        for (multiple, by) in [(4, ResizeBy::Scales), (2, ResizeBy::Sizes)] {
            let mut builder = GraphBuilder::new("network");
            let image = builder.input("input", [Dim::batch(), 3.into(), Dim::height(), Dim::width()]).unwrap();
            let mut root = builder.root();
            let quarter = MaxPool { kernel: [4, 4], strides: [4, 4], pads: [0; 4] };
            let x = root.max_pool("quarter", image, quarter).unwrap();
            let (mode, coordinates) = (ResizeMode::Linear, Coordinates::HalfPixel);
            let x = root.resize_to_size_of("enlarged", x, image, mode, coordinates).unwrap();
            let mut graph = builder.finish(&[("logits", x)]).unwrap();
            let any = graph.clone();
            assert_eq!((suits(&graph, multiple), least_multiple(&graph, 1)), (multiple == 4, Some(4)));
            restrict_sides(&mut graph, multiple).unwrap();
            fold(&mut graph).unwrap();
            graph.check().unwrap();
            let resize = graph.nodes.last().unwrap();
            assert_eq!(resize.op, Op::Resize { mode, coordinates, by }, "{multiple}");
            assert_eq!(logits(&graph), logits(&any), "{multiple}");
        }
    }

    #[test]
    fn the_least_number_is_that_of_the_halvings() {
        let graph = example::encoder_decoder();
        assert_eq!(least_multiple(&graph, 1), Some(2));
        assert_eq!(least_multiple(&graph, 8), Some(8));
        for (multiple, suiting) in [(1, false), (2, true), (3, false), (6, true), (16, true), (4096, true)] {
            assert_eq!(suits(&graph, multiple), suiting, "{multiple}");
        }
    }
}
