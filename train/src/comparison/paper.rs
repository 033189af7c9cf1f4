//! The order in which AMSUnet's paper places networks, beside the order that a comparison found.
//!
//! Yin et al., "AMSUnet: A neural network using atrous multi-scale convolution for medical image
//! segmentation" (2023), places AMSUnet before the networks of [`BEHIND`], and before itself with
//! the settings of [`WITHOUT`] (its tables 5 and 6). It places it before a ResUNet too, which is
//! neither of ours.

use super::results::{Comparison, Difference};
use super::variant::Variant;

/// The name of the paper.
pub(super) const PAPER: &str = "Yin et al. 2023, doi:10.1016/j.compbiomed.2023.107120";
/// The network of the paper.
const OWN: &str = "amsunet";
/// The networks that it places behind its own.
const BEHIND: [&str; 5] = ["unet", "unet-plus-plus", "attention-unet", "trans-unet", "conv-unext"];
/// The settings with which it places its own network behind the published one: normalisation behind
/// the parts of a block, a residual around each part, plain skip connections.
const WITHOUT: [(&str, &str); 3] = [("norm", "bb"), ("residual", "o"), ("skip", "plain")];

/// Returns true if the paper places a network behind AMSUnet as published.
fn is_behind(variant: &Variant) -> bool {
    match &variant.settings[..] {
        [] => BEHIND.contains(&variant.network.as_str()),
        [(name, value)] => variant.network == OWN && WITHOUT.contains(&(name.as_str(), value.as_str())),
        _ => false,
    }
}

/// Lists the networks that the paper places behind the first one, each with what was found here;
/// nothing if the first one is not AMSUnet as published.
pub(super) fn order(comparison: &Comparison) -> Vec<(&str, &'static str)> {
    let first = comparison.plan.networks.first();
    if !first.is_some_and(|first| first.network == OWN && first.settings.is_empty()) {
        return Vec::new();
    }
    let rows = comparison.plan.networks.iter().zip(&comparison.rows).filter(|(variant, _)| is_behind(variant));
    rows.filter_map(|(_, row)| Some((row.network.as_str(), found(row.difference.as_ref()?)))).collect()
}

/// Says whether a difference to the first network is what the paper says.
fn found(difference: &Difference) -> &'static str {
    match difference.is_beyond_chance() {
        true if difference.dice < 0.0 => "the same",
        true => "the reverse",
        false => "open: no difference beyond chance",
    }
}

#[cfg(test)]
mod tests {
    use super::super::results::Row;
    use super::super::results::tests::comparison;
    use super::*;

    #[test]
    fn only_what_the_paper_places_behind_its_network_is_listed_with_what_was_found() {
        let Comparison { mut plan, data, rows, runs } = comparison();
        plan.networks.clear();
        let mut compared = Vec::new();
        for (network, difference) in [
            ("amsunet", None),
            ("unet", Some((-0.02, [-0.03, -0.01]))),
            ("amsunet:norm=bb", Some((0.02, [0.01, 0.03]))),
            ("amsunet:skip=plain", Some((-0.02, [-0.05, 0.01]))),
            // The paper says nothing of these.
            ("amsunet:skip=se", Some((-0.02, [-0.03, -0.01]))),
            ("amsunet:norm=bb,residual=o", Some((-0.02, [-0.03, -0.01]))),
            ("unet:base_width=16", Some((-0.02, [-0.03, -0.01]))),
            ("res-unet", Some((-0.02, [-0.03, -0.01]))),
        ] {
            plan.networks.push(network.parse().unwrap());
            let difference = difference.map(|(dice, interval)| Difference { dice, interval: Some(interval) });
            compared.push(Row { network: network.into(), difference, ..rows[0].clone() });
        }
        let mut comparison = Comparison { plan, data, rows: compared, runs };
        let expected = [
            ("unet", "the same"),
            ("amsunet:norm=bb", "the reverse"),
            ("amsunet:skip=plain", "open: no difference beyond chance"),
        ];
        assert_eq!(order(&comparison), expected);
        comparison.plan.networks[0] = "amsunet:base_width=16".parse().unwrap();
        assert_eq!(order(&comparison), [], "another network than the paper's comes first");
    }
}
