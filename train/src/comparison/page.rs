//! The page of a comparison.

use maud::{Markup, html};
use seg_metrics::Estimate;
use seg_report::table::{grouped, score};
use seg_report::{Figure, Place, Scatter, count, figures, page};

use super::paper::{PAPER, order};
use super::results::{Comparison, Difference, Row, by_seed};

/// Renders the comparison as one HTML page that needs no other file.
pub(super) fn html(comparison: &Comparison) -> String {
    let body = html! {
        (head(comparison))
        (networks(comparison))
        (plot(comparison))
        (paper(comparison))
        (runs(comparison))
        (again(comparison))
    };
    page(&format!("{} · comparison of networks", comparison.data), &body)
}

fn head(comparison: &Comparison) -> Markup {
    let best = comparison.rows.iter().max_by(|one, other| dice(one).total_cmp(&dice(other)));
    let fastest = comparison.rows.iter().min_by(|one, other| one.latency.p50_ms.total_cmp(&other.latency.p50_ms));
    let images = comparison.rows.first().map_or(0, |row| row.dice.images);
    let seeds = comparison.plan.seeds.len();
    let first = comparison.plan.networks.first().map(ToString::to_string).unwrap_or_default();
    let figures = figures(&[
        Figure {
            name: "Highest Dice per image",
            value: best.map_or_else(|| "–".into(), |row| score(dice(row))),
            meaning: best.map_or_else(String::new, |row| {
                format!("{}. The table says whether that is beyond chance.", row.network)
            }),
        },
        Figure {
            name: "Fastest",
            value: fastest.map_or_else(|| "–".into(), |row| format!("{:.1} ms", row.latency.p50_ms)),
            meaning: fastest.map_or_else(String::new, |row| {
                format!("{}, one image in ONNX Runtime on the CPU, the median.", row.network)
            }),
        },
        Figure {
            name: "Runs",
            value: comparison.runs.len().to_string(),
            meaning: format!("{}, each with {}.", count(comparison.rows.len(), "network"), count(seeds, "seed")),
        },
    ]);
    html! {
        header {
            p { "Comparison of networks" }
            h1 { (comparison.data) }
            p.lead { "Scored on " (count(images, "image")) " that no network has learned from." }
        }
        (figures)
        p.note {
            "All networks have the same images, the same split, the same seeds and the same flags (" code { (comparison.plan.train.join(" ")) } "). Each was exported "
            "and proven, and scored as it is deployed. Differences are to " (first) ", image by image; a difference is beyond chance if its 95 % interval, a paired "
            "bootstrap over the images, does not contain zero. The interval is over images and not over seeds: with few seeds, a deviation between seeds as large as "
            "a difference speaks against it."
        }
    }
}

fn networks(comparison: &Comparison) -> Markup {
    html! {
        section {
            h2 { "Networks" }
            div.wide {
                table {
                    thead {
                        tr {
                            th { "Network" } th.n { "Dice per image" } th.n { "± seeds" } th.n { "Mean IoU" } th.n { "Difference in Dice" } th { "Verdict" }
                            th.n { "Parameters" } th.n { "G multiply-adds" } th.n { "ms" } th.n { "MiB" } th.n { "Minutes of training" }
                        }
                    }
                    tbody { @for row in &comparison.rows { (network(row)) } }
                }
            }
        }
    }
}

fn network(row: &Row) -> Markup {
    let Row { latency, .. } = row;
    html! {
        tr {
            th scope="row" { (row.network) }
            td.n { (estimate(&row.dice)) }
            td.n { (row.seeds_std.map_or_else(|| "–".into(), score)) }
            td.n { (row.mean_iou.value.map_or_else(|| "–".into(), score)) }
            @match &row.difference {
                Some(difference) => { td.n { (signed(difference)) } td { (difference.verdict()) } }
                None => { td.n { "–" } td { "what the others are compared with" } }
            }
            td.n { (grouped(row.parameters)) }
            td.n { (format!("{:.2}", latency.multiply_adds as f64 / 1e9)) small { " " (latency.size[0]) "x" (latency.size[1]) } }
            td.n { (format!("{:.1}", latency.p50_ms)) small { " 95 %: " (format!("{:.1}", latency.p95_ms)) } }
            td.n { (latency.peak_memory_bytes.map_or_else(|| "–".into(), |bytes| (bytes >> 20).to_string())) }
            td.n { (format!("{:.1}", row.minutes)) }
        }
    }
}

fn plot(comparison: &Comparison) -> Markup {
    let places = comparison.rows.iter().filter_map(|row| {
        Some(Place {
            name: row.network.clone(),
            at: [row.latency.p50_ms, row.dice.value?],
            interval: row.dice.interval,
        })
    });
    let scatter = Scatter {
        title: "Accuracy over latency",
        across: "milliseconds per image",
        up: "Dice per image",
        places: places.collect(),
    };
    html! {
        section {
            h2 { "Accuracy over latency" }
            p.note { "Up and left is better. The bars are the 95 % intervals over the images." }
            figure.wide { (scatter.render()) }
        }
    }
}

fn paper(comparison: &Comparison) -> Markup {
    let order = order(comparison);
    html! {
        @if !order.is_empty() {
            section {
                h2 { "The order of AMSUnet's paper" }
                p.note {
                    "The paper (" (PAPER) ") places AMSUnet before each of these networks, on other data or with other training than here."
                }
                div.wide {
                    table {
                        thead { tr { th { "AMSUnet before" } th { "The order here" } } }
                        tbody { @for (network, found) in order { tr { th scope="row" { (network) } td { (found) } } } }
                    }
                }
            }
        }
    }
}

fn runs(comparison: &Comparison) -> Markup {
    html! {
        section {
            h2 { "Runs" }
            div.wide {
                table {
                    thead { tr { th { "Network" } th.n { "Seed" } th.n { "Dice per image" } th.n { "Best epoch" } th.n { "Minutes" } } }
                    tbody {
                        @for (seed, runs) in by_seed(comparison) {
                            @for run in runs {
                                @let dice = run.images.iter().map(|image| image.dice).sum::<f64>() / run.images.len().max(1) as f64;
                                tr {
                                    th scope="row" { (comparison.plan.networks[run.variant]) }
                                    td.n { (seed) }
                                    td.n { (score(dice)) }
                                    td.n { (run.best_epoch) " of " (run.epochs) }
                                    td.n { (format!("{:.1}", run.minutes)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn again(comparison: &Comparison) -> Markup {
    html! {
        section {
            h2 { "Again" }
            p { "All runs follow from one file, which lies beside this page:" }
            pre { "seg train compare-networks --plan plan.json --out ANOTHER" }
            p.note { "The data's fingerprint (SHA-256) is " code { (comparison.plan.data_sha256) } "." }
        }
    }
}

fn dice(row: &Row) -> f64 {
    row.dice.value.unwrap_or(f64::NEG_INFINITY)
}

fn estimate(estimate: &Estimate) -> String {
    match (estimate.value, estimate.interval) {
        (Some(value), Some([low, high])) => format!("{value:.4} ({low:.4} to {high:.4})"),
        (Some(value), None) => score(value),
        (None, _) => "–".into(),
    }
}

fn signed(difference: &Difference) -> String {
    let interval = difference.interval.map_or_else(String::new, |[low, high]| format!(" ({low:+.4} to {high:+.4})"));
    format!("{:+.4}{interval}", difference.dice)
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::comparison;
    use super::*;

    #[test]
    fn the_page_has_every_number_and_nothing_that_runs() {
        let page = html(&comparison());
        for (name, part) in [
            ("Dice with its interval", "0.8000 ("),
            ("the difference", "+0.1000 (+0.1000 to +0.1000)"),
            ("the verdict", "better"),
            ("multiply-adds", "6.00"),
            ("the plot", "milliseconds per image"),
            ("a variant", "unet:base_width=16"),
            ("the flags", "--epochs 3"),
            ("the way to do it again", "--plan plan.json"),
        ] {
            assert!(page.contains(part), "{name}: no {part:?}");
        }
        for part in ["<script", "<cells>", "<b>", "http:", "https:"] {
            assert!(!page.contains(part), "{part:?} in the page");
        }
    }
}
