//! `train networks`: lists the networks that can be trained.

use anyhow::Result;
use burn::tensor::Device;
use seg_cli::print;
use seg_nets::network::NetworkName;

/// The channels and classes of the networks that are counted.
const CHANNELS: usize = 3;
const CLASSES: usize = 2;

/// Prints each network as published, for three channels and two classes.
pub(crate) fn run() -> Result<()> {
    print(&NetworkName::ALL.map(describe).join("\n"))
}

fn describe(name: NetworkName) -> String {
    let config = name.config(CHANNELS, CLASSES);
    let parameters = config.init(&Device::flex()).num_learnable();
    let mut lines = vec![
        name.to_string(),
        format!("  network     {config}"),
        format!("  parameters  {}", in_thousands(parameters)),
        format!("  images      {}", config.sides()),
    ];
    lines.extend(name.options().iter().map(|option| format!("  option      {}: {}", option.name, option.values)));
    lines.push(format!("  source      {}", name.source()));
    lines.join("\n") + "\n"
}

/// Writes a number with commas between its thousands.
fn in_thousands(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_network_has_a_source_and_its_published_count() {
        for name in NetworkName::ALL {
            assert!(!name.source().is_empty(), "{name} has no source");
        }
        let text = describe(NetworkName::AmsUnet);
        for part in ["amsunet\n", "2,619,898", "sides of at least 16", "llluochen/AMSUnet"] {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!([0, 999, 1000, 2_619_898].map(in_thousands), ["0", "999", "1,000", "2,619,898"]);
    }
}
