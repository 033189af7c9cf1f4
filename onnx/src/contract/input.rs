//! What the image must look like when it reaches the network.

use serde::{Deserialize, Serialize};

/// The network's input, `[n, channels, height, width]` in float32.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The name of the graph's input.
    pub name: String,
    /// The channels and their order.
    pub color: ColorOrder,
    /// Subtracted from each channel of the image in [0, 1].
    pub mean: Vec<f32>,
    /// Then divided by, channel by channel.
    pub std: Vec<f32>,
    /// At which size an image is run.
    pub size: SizePolicy,
    /// The shortest side that the network takes, in pixels.
    pub side_min: usize,
}

/// The channels of the input and their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColorOrder {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red, as OpenCV reads files.
    Bgr,
    /// One channel: the luma of ITU-R BT.709, `0.2126 r + 0.7152 g + 0.0722 b`.
    Gray,
}

impl ColorOrder {
    /// The number of channels.
    pub fn channels(self) -> usize {
        match self {
            Self::Rgb | Self::Bgr => 3,
            Self::Gray => 1,
        }
    }

    /// The network's channels of a pixel given as red, green, blue; only the first [`channels`](Self::channels) count.
    pub(super) fn arrange(self, [red, green, blue]: [f32; 3]) -> [f32; 3] {
        match self {
            Self::Rgb => [red, green, blue],
            Self::Bgr => [blue, green, red],
            Self::Gray => [0.2126 * red + 0.7152 * green + 0.0722 * blue, 0.0, 0.0],
        }
    }
}

/// At which size an image is run; the mask always comes back at the image's own size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "policy", rename_all = "lowercase", deny_unknown_fields)]
pub enum SizePolicy {
    /// At its own size. A side below [`Input::side_min`] is extended by repeating the last row or column.
    Native,
    /// Stretched to one size, as the network was trained.
    Resize {
        /// Height in pixels.
        height: usize,
        /// Width in pixels.
        width: usize,
    },
}
