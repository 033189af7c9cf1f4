//! Round numbers along an axis, for curves on paper and on a terminal.

/// An axis with its ticks.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// The ticks: evenly spaced round numbers, of which the first and the last are the axis's ends.
    pub ticks: Vec<f64>,
    step: f64,
}

impl Axis {
    /// Creates an axis that spans all finite `values`, with at most about `count` ticks; 0 to 1 if
    /// there are none.
    pub fn spanning(values: impl IntoIterator<Item = f64>, count: usize) -> Self {
        let (low, high) = values
            .into_iter()
            .filter(|value| value.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) = match (low <= high, low < high) {
            (false, _) => (0.0, 1.0),
            // A single value lies in the middle of an axis as wide as its magnitude.
            (true, false) => (low - low.abs().max(1e-6) / 2.0, low + low.abs().max(1e-6) / 2.0),
            (true, true) => (low, high),
        };
        let rough = (high - low) / count.max(1) as f64;
        let magnitude = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0]
            .map(|round| round * magnitude)
            .into_iter()
            // A share of a step too much is rounding.
            .find(|step| *step >= rough * (1.0 - 1e-9))
            .unwrap_or(10.0 * magnitude);
        let (first, last) = ((low / step + 1e-9).floor(), (high / step - 1e-9).ceil());
        let ticks = (0..=(last - first) as usize).map(|tick| (first + tick as f64) * step).collect();
        Self { ticks, step }
    }

    /// Returns the lower end.
    pub fn low(&self) -> f64 {
        self.ticks[0]
    }

    /// Returns the upper end.
    pub fn high(&self) -> f64 {
        self.ticks[self.ticks.len() - 1]
    }

    /// Returns the position of a value: 0 at the lower end and 1 at the upper one.
    pub fn share(&self, value: f64) -> f64 {
        (value - self.low()) / (self.high() - self.low())
    }

    /// Formats a tick with the digits that distinguish it from its neighbours.
    pub fn label(&self, tick: f64) -> String {
        // Rounding may give zero a sign or a fraction.
        let tick = if tick.abs() < self.step / 2.0 { 0.0 } else { tick };
        let digits = |step: f64| (0..9).find(|digits| ((step * 10f64.powi(*digits)).fract() - 0.5).abs() > 0.499_999);
        if self.step >= 1e-3 || tick == 0.0 {
            return format!("{tick:.*}", digits(self.step).unwrap_or(9) as usize * usize::from(tick != 0.0));
        }
        let exponent = tick.abs().log10().floor();
        format!("{tick:.*e}", digits(self.step / 10f64.powf(exponent)).unwrap_or(9) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_span_the_values() {
        let rows: [(&str, &[f64], &[&str]); 8] = [
            ("nothing", &[], &["0", "0.25", "0.50", "0.75", "1.00"]),
            ("losses", &[0.31, 1.62], &["0", "0.5", "1.0", "1.5", "2.0"]),
            ("scores", &[0.62, 0.79], &["0.60", "0.65", "0.70", "0.75", "0.80"]),
            ("rates", &[0.0, 0.002], &["0", "5e-4", "1.0e-3", "1.5e-3", "2.0e-3"]),
            ("epochs", &[1.0, 300.0], &["0", "100", "200", "300"]),
            ("one value", &[4.0], &["2", "3", "4", "5", "6"]),
            ("across zero", &[-1.0, 1.0], &["-1.0", "-0.5", "0", "0.5", "1.0"]),
            ("not a number", &[f64::NAN, 0.0, 1.0], &["0", "0.25", "0.50", "0.75", "1.00"]),
        ];
        for (name, values, expected) in rows {
            let axis = Axis::spanning(values.iter().copied(), 4);
            let labels: Vec<_> = axis.ticks.iter().map(|tick| axis.label(*tick)).collect();
            assert_eq!(labels, expected, "{name}");
            for value in values.iter().filter(|value| value.is_finite()) {
                assert!((0.0..=1.0).contains(&axis.share(*value)), "{name}: {value}");
            }
        }
    }

    #[test]
    fn values_that_are_all_alike_have_an_axis() {
        for value in [0.0, 1e-12, -3.0, 1e9] {
            let axis = Axis::spanning([value, value], 4);
            assert!(axis.low() <= value && value <= axis.high() && axis.low() < axis.high(), "{value}: {axis:?}");
        }
    }
}
