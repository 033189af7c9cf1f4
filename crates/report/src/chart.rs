//! Curves, as SVG.

use std::fmt::Write;

use maud::{Markup, html};

use crate::axis::Axis;

/// Width and height of the drawing, in its own units.
const SIZE: (f64, f64) = (540.0, 240.0);
/// The margins around the curves: left, top, right, bottom.
const MARGIN: (f64, f64, f64, f64) = (52.0, 18.0, 12.0, 30.0);
/// The most points that are marked one by one.
const DOTS_MAX: usize = 40;
/// The most positions that respond to the pointer, evenly chosen.
const HOVERS_MAX: usize = 400;

/// Curves that share an axis.
pub struct Chart<'a> {
    /// The heading.
    pub title: &'a str,
    /// The quantity along the horizontal axis, in a word.
    pub across: &'a str,
    /// The curves; at most four, as many as there are colours.
    pub curves: Vec<Curve<'a>>,
    /// The ends of the curves along the horizontal axis.
    pub span: [f64; 2],
    /// Further values that the vertical axis spans.
    pub heights: &'a [f64],
    /// A marked position.
    pub mark: Option<Mark>,
}

/// One curve.
pub struct Curve<'a> {
    /// The name in the legend.
    pub name: &'a str,
    /// The points from left to right.
    pub points: Vec<(f64, f64)>,
}

/// A vertical line with a label.
#[derive(Clone, Debug)]
pub struct Mark {
    /// The position along the horizontal axis.
    pub at: f64,
    /// The label.
    pub text: String,
}

impl Chart<'_> {
    /// Renders the chart with its heading and legend.
    pub fn render(&self) -> Markup {
        let values = self.curves.iter().flat_map(|curve| &curve.points).map(|point| point.1);
        let y = Axis::spanning(values.chain(self.heights.iter().copied()), 5);
        let [start, end] = self.span;
        let x = Axis::spanning(self.span, 6);
        // The axis ends where the curves end, not at the last round number.
        let across = |place: f64| MARGIN.0 + (SIZE.0 - MARGIN.0 - MARGIN.2) * (place - start) / (end - start);
        let down = |value: f64| MARGIN.1 + (SIZE.1 - MARGIN.1 - MARGIN.3) * (1.0 - y.share(value));
        let (top, bottom) = (MARGIN.1, SIZE.1 - MARGIN.3);
        let places = self.places();
        // A count has no fractions.
        let is_counted = places.iter().all(|place| place.fract() == 0.0) && end > 1.0;
        let is_ticked = |tick: &f64| (start..=end).contains(tick) && !(is_counted && tick.fract() != 0.0);
        html! {
            figure.chart {
                figcaption {
                    strong { (self.title) }
                    @for (number, curve) in self.curves.iter().enumerate() {
                        span.key { (swatch(number)) (curve.name) }
                    }
                }
                svg viewBox={ "0 0 " (SIZE.0) " " (SIZE.1) } role="img" aria-label={ (self.title) " by " (self.across) } {
                    @for tick in &y.ticks {
                        line.grid x1=(MARGIN.0) x2=(SIZE.0 - MARGIN.2) y1=(place(down(*tick))) y2=(place(down(*tick))) {}
                        text.tick x=(MARGIN.0 - 8.0) y=(place(down(*tick) + 4.0)) text-anchor="end" { (y.label(*tick)) }
                    }
                    @for tick in x.ticks.iter().filter(|tick| is_ticked(tick)) {
                        line.mark x1=(place(across(*tick))) x2=(place(across(*tick))) y1=(bottom) y2=(bottom + 4.0) {}
                        text.tick x=(place(across(*tick))) y=(bottom + 18.0) text-anchor="middle" { (x.label(*tick)) }
                    }
                    @if let Some(mark) = &self.mark {
                        (note(&mark.text, across(mark.at), top, bottom))
                    }
                    @for (number, curve) in self.curves.iter().enumerate() {
                        polyline class={ "curve c" (number) } points=(line(&curve.points, across, down)) {}
                        @if curve.points.len() <= DOTS_MAX {
                            @for (x, value) in &curve.points {
                                circle class={ "dot c" (number) } cx=(place(across(*x))) cy=(place(down(*value))) r="2.2" {}
                            }
                        }
                    }
                    @for (from, to, text) in self.hovers(&places) {
                        rect.hover x=(place(across(from))) y=(top) width=(place(across(to) - across(from))) height=(bottom - top) {
                            title { (text) }
                        }
                    }
                }
            }
        }
    }

    /// Returns the positions with a point, from left to right.
    fn places(&self) -> Vec<f64> {
        let mut places: Vec<f64> = self.curves.iter().flat_map(|curve| &curve.points).map(|point| point.0).collect();
        places.sort_by(f64::total_cmp);
        places.dedup();
        places
    }

    /// Returns the tooltips of positions, each with its left and right edge.
    fn hovers(&self, places: &[f64]) -> Vec<(f64, f64, String)> {
        let stride = places.len().div_ceil(HOVERS_MAX).max(1);
        (0..places.len()).step_by(stride).map(|index| self.hover(places, index)).collect()
    }

    fn hover(&self, places: &[f64], index: usize) -> (f64, f64, String) {
        let at = places[index];
        // Halfway to the neighbours; as far outside at the ends.
        let before = index.checked_sub(1).map(|before| (at - places[before]) / 2.0);
        let after = places.get(index + 1).map(|after| (after - at) / 2.0);
        let alone = (self.span[1] - self.span[0]) / 2.0;
        let (left, right) = (before.or(after).unwrap_or(alone), after.or(before).unwrap_or(alone));
        let mut text = format!("{} {}", self.across, if at.fract() == 0.0 { at.to_string() } else { short(at) });
        for curve in &self.curves {
            if let Some((_, value)) = curve.points.iter().find(|point| point.0 == at) {
                write!(text, "\n{}: {}", curve.name, short(*value)).expect("writing to a string does not fail");
            }
        }
        (at - left, at + right, text)
    }
}

/// Draws a vertical line with its label on the side that has room.
fn note(text: &str, x: f64, top: f64, bottom: f64) -> Markup {
    let (anchor, shift) = if x > SIZE.0 / 2.0 { ("end", -4.0) } else { ("start", 4.0) };
    html! {
        line.best x1=(place(x)) x2=(place(x)) y1=(top - 12.0) y2=(bottom) {}
        text.tick x=(place(x + shift)) y=(top - 5.0) text-anchor=(anchor) { (text) }
    }
}

/// Draws a piece of a curve for the legend.
fn swatch(number: usize) -> Markup {
    html! {
        svg.swatch viewBox="0 0 24 8" aria-hidden="true" {
            line class={ "curve c" (number) } x1="1" x2="23" y1="4" y2="4" {}
        }
    }
}

fn line(points: &[(f64, f64)], across: impl Fn(f64) -> f64, down: impl Fn(f64) -> f64) -> String {
    let mut text = String::new();
    for (x, value) in points {
        write!(text, "{},{} ", place(across(*x)), place(down(*value))).expect("a string takes all");
    }
    text
}

/// Formats a coordinate with the precision that eyes can see.
pub(crate) fn place(coordinate: f64) -> String {
    let text = format!("{coordinate:.1}");
    text.strip_suffix(".0").map_or_else(|| text.clone(), str::to_owned)
}

/// Formats a value with four significant digits.
fn short(value: f64) -> String {
    if value != 0.0 && value.abs() < 1e-2 { format!("{value:.3e}") } else { format!("{value:.4}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: &[f64], mark: Option<Mark>) -> String {
        let points: Vec<_> = (1..).zip(points).map(|(epoch, value)| (f64::from(epoch), *value)).collect();
        let span = [0.0, points.len().max(1) as f64];
        let curves = vec![Curve { name: "total", points }];
        Chart { title: "Loss <&>", across: "epoch", curves, span, heights: &[], mark }.render().into_string()
    }

    #[test]
    fn a_chart_shows_its_curve_its_ticks_and_its_mark() {
        let svg = chart(&[2.0, 1.0, 0.5, 1.0], Some(Mark { at: 3.0, text: "best: 3".into() }));
        for (name, part) in [
            ("the curve from its first point to its last", "points=\"171,18 290,146 409,210 528,146"),
            ("a tick of the values", ">1.5<"),
            ("the mark", ">best: 3<"),
            ("words for the pointer", "<title>epoch 2\ntotal: 1.0000</title>"),
            ("an escaped title", "Loss &lt;&amp;&gt;"),
        ] {
            assert!(svg.contains(part), "{name}: no {part:?} in\n{svg}");
        }
        assert!(!svg.contains(">2.5<"), "half an epoch has a tick");
    }

    #[test]
    fn shares_are_drawn_over_their_whole_range() {
        let curves = vec![Curve { name: "share", points: vec![(0.25, 0.4), (0.75, 0.6)] }];
        let chart =
            Chart { title: "", across: "probability", curves, span: [0.0, 1.0], heights: &[0.0, 1.0], mark: None };
        let svg = chart.render().into_string();
        for part in [
            "points=\"171,133.2 409,94.8 \"",
            "text-anchor=\"middle\">0.2<",
            "<title>probability 0.7500\nshare: 0.6000</title>",
        ] {
            assert!(svg.contains(part), "no {part:?} in\n{svg}");
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
