//! Curves over epochs, as SVG.

use std::fmt::Write;

use maud::{Markup, html};

use crate::axis::Axis;

/// Width and height of the drawing, in its own units.
const SIZE: (f64, f64) = (540.0, 240.0);
/// The space around the curves: left, top, right, bottom.
const MARGIN: (f64, f64, f64, f64) = (52.0, 18.0, 12.0, 30.0);
/// Up to so many points are marked one by one.
const DOTS_MAX: usize = 40;
/// Up to so many epochs answer to the pointer, evenly chosen.
const HOVERS_MAX: usize = 400;

/// Curves over epochs that share an axis.
pub(super) struct Chart<'a> {
    /// What is shown.
    pub(super) title: &'a str,
    /// The curves; at most three, as many as there are colours.
    pub(super) curves: Vec<Curve<'a>>,
    /// The epochs of the run.
    pub(super) epochs: usize,
    /// The best epoch.
    pub(super) best: Option<usize>,
}

/// One curve.
pub(super) struct Curve<'a> {
    pub(super) name: &'a str,
    /// Epochs, counted from 1, and values.
    pub(super) points: Vec<(usize, f64)>,
}

impl Chart<'_> {
    /// The chart with its heading and legend.
    pub(super) fn render(&self) -> Markup {
        let values = || self.curves.iter().flat_map(|curve| &curve.points).map(|point| point.1);
        let y = Axis::spanning(values(), 5);
        let x = Axis::spanning([0.0, self.epochs.max(1) as f64], 6);
        // The curves end with the run, not with the last round number.
        let across = |epoch: f64| MARGIN.0 + (SIZE.0 - MARGIN.0 - MARGIN.2) * epoch / self.epochs.max(1) as f64;
        let down = |value: f64| MARGIN.1 + (SIZE.1 - MARGIN.1 - MARGIN.3) * (1.0 - y.share(value));
        let (top, bottom) = (MARGIN.1, SIZE.1 - MARGIN.3);
        html! {
            figure.chart {
                figcaption {
                    strong { (self.title) }
                    @for (number, curve) in self.curves.iter().enumerate() {
                        span.key { (swatch(number)) (curve.name) }
                    }
                }
                svg viewBox={ "0 0 " (SIZE.0) " " (SIZE.1) } role="img" aria-label={ (self.title) " by epoch" } {
                    @for tick in &y.ticks {
                        line.grid x1=(MARGIN.0) x2=(SIZE.0 - MARGIN.2) y1=(place(down(*tick))) y2=(place(down(*tick))) {}
                        text.tick x=(MARGIN.0 - 8.0) y=(place(down(*tick) + 4.0)) text-anchor="end" { (y.label(*tick)) }
                    }
                    @for tick in x.ticks.iter().filter(|tick| tick.fract() == 0.0 && **tick <= self.epochs as f64) {
                        line.mark x1=(place(across(*tick))) x2=(place(across(*tick))) y1=(bottom) y2=(bottom + 4.0) {}
                        text.tick x=(place(across(*tick))) y=(bottom + 18.0) text-anchor="middle" { (x.label(*tick)) }
                    }
                    @if let Some(best) = self.best {
                        (best_mark(best, across(best as f64), top, bottom))
                    }
                    @for (number, curve) in self.curves.iter().enumerate() {
                        polyline class={ "curve c" (number) } points=(line(&curve.points, across, down)) {}
                        @if curve.points.len() <= DOTS_MAX {
                            @for (epoch, value) in &curve.points {
                                circle class={ "dot c" (number) } cx=(place(across(*epoch as f64))) cy=(place(down(*value))) r="2.2" {}
                            }
                        }
                    }
                    @for (epoch, text) in self.hovers() {
                        rect.hover x=(place(across(epoch as f64 - 0.5))) y=(top) width=(place(across(1.0) - across(0.0))) height=(bottom - top) {
                            title { (text) }
                        }
                    }
                }
            }
        }
    }

    /// What the epochs say to the pointer.
    fn hovers(&self) -> Vec<(usize, String)> {
        let stride = self.epochs.div_ceil(HOVERS_MAX).max(1);
        let describe = |epoch: usize| {
            let mut text = format!("epoch {epoch}");
            let value = |curve: &Curve<'_>| {
                let point = curve.points.iter().find(|point| point.0 == epoch)?;
                Some(format!("\n{}: {}", curve.name, short(point.1)))
            };
            let values: Vec<String> = self.curves.iter().filter_map(value).collect();
            text.extend(values.iter().map(String::as_str));
            (!values.is_empty()).then_some((epoch, text))
        };
        (1..=self.epochs).step_by(stride).filter_map(describe).collect()
    }
}

/// The vertical line through the best epoch; its words stand where there is room.
fn best_mark(epoch: usize, x: f64, top: f64, bottom: f64) -> Markup {
    let (anchor, shift) = if x > SIZE.0 / 2.0 { ("end", -4.0) } else { ("start", 4.0) };
    html! {
        line.best x1=(place(x)) x2=(place(x)) y1=(top - 12.0) y2=(bottom) {}
        text.tick x=(place(x + shift)) y=(top - 5.0) text-anchor=(anchor) { "best: " (epoch) }
    }
}

/// A piece of a curve, for the legend.
fn swatch(number: usize) -> Markup {
    html! {
        svg.swatch viewBox="0 0 24 8" aria-hidden="true" {
            line class={ "curve c" (number) } x1="1" x2="23" y1="4" y2="4" {}
        }
    }
}

fn line(points: &[(usize, f64)], across: impl Fn(f64) -> f64, down: impl Fn(f64) -> f64) -> String {
    let mut text = String::new();
    for (epoch, value) in points {
        write!(text, "{},{} ", place(across(*epoch as f64)), place(down(*value))).expect("a string takes all");
    }
    text
}

/// A coordinate, no finer than eyes are.
pub(super) fn place(coordinate: f64) -> String {
    let text = format!("{coordinate:.1}");
    text.strip_suffix(".0").map_or_else(|| text.clone(), str::to_owned)
}

/// A value in four significant digits.
fn short(value: f64) -> String {
    if value != 0.0 && value.abs() < 1e-2 { format!("{value:.3e}") } else { format!("{value:.4}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: &[f64], best: Option<usize>) -> String {
        let points: Vec<_> = points.iter().enumerate().map(|(index, value)| (index + 1, *value)).collect();
        let epochs = points.len();
        Chart { title: "Loss <&>", curves: vec![Curve { name: "total", points }], epochs, best }.render().into_string()
    }

    #[test]
    fn a_chart_shows_its_curve_its_ticks_and_the_best_epoch() {
        let svg = chart(&[2.0, 1.0, 0.5, 1.0], Some(3));
        for (name, part) in [
            ("the curve from its first point to its last", "points=\"171,18 290,146 409,210 528,146"),
            ("a tick of the values", ">1.5<"),
            ("the best epoch", ">best: 3<"),
            ("words for the pointer", "<title>epoch 2\ntotal: 1.0000</title>"),
            ("an escaped title", "Loss &lt;&amp;&gt;"),
        ] {
            assert!(svg.contains(part), "{name}: no {part:?} in\n{svg}");
        }
    }

    #[test]
    fn few_points_are_marked_and_many_are_thinned() {
        for (name, points, dots, hovers) in [("none", 0, 0, 0), ("one", 1, 1, 1), ("many", 1_000, 0, 334)] {
            let svg = chart(&vec![0.5; points], None);
            assert_eq!(svg.matches("<circle").count(), dots, "{name}");
            assert_eq!(svg.matches("<title>").count(), hovers, "{name}");
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{name}: {svg}");
        }
    }
}
