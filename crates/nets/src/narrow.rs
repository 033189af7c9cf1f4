//! Narrow networks, which compute in moments what the published ones compute in minutes.

use crate::network::{NetworkConfig, NetworkName};

impl NetworkName {
    /// Returns the configuration of a narrow network: of base width 8, or of settings that make a
    /// network as narrow which has no base width.
    pub fn narrow(self, in_channels: usize, classes: usize) -> NetworkConfig {
        let settings: &[_] = match self {
            Self::UNext => &[("widths", "8-12-16-24-32")],
            Self::SegNext => &[
                ("widths", "8-12-16-24"),
                ("depths", "1-2-1-1"),
                ("ham_channels", "32"),
                ("head_channels", "32"),
                ("rank", "8"),
            ],
            Self::TransUNet => &[
                ("side", "64"),
                ("width", "32"),
                ("units", "1-2-1"),
                ("hidden", "24"),
                ("layers", "2"),
                ("mlp", "40"),
                ("more", "20"),
                ("decoder", "16-12-8-8"),
            ],
            _ => &[("base_width", "8")],
        };
        let config = self.config(in_channels, classes).with_settings(settings.iter().copied());
        config.expect("the settings are the network's")
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};

    use super::*;

    #[test]
    fn the_smallest_map_is_that_of_a_stage() {
        for name in NetworkName::ALL {
            let config = name.narrow(3, 2);
            let network = config.init(&Device::flex());
            let sides = config.sides();
            for size in [[128, 64], [64, 64], [107, 75]].into_iter().filter(|size| sides.fit(*size)) {
                let mut smallest = size;
                let image = Tensor::zeros([1, 3, size[0], size[1]], &Device::flex());
                network.forward_observed(image, |_, map| {
                    let [_, _, height, width] = map.dims();
                    smallest = smallest.min([height, width]);
                });
                assert_eq!(config.smallest_map(size), smallest, "{name}, {size:?}");
            }
        }
    }
}
