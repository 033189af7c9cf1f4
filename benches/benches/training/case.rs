//! The configurations of the networks that are compared, and the cases of each.

use anyhow::{Context, Result};
use seg_nets::device::DeviceChoice;
use seg_nets::network::{NetworkConfig, NetworkName};

use crate::measure::Task;

/// The settings of TransUNet: about five million parameters, as the other networks have.
const SMALL_TRANS_UNET: [(&str, &str); 8] = [
    ("side", "224"),
    ("width", "32"),
    ("units", "2-2-2"),
    ("hidden", "192"),
    ("layers", "8"),
    ("mlp", "768"),
    ("more", "128"),
    ("decoder", "64-32-16-16"),
];

/// The kind of a step, its size, and how often it is measured.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) task: Task,
    pub(crate) size: [usize; 2],
    pub(crate) batch: usize,
    /// The number of timed steps.
    pub(crate) steps: usize,
}

impl Case {
    const fn train(batch: usize, side: usize, steps: usize) -> Self {
        Self { task: Task::Train, size: [side; 2], batch, steps }
    }

    const fn forward(batch: usize, side: usize, steps: usize) -> Self {
        Self { task: Task::Forward, size: [side; 2], batch, steps }
    }

    /// Returns the name, such as `train 2x3x256x256`.
    pub(crate) fn name(&self) -> String {
        let Self { task, size: [height, width], batch, .. } = self;
        format!("{} {batch}x3x{height}x{width}", task.name())
    }

    /// Returns the cases of a network on a device.
    pub(crate) fn all(network: NetworkName, device: DeviceChoice) -> Vec<Self> {
        match (network, device) {
            (NetworkName::AmsUnet, DeviceChoice::Cpu) => {
                vec![Self::train(2, 256, 3), Self::train(1, 480, 3), Self::forward(1, 512, 5)]
            }
            (NetworkName::TransUNet, _) => vec![Self::train(2, 224, 3), Self::forward(1, 224, 5)],
            (_, DeviceChoice::Cpu) => vec![Self::train(2, 256, 3), Self::forward(1, 256, 5)],
            // So many steps that the first ones, in which kernels are chosen, do not change the
            // median.
            _ => [8, 16].into_iter().flat_map(|batch| [256, 480].map(|side| Self::train(batch, side, 40))).collect(),
        }
    }
}

/// Returns the size at which many steps are compared: a small one, so that they are quick.
pub(crate) fn size_of_steps(network: NetworkName) -> [usize; 2] {
    match network {
        // It takes images of its own size alone.
        NetworkName::TransUNet => [224; 2],
        _ => [64; 2],
    }
}

/// Returns the configuration of a network that is compared: of base width 32 where it has one.
pub(crate) fn config(network: NetworkName) -> Result<NetworkConfig> {
    let settings: &[(&str, &str)] = match network {
        NetworkName::TransUNet => &SMALL_TRANS_UNET,
        NetworkName::AttentionUNet | NetworkName::ResUNetCanonical => &[("base_width", "32")],
        _ => &[],
    };
    let config = network.config(3, 2).with_settings(settings.iter().copied());
    config.with_context(|| format!("cannot configure `{network}`"))
}
