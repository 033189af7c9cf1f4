//! A batch normalisation as an affine map per channel.

use crate::graph::{Graph, Node, Op, Tensor};

/// The map `y = scale * x + shift`, per channel.
pub(super) struct Affine {
    pub(super) scale: Vec<f64>,
    pub(super) shift: Vec<f64>,
}

impl Affine {
    /// Converts a batch normalisation: with factor `g`, shift `B`, mean `m` and variance `v`, `(x -
    /// m)/sqrt(v + e)*g + B` is `scale*x + shift` with `scale = g/sqrt(v + e)` and `shift = B -
    /// scale*m`.
    ///
    /// Returns `None` for other operators, for statistics that are not constant, and if the root is
    /// not a positive number.
    pub(super) fn from_batch_norm(graph: &Graph, node: &Node) -> Option<Self> {
        let (Op::BatchNormalization { epsilon }, [_, parameters @ ..]) = (&node.op, &node.inputs[..]) else {
            return None;
        };
        let constant = |name| graph.initializers.get(name).and_then(Tensor::as_f32);
        let parameters: Vec<_> = parameters.iter().map(constant).collect::<Option<_>>()?;
        let [factor, bias, mean, variance] = parameters[..] else { return None };
        let mut affine = Self { scale: Vec::new(), shift: Vec::new() };
        for (((&factor, &bias), &mean), &variance) in factor.iter().zip(bias).zip(mean).zip(variance) {
            let deviation = (f64::from(variance) + f64::from(*epsilon)).sqrt();
            if !deviation.is_normal() {
                return None;
            }
            let scale = f64::from(factor) / deviation;
            affine.scale.push(scale);
            affine.shift.push(f64::from(bias) - scale * f64::from(mean));
        }
        Some(affine)
    }
}
