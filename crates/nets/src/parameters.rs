//! Parameters by their published names, whatever network they belong to.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::Tensor;

use crate::names::PublishedNames;

/// The ends of the paths of BatchNorm's running statistics, which training tracks and does not
/// learn.
pub(crate) const MEAN: &str = "running_mean";
pub(crate) const VARIANCE: &str = "running_var";

/// The end of the path of the first bases of a factorisation, which are drawn once and not learned.
const BASES: &str = "bases";

/// A container that a path leaves out: a network in the list of networks.
const LIST: &str = "Enum:Network";

/// A module whose parameters have published names.
pub trait Parameters: Module {
    /// Returns the names of the parameters in published checkpoints.
    fn published(&self) -> PublishedNames;

    /// Shows each parameter and running statistic under its published name.
    fn for_each(&self, visitor: &mut impl ParameterVisitor) {
        let published = self.published().name;
        self.visit(&mut ByName { path: Vec::new(), published, inner: visitor });
    }

    /// Replaces each parameter and running statistic.
    fn map_each(self, mapper: &mut impl ParameterMapper) -> Self {
        let published = self.published().name;
        self.map(&mut ByName { path: Vec::new(), published, inner: mapper })
    }
}

/// Sees parameters of any rank.
pub trait ParameterVisitor {
    /// Sees the parameter of a name.
    fn visit<const D: usize>(&mut self, name: String, param: &Param<Tensor<D>>);
}

/// Replaces parameters of any rank.
pub trait ParameterMapper {
    /// Returns what replaces the parameter of a name.
    fn map<const D: usize>(&mut self, name: String, param: Param<Tensor<D>>) -> Param<Tensor<D>>;
}

/// The place in a module that Burn visits or maps.
struct ByName<'a, T> {
    path: Vec<String>,
    published: fn(&str) -> Option<String>,
    inner: &'a mut T,
}

impl<T> ByName<'_, T> {
    fn enter(&mut self, name: &str, container: &str) {
        if container != LIST {
            self.path.push(name.into());
        }
    }

    fn exit(&mut self, container: &str) {
        if container != LIST {
            self.path.pop();
        }
    }

    /// Returns the published name of the parameter here, or its path where it has none.
    fn name(&self) -> String {
        let path = self.path.join(".");
        (self.published)(&path).unwrap_or(path)
    }
}

impl<T: ParameterVisitor> ModuleVisitor for ByName<'_, T> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, container: &str) {
        self.exit(container);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let name = self.name();
        self.inner.visit(name, param);
    }
}

impl<T: ParameterMapper> ModuleMapper for ByName<'_, T> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, container: &str) {
        self.exit(container);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.name();
        self.inner.map(name, param)
    }
}

/// Returns whether the name, published or not, is that of a running statistic.
pub(crate) fn is_statistic(name: &str) -> bool {
    name.rsplit('.').next().is_some_and(|last| [MEAN, VARIANCE].contains(&last))
}

/// Returns the number of a module's values that are not learned: running statistics, and the first
/// bases of a factorisation.
pub fn num_statistics<M: Module>(module: &M) -> usize {
    let mut count = Count(0);
    module.visit(&mut ByName { path: Vec::new(), published: |_| None, inner: &mut count });
    count.0
}

/// The number of values below a field that is named as one of those.
struct Count(usize);

impl ParameterVisitor for Count {
    fn visit<const D: usize>(&mut self, name: String, param: &Param<Tensor<D>>) {
        if is_statistic(&name) || name.rsplit('.').next() == Some(BASES) {
            self.0 += param.val().shape().num_elements();
        }
    }
}
