//! Disjoint sets of indices, which are joined pair by pair: union-find.

/// Sets that the indices below a number are divided into.
#[derive(Clone, Debug)]
pub struct DisjointSets {
    parents: Vec<usize>,
}

impl DisjointSets {
    /// Creates a set for each index below `len`.
    pub fn new(len: usize) -> Self {
        Self { parents: (0..len).collect() }
    }

    /// Returns the smallest index in the set of an index.
    ///
    /// # Panics
    /// When the index is out of range.
    pub fn first(&mut self, mut index: usize) -> usize {
        while self.parents[index] != index {
            self.parents[index] = self.parents[self.parents[index]];
            index = self.parents[index];
        }
        index
    }

    /// Joins the sets of two indices.
    ///
    /// # Panics
    /// When an index is out of range.
    pub fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.first(one), self.first(other));
        self.parents[one.max(other)] = one.min(other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_sets_go_by_their_smallest_index() {
        let mut sets = DisjointSets::new(6);
        for (one, other) in [(5, 3), (1, 2), (3, 2), (4, 4)] {
            sets.join(one, other);
        }
        assert_eq!([0, 1, 2, 3, 4, 5].map(|index| sets.first(index)), [0, 1, 1, 1, 4, 1]);
    }
}
