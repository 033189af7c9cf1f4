//! The Dice of every image: a histogram above a strip of points, as SVG.

use maud::{Markup, html};
use seg_metrics::quantile;

use crate::chart::place;

/// Width and height of the drawing, in its own units.
const SIZE: (f64, f64) = (1000.0, 216.0);
const LEFT: f64 = 28.0;
const RIGHT: f64 = 972.0;
/// The bottom of the histogram, and the edges of the strip.
const GROUND: f64 = 128.0;
const HISTOGRAM: f64 = 90.0;
const STRIP: (f64, f64) = (142.0, 180.0);
/// The bars per 0.1 of Dice.
const BARS_PER_TENTH: usize = 4;

/// An image with its score.
#[derive(Clone, Debug, PartialEq)]
pub struct Rated {
    /// The image's name.
    pub name: String,
    /// The mean Dice over the classes without the background.
    pub dice: f64,
}

/// Draws the distribution of the images' Dice, with its mean and its median.
pub fn distribution(images: &[Rated]) -> Markup {
    let mut sorted: Vec<f64> = images.iter().map(|image| image.dice).collect();
    sorted.sort_by(f64::total_cmp);
    let first_tenth = sorted.first().map_or(0, |dice| ((dice * 10.0) as usize).min(9));
    let low = first_tenth as f64 / 10.0;
    let across = |dice: f64| LEFT + (RIGHT - LEFT) * (dice - low) / (1.0 - low);
    let bars = histogram(&sorted, first_tenth);
    let highest = bars.iter().copied().max().unwrap_or_default().max(1) as f64;
    let width = (RIGHT - LEFT) / bars.len() as f64;
    let median = quantile(&sorted, 0.5).unwrap_or_default();
    let mean = sorted.iter().sum::<f64>() / sorted.len().max(1) as f64;
    html! {
        svg.distribution viewBox={ "0 0 " (SIZE.0) " " (SIZE.1) } role="img" aria-label="the images by their Dice" {
            @for (number, count) in bars.iter().enumerate().filter(|bar| *bar.1 > 0) {
                @let height = HISTOGRAM * *count as f64 / highest;
                @let start = low + number as f64 / (10 * BARS_PER_TENTH) as f64;
                rect.bar x=(place(LEFT + width * number as f64 + 1.0)) y=(place(GROUND - height)) width=(place(width - 2.0)) height=(place(height)) {
                    title { (count) " of " (images.len()) " from " (format!("{start:.3}")) }
                }
                text.tick x=(place(LEFT + width * (number as f64 + 0.5))) y=(place(GROUND - height - 5.0)) text-anchor="middle" { (count) }
            }
            line.mark x1=(LEFT) x2=(RIGHT) y1=(GROUND) y2=(GROUND) {}
            @for (number, image) in images.iter().enumerate() {
                circle.point cx=(place(across(image.dice))) cy=(place(height_in_strip(number))) r="4" {
                    title { (image.name) ": " (format!("{:.4}", image.dice)) }
                }
            }
            @for (name, value, anchor, shift) in [("mean", mean, "end", -5.0), ("median", median, "start", 5.0)] {
                line.best x1=(place(across(value))) x2=(place(across(value))) y1="14" y2=(STRIP.1) {}
                // Each label stands on the outer side of its line, left of the smaller value and
                // right of the larger.
                @let outward = if mean <= median { (anchor, shift) } else { flip(anchor, shift) };
                text.tick x=(place(across(value) + outward.1)) y="14" text-anchor=(outward.0) { (name) " " (format!("{value:.3}")) }
            }
            @for tenth in first_tenth..=10 {
                @let x = across(tenth as f64 / 10.0);
                line.mark x1=(place(x)) x2=(place(x)) y1=(STRIP.1 + 8.0) y2=(STRIP.1 + 13.0) {}
                text.tick x=(place(x)) y=(SIZE.1 - 8.0) text-anchor="middle" { (format!("{:.1}", tenth as f64 / 10.0)) }
            }
        }
    }
}

/// Counts the images per bar, from a tenth of Dice to 1.
fn histogram(dice: &[f64], first_tenth: usize) -> Vec<usize> {
    let mut bars = vec![0; (10 - first_tenth) * BARS_PER_TENTH];
    let last = bars.len() - 1;
    for dice in dice {
        // Rounding may move a value at the border out on either side.
        let bar = (dice * 10.0 - first_tenth as f64) * BARS_PER_TENTH as f64 + 1e-9;
        bars[(bar.max(0.0) as usize).min(last)] += 1;
    }
    bars
}

/// Spreads points over the strip so that equal values do not overlap: the fractions of multiples of
/// the golden ratio never repeat.
fn height_in_strip(number: usize) -> f64 {
    STRIP.0 + (STRIP.1 - STRIP.0) * (number as f64 * 0.618_034).fract()
}

fn flip(anchor: &str, shift: f64) -> (&'static str, f64) {
    (if anchor == "end" { "start" } else { "end" }, -shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rated(dice: &[f64]) -> Vec<Rated> {
        dice.iter().map(|dice| Rated { name: format!("<{dice}>"), dice: *dice }).collect()
    }

    #[test]
    fn every_image_is_in_one_bar() {
        for (name, dice, first_tenth, bars) in [
            ("spread", vec![0.0, 0.5, 1.0], 0, vec![(0, 1), (20, 1), (39, 1)]),
            ("close together", vec![0.81, 0.82, 0.9], 8, vec![(0, 2), (4, 1)]),
            ("perfect", vec![1.0; 3], 9, vec![(3, 3)]),
        ] {
            let found: Vec<_> = histogram(&dice, first_tenth).into_iter().enumerate().filter(|bar| bar.1 > 0).collect();
            assert_eq!(found, bars, "{name}");
        }
    }

    #[test]
    fn every_image_can_be_pointed_at() {
        for dice in [vec![], vec![0.3], vec![0.2, 0.9, 0.95], vec![1.0, 1.0]] {
            let svg = distribution(&rated(&dice)).into_string();
            assert_eq!(svg.matches("<circle").count(), dice.len());
            assert!(!svg.contains("NaN") && !svg.contains("<0"), "{svg}");
            for value in dice {
                assert!(svg.contains(&format!("&lt;{value}&gt;: {value:.4}")), "{svg}");
            }
        }
    }
}
