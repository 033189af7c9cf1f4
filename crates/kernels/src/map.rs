//! Feature maps in host memory.

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

/// A map in host memory, `[n, c, h, w]`, whose values are only cloned by reference.
#[derive(Clone)]
pub struct Map {
    values: Values,
    shape: [usize; 4],
}

#[derive(Clone)]
enum Values {
    Own(Arc<Vec<f32>>),
    Lent(Arc<dyn AsRef<[f32]> + Send + Sync>),
    /// Only the shape is left.
    None,
}

impl Map {
    /// Creates the map of values in the order of the shape.
    ///
    /// # Panics
    /// When there are more or fewer values than the shape says.
    pub fn new(values: Vec<f32>, shape: [usize; 4]) -> Self {
        Self { values: Values::Own(Arc::new(values)), shape }.checked()
    }

    /// Creates the map of values that lie in somebody else's memory, which is kept as long as the
    /// map.
    ///
    /// # Panics
    /// When there are more or fewer values than the shape says.
    pub fn lent(values: impl AsRef<[f32]> + Send + Sync + 'static, shape: [usize; 4]) -> Self {
        Self { values: Values::Lent(Arc::new(values)), shape }.checked()
    }

    fn checked(self) -> Self {
        assert_eq!(self.values().len(), self.count(), "a map of shape {:?} has as many", self.shape);
        self
    }

    /// Returns the values, row by row.
    ///
    /// # Panics
    /// When the map is [`without_values`](Self::without_values).
    pub fn values(&self) -> &[f32] {
        match &self.values {
            Values::Own(values) => values,
            Values::Lent(values) => (**values).as_ref(),
            Values::None => panic!("an operator reads values that it has not kept"),
        }
    }

    /// Returns the values themselves, which are copied where somebody else has them too.
    ///
    /// # Panics
    /// When the map is [`without_values`](Self::without_values).
    pub fn into_values(self) -> Vec<f32> {
        match self.values {
            Values::Own(values) => Arc::unwrap_or_clone(values),
            Values::Lent(values) => (*values).as_ref().to_vec(),
            Values::None => panic!("an operator reads values that it has not kept"),
        }
    }

    /// Returns the map's shape without its values, whose memory is free again where nobody else
    /// has them.
    pub fn without_values(self) -> Self {
        Self { values: Values::None, ..self }
    }

    /// Returns the number of values.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }

    /// Batch, channels, height and width.
    pub fn shape(&self) -> [usize; 4] {
        self.shape
    }
}

impl Debug for Map {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map").field("shape", &self.shape).finish_non_exhaustive()
    }
}
