//! A dimension that may depend on symbols such as `height`, in one canonical linear form.

mod text;

use std::collections::BTreeMap;

/// A linear form `constant + sum of coefficient * floor((symbol + offset) / divisor)`.
///
/// The form is canonical (no zero coefficient, `0 <= offset < divisor`), so dimensions that are
/// built in different ways compare equal whenever their forms do: `2*floor(height/4) +
/// (floor(height/2) - 2*floor(height/4))` is `floor(height/2)`. An operation without an exact
/// result in this form is an error, never an approximation.
///
/// ```
/// use seg_onnx::graph::Dim;
///
/// let halved_twice = Dim::height().floor_div(2)?.floor_div(2)?;
/// assert_eq!(halved_twice.to_string(), "floor(height/4)");
/// assert_eq!(halved_twice.evaluate(&[("height", 71)])?, 17);
/// # Ok::<(), seg_onnx::graph::DimError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dim {
    constant: i64,
    terms: BTreeMap<Atom, i64>,
}

/// `floor((symbol + offset) / divisor)`; a plain symbol has divisor 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Atom {
    symbol: String,
    divisor: i64,
    offset: i64,
}

/// The reason why a dimension cannot be computed or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DimError {
    /// A coefficient does not fit 64 bits.
    #[error("a dimension leaves the range of 64-bit integers")]
    Overflow,
    /// The quotient has no exact linear form.
    #[error("`{dim}` divided by {divisor} and rounded down has no exact linear form")]
    Inexact {
        /// The dividend.
        dim: Dim,
        /// The divisor.
        divisor: i64,
    },
    /// A symbol has no value.
    #[error("no value is given for the symbol `{0}`")]
    Unbound(String),
    /// A text is not a dimension.
    #[error("`{text}` is not a dimension: expected {expected} at byte {at}")]
    Parse {
        /// The whole text.
        text: String,
        /// The expected text at the position.
        expected: &'static str,
        /// Position in bytes.
        at: usize,
    },
}

impl Dim {
    /// Returns the symbol `batch`: the number of images that are processed at once.
    pub fn batch() -> Self {
        Self::symbol("batch")
    }

    /// Returns the symbol `height` of the input image, in pixels.
    pub fn height() -> Self {
        Self::symbol("height")
    }

    /// Returns the symbol `width` of the input image, in pixels.
    pub fn width() -> Self {
        Self::symbol("width")
    }

    /// Returns the dimension rounded down to a multiple of a number: for `height` and 16,
    /// `16*floor(height/16)`.
    pub fn multiple_of(&self, number: usize) -> Result<Self, DimError> {
        let number = i64::try_from(number).map_err(|_| DimError::Overflow)?;
        self.floor_div(number)?.scale(number)
    }

    fn symbol(name: &str) -> Self {
        let atom = Atom { symbol: name.to_owned(), divisor: 1, offset: 0 };
        Self { constant: 0, terms: BTreeMap::from([(atom, 1)]) }
    }

    /// Returns the value of a dimension without symbols.
    pub fn as_constant(&self) -> Option<i64> {
        self.terms.is_empty().then_some(self.constant)
    }

    /// Returns the name of the symbol, if the dimension consists of one symbol.
    pub fn as_symbol(&self) -> Option<&str> {
        let mut terms = self.terms.iter();
        match (self.constant, terms.next(), terms.next()) {
            (0, Some((Atom { symbol, divisor: 1, .. }, 1)), None) => Some(symbol),
            _ => None,
        }
    }

    /// Returns the name of the symbol that the dimension depends on, if it is one.
    pub fn only_symbol(&self) -> Option<&str> {
        let mut symbols = self.terms.keys().map(|atom| atom.symbol.as_str());
        let first = symbols.next()?;
        symbols.all(|symbol| symbol == first).then_some(first)
    }

    /// Returns `self + other`.
    pub fn add(&self, other: &Self) -> Result<Self, DimError> {
        let mut sum = self.clone();
        sum.constant = sum.constant.checked_add(other.constant).ok_or(DimError::Overflow)?;
        for (atom, &coefficient) in &other.terms {
            sum.add_term(atom.clone(), coefficient)?;
        }
        Ok(sum)
    }

    /// Returns `self - other`.
    pub fn sub(&self, other: &Self) -> Result<Self, DimError> {
        self.add(&other.scale(-1)?)
    }

    /// Returns `self * factor`.
    pub fn scale(&self, factor: i64) -> Result<Self, DimError> {
        let mut product = Self::from(self.constant.checked_mul(factor).ok_or(DimError::Overflow)?);
        for (atom, coefficient) in &self.terms {
            product.add_term(atom.clone(), coefficient.checked_mul(factor).ok_or(DimError::Overflow)?)?;
        }
        Ok(product)
    }

    /// Returns `floor(self / divisor)` for a positive divisor.
    ///
    /// Terms with divisible coefficients leave the floor; of the rest, `floor(floor(x/m)/n) =
    /// floor(x/(m*n))` allows one atom whose coefficient divides the divisor. Anything else is
    /// [`DimError::Inexact`].
    pub fn floor_div(&self, divisor: i64) -> Result<Self, DimError> {
        let inexact = || DimError::Inexact { dim: self.clone(), divisor };
        if divisor <= 0 {
            return Err(inexact());
        }
        let mut quotient = Self::from(0);
        let mut rest = Vec::new();
        for (atom, &coefficient) in &self.terms {
            if coefficient % divisor == 0 {
                quotient.add_term(atom.clone(), coefficient / divisor)?;
            } else {
                rest.push((atom, coefficient));
            }
        }
        match rest[..] {
            [] => quotient.add(&Self::from(self.constant.div_euclid(divisor))),
            // floor((k*a + c)/(k*n)) = floor((a + floor(c/k))/n)
            [(atom, coefficient)] if coefficient > 0 && divisor % coefficient == 0 => {
                let shifted = self.constant.div_euclid(coefficient);
                quotient.add(&atom.floor_div(shifted, divisor / coefficient)?)
            }
            _ => Err(inexact()),
        }
    }

    /// Returns true if the value is known to be at least 0 for all sizes; a symbol is at least 1.
    ///
    /// It is known for constants, sums of symbols, and the remainder of one symbol: if its terms
    /// cancel except for their rounding, the value is periodic, and one period is checked.
    ///
    /// ```
    /// # use seg_onnx::graph::Dim;
    /// let rounded = Dim::height().floor_div(2)?.scale(2)?;
    /// assert!(rounded.add(&1.into())?.sub(&Dim::height())?.is_never_negative());
    /// assert!(!rounded.sub(&Dim::height())?.is_never_negative());
    /// # Ok::<(), seg_onnx::graph::DimError>(())
    /// ```
    pub fn is_never_negative(&self) -> bool {
        /// A bound on the work: no network divides a side by more.
        const PERIOD_MAX: i64 = 1 << 12;
        let mut symbols: Vec<_> = self.terms.keys().map(|atom| atom.symbol.as_str()).collect();
        symbols.dedup();
        if self.terms.values().all(|coefficient| *coefficient > 0) {
            let least: Vec<_> = symbols.iter().map(|symbol| (*symbol, 1)).collect();
            return self.evaluate(&least).is_ok_and(|least| least >= 0);
        }
        let [symbol] = symbols[..] else { return false };
        let period = self
            .terms
            .keys()
            .try_fold(1i64, |period, atom| period.checked_mul(atom.divisor).filter(|period| *period <= PERIOD_MAX));
        let Some(period) = period else { return false };
        let slope: Option<i64> = self.terms.iter().try_fold(0i64, |slope, (atom, coefficient)| {
            slope.checked_add(coefficient.checked_mul(period / atom.divisor)?)
        });
        let is_positive = |value| self.evaluate(&[(symbol, value)]).is_ok_and(|value| value >= 0);
        slope.is_some_and(|slope| slope >= 0) && (1..=period).all(is_positive)
    }

    /// Returns the value for the given values of symbols.
    ///
    /// ```
    /// # use seg_onnx::graph::Dim;
    /// assert_eq!(Dim::height().floor_div(2)?.evaluate(&[("height", 71), ("width", 93)])?, 35);
    /// # Ok::<(), seg_onnx::graph::DimError>(())
    /// ```
    pub fn evaluate(&self, bindings: &[(&str, i64)]) -> Result<i64, DimError> {
        self.terms.iter().try_fold(self.constant, |sum, (atom, coefficient)| {
            let (_, value) = bindings
                .iter()
                .find(|(symbol, _)| *symbol == atom.symbol)
                .ok_or_else(|| DimError::Unbound(atom.symbol.clone()))?;
            let floor = value.checked_add(atom.offset).ok_or(DimError::Overflow)?.div_euclid(atom.divisor);
            floor.checked_mul(*coefficient).and_then(|term| sum.checked_add(term)).ok_or(DimError::Overflow)
        })
    }

    fn add_term(&mut self, atom: Atom, coefficient: i64) -> Result<(), DimError> {
        let sum = self.terms.get(&atom).copied().unwrap_or(0).checked_add(coefficient).ok_or(DimError::Overflow)?;
        if sum == 0 {
            self.terms.remove(&atom);
        } else {
            self.terms.insert(atom, sum);
        }
        Ok(())
    }
}

impl Atom {
    /// Returns `floor((self + shift) / divisor)`, with whole multiples of the divisor moved out of
    /// the floor.
    fn floor_div(&self, shift: i64, divisor: i64) -> Result<Dim, DimError> {
        let offset = shift.checked_mul(self.divisor).and_then(|shift| shift.checked_add(self.offset));
        let divisor = self.divisor.checked_mul(divisor);
        let (Some(offset), Some(divisor)) = (offset, divisor) else {
            return Err(DimError::Overflow);
        };
        let atom = Atom { symbol: self.symbol.clone(), divisor, offset: offset.rem_euclid(divisor) };
        Ok(Dim { constant: offset.div_euclid(divisor), terms: BTreeMap::from([(atom, 1)]) })
    }
}

impl From<i64> for Dim {
    fn from(constant: i64) -> Self {
        Self { constant, terms: BTreeMap::new() }
    }
}

impl TryFrom<usize> for Dim {
    type Error = DimError;

    fn try_from(size: usize) -> Result<Self, DimError> {
        i64::try_from(size).map(Self::from).map_err(|_| DimError::Overflow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dim(text: &str) -> Dim {
        text.parse().unwrap()
    }

    #[test]
    fn arithmetic_has_one_form_for_equal_dimensions() -> Result<(), DimError> {
        let (height, half) = (dim("height"), dim("floor(height/2)"));
        let doubled_quarter = half.floor_div(2)?.scale(2)?;
        for (name, computed, expected) in [
            ("stride 2", height.floor_div(2)?, "floor(height/2)"),
            ("stride 2 twice", half.floor_div(2)?, "floor(height/4)"),
            ("stride 3, kernel 2", height.sub(&2.into())?.floor_div(3)?.add(&1.into())?, "floor((height + 1)/3)"),
            ("halved and doubled", doubled_quarter.clone(), "2*floor(height/4)"),
            ("padded to the skip", doubled_quarter.add(&half.sub(&doubled_quarter)?)?, "floor(height/2)"),
            ("doubled and halved", height.scale(2)?.add(&1.into())?.floor_div(2)?, "height"),
            ("half of a multiple", height.scale(2)?.add(&1.into())?.floor_div(4)?, "floor(height/2)"),
            ("several terms", dim("4*batch + 2*height").floor_div(2)?, "2*batch + height"),
            (
                "one term within the floor",
                dim("4*batch + height - 1").floor_div(4)?,
                "batch + floor((height + 3)/4) - 1",
            ),
            ("a multiple", height.multiple_of(16)?, "16*floor(height/16)"),
            ("half of a multiple of 16", height.multiple_of(16)?.floor_div(2)?, "8*floor(height/16)"),
            ("negative constant", dim("-7").floor_div(2)?, "-4"),
            ("cancelled", height.sub(&height)?, "0"),
        ] {
            assert_eq!(computed.to_string(), expected, "{name}");
        }
        Ok(())
    }

    #[test]
    fn the_form_has_the_value_of_the_expression() -> Result<(), DimError> {
        for size in -20i64..60 {
            for offset in -5..6 {
                for (outer, inner) in [(1, 2), (2, 2), (3, 2), (2, 5)] {
                    let form = dim("height").floor_div(inner)?.add(&offset.into())?.floor_div(outer)?;
                    let expected = (size.div_euclid(inner) + offset).div_euclid(outer);
                    assert_eq!(form.evaluate(&[("height", size)])?, expected, "{form} at {size}");
                }
            }
        }
        Ok(())
    }

    #[test]
    fn what_has_no_exact_form_is_refused() {
        let inexact = |text: &str, divisor| DimError::Inexact { dim: dim(text), divisor };
        for (name, found, expected) in [
            ("two terms", dim("height + width").floor_div(2), inexact("height + width", 2)),
            ("odd factor", dim("3*height").floor_div(2), inexact("3*height", 2)),
            ("negative factor", dim("-height").floor_div(2), inexact("-height", 2)),
            ("negative divisor", dim("height").floor_div(-2), inexact("height", -2)),
            ("sum beyond 64 bits", Dim::from(i64::MAX).add(&1.into()), DimError::Overflow),
            ("product beyond 64 bits", dim("height").scale(i64::MAX).and_then(|dim| dim.scale(2)), DimError::Overflow),
            ("negated minimum", Dim::from(0).sub(&i64::MIN.into()), DimError::Overflow),
            ("divisor beyond 64 bits", dim("floor(height/4)").floor_div(i64::MAX), DimError::Overflow),
        ] {
            assert_eq!(found, Err(expected), "{name}");
        }
        assert_eq!(dim("height").evaluate(&[("width", 1)]), Err(DimError::Unbound("height".to_owned())));
        assert_eq!(dim("2*height").evaluate(&[("height", i64::MAX)]), Err(DimError::Overflow));
    }
}
