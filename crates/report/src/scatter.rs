//! Named places by two quantities, as SVG.

use maud::{Markup, html};

use crate::axis::Axis;
use crate::chart::place;

/// Width and height of the drawing, in its own units.
const SIZE: (f64, f64) = (760.0, 380.0);
/// The margins around the places: left, top, right, bottom.
const MARGIN: (f64, f64, f64, f64) = (64.0, 18.0, 24.0, 46.0);
/// The share of the width behind which a name stands on the left of its place.
const TURN: f64 = 0.7;

/// Places by two quantities, of which the vertical one may have an interval.
pub struct Scatter<'a> {
    /// The heading.
    pub title: &'a str,
    /// The quantity along the horizontal axis, which begins at zero.
    pub across: &'a str,
    /// The quantity along the vertical axis.
    pub up: &'a str,
    /// The places.
    pub places: Vec<Place>,
}

/// A place with its name.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// The name beside it.
    pub name: String,
    /// The horizontal and the vertical value.
    pub at: [f64; 2],
    /// The interval of the vertical value.
    pub interval: Option<[f64; 2]>,
}

impl Scatter<'_> {
    /// Renders the places with both axes.
    pub fn render(&self) -> Markup {
        let heights =
            self.places.iter().flat_map(|place| [place.at[1]].into_iter().chain(place.interval.into_iter().flatten()));
        let (x, y) =
            (Axis::spanning(self.places.iter().map(|place| place.at[0]).chain([0.0]), 6), Axis::spanning(heights, 5));
        let across = |value: f64| MARGIN.0 + (SIZE.0 - MARGIN.0 - MARGIN.2) * x.share(value);
        let down = |value: f64| SIZE.1 - MARGIN.3 - (SIZE.1 - MARGIN.1 - MARGIN.3) * y.share(value);
        let bottom = SIZE.1 - MARGIN.3;
        html! {
            svg.distribution viewBox={ "0 0 " (SIZE.0) " " (SIZE.1) } role="img" aria-label={ (self.title) ": " (self.up) " by " (self.across) } {
                @for tick in &y.ticks {
                    line.grid x1=(MARGIN.0) x2=(SIZE.0 - MARGIN.2) y1=(place(down(*tick))) y2=(place(down(*tick))) {}
                    text.tick x=(MARGIN.0 - 8.0) y=(place(down(*tick) + 4.0)) text-anchor="end" { (y.label(*tick)) }
                }
                @for tick in &x.ticks {
                    line.mark x1=(place(across(*tick))) x2=(place(across(*tick))) y1=(bottom) y2=(bottom + 4.0) {}
                    text.tick x=(place(across(*tick))) y=(bottom + 18.0) text-anchor="middle" { (x.label(*tick)) }
                }
                text.tick x=(place((MARGIN.0 + SIZE.0 - MARGIN.2) / 2.0)) y=(SIZE.1 - 6.0) text-anchor="middle" { (self.across) }
                text.tick x=(MARGIN.0 - 8.0) y="10" text-anchor="start" { (self.up) }
                @for Place { name, at: [value, height], interval } in &self.places {
                    @if let Some([low, high]) = interval {
                        line.mark x1=(place(across(*value))) x2=(place(across(*value))) y1=(place(down(*low))) y2=(place(down(*high))) {}
                    }
                    circle.point cx=(place(across(*value))) cy=(place(down(*height))) r="5" {
                        title { (name) ": " (format!("{value:.1}, {height:.4}")) }
                    }
                    @let is_right = x.share(*value) > TURN;
                    text.tick x=(place(across(*value) + if is_right { -9.0 } else { 9.0 })) y=(place(down(*height) - 7.0))
                        text-anchor=(if is_right { "end" } else { "start" }) { (name) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_has_its_name_and_its_interval() {
        let place = |name: &str, at, interval| Place { name: name.into(), at, interval };
        let places = vec![place("<a>", [10.0, 0.8], Some([0.7, 0.9])), place("b", [40.0, 0.85], None)];
        let scatter = Scatter { title: "t", across: "ms", up: "Dice", places };
        let svg = scatter.render().into_string();
        assert!(svg.contains("&lt;a&gt;") && !svg.contains("<a>"), "{svg}");
        assert_eq!((svg.matches("<circle").count(), svg.matches("text-anchor=\"end\">b<").count()), (2, 1), "{svg}");
        // 10 of 0 to 40, and 0.8 of 0.7 to 0.9.
        let x = MARGIN.0 + (SIZE.0 - MARGIN.0 - MARGIN.2) / 4.0;
        let y = MARGIN.1 + (SIZE.1 - MARGIN.1 - MARGIN.3) / 2.0;
        assert!(svg.contains(&format!("cx=\"{}\" cy=\"{}\"", super::place(x), super::place(y))), "{svg}");
    }

    #[test]
    fn nothing_to_show_is_still_a_picture() {
        let svg = Scatter { title: "t", across: "ms", up: "Dice", places: Vec::new() }.render().into_string();
        assert!(svg.starts_with("<svg"), "{svg}");
    }
}
