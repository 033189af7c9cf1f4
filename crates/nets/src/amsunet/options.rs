//! The paper's ablations of AMSUnet, as options.

use serde::{Deserialize, Serialize, Serializer};

use super::ams::STRIPS;
use super::{AmseForm, NormPlace, Residuals};
use crate::network::{NetworkOption, SettingError, ShapeOf, setting_value};
use crate::numbers::Dashed;
use crate::u_shape_config::Options;

/// The dilations of the published network's encoder.
const DILATION: [usize; 5] = [1, 1, 1, 3, 5];

/// The block on the skip connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SkipKind {
    /// None.
    Plain,
    /// [`Rsc`](super::Rsc).
    #[default]
    Rsc,
    /// [`Se`](super::Se).
    Se,
    /// [`Cbam`](super::Cbam).
    Cbam,
    /// [`Scse`](super::Scse).
    Scse,
}

/// The ablations; each changes nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct AmsUnetOptions {
    /// The place of a block's normalisations.
    pub norm: NormPlace,
    /// The number of a block's residuals.
    pub residual: Residuals,
    /// True if GELU follows the last of two residuals.
    pub closing_gelu: bool,
    /// The block on the skip connections.
    pub skip: SkipKind,
    /// The dilations of `in_conv` and `down1` to `down4`; the decoder has none.
    pub dilation: Dashed<5>,
    /// The lengths of the strips, odd.
    pub strips: Dashed<3>,
}

impl Default for AmsUnetOptions {
    /// Returns the published network.
    fn default() -> Self {
        Self {
            norm: NormPlace::default(),
            residual: Residuals::default(),
            closing_gelu: false,
            skip: SkipKind::default(),
            dilation: Dashed(DILATION),
            strips: Dashed(STRIPS),
        }
    }
}

impl AmsUnetOptions {
    /// Returns the form of the blocks.
    pub fn form(&self) -> AmseForm {
        AmseForm { norm: self.norm, residual: self.residual, closing_gelu: self.closing_gelu }
    }
}

impl Options for AmsUnetOptions {
    const OPTIONS: &'static [NetworkOption] = &[
        NetworkOption {
            name: "norm",
            values: "bf (before attention and feed-forward part) or bb (behind)",
            in_weights: false,
            only_with: None,
        },
        NetworkOption {
            name: "residual",
            values: "n (one, then GELU) or o (one around each part)",
            in_weights: false,
            only_with: None,
        },
        NetworkOption {
            name: "closing_gelu",
            values: "false or true, with residual=o",
            in_weights: false,
            only_with: Some(("residual", "o")),
        },
        NetworkOption { name: "skip", values: "rsc, plain, se, cbam or scse", in_weights: true, only_with: None },
        NetworkOption {
            name: "dilation",
            values: "1-1-1-3-5 or five others, from in_conv to down4",
            in_weights: false,
            only_with: None,
        },
        NetworkOption {
            name: "strips",
            values: "5-7-11 or three other odd lengths",
            in_weights: true,
            only_with: None,
        },
    ];

    fn from_shapes(shape_of: &ShapeOf<'_>) -> Self {
        let has = |name: &str| (1..=4).any(|up| shape_of(&format!("up{up}.{name}.weight")).is_ok());
        let skip = if has("skip.conv") {
            SkipKind::Cbam
        } else if has("skip.squeeze") {
            SkipKind::Scse
        } else if has("skip.fc1") || has("skip.fc2") {
            SkipKind::Se
        } else if has("satt.squeeze") || has("catt.conv1") || has("catt.conv2") {
            SkipKind::Rsc
        } else {
            SkipKind::Plain
        };
        let length = |strip: usize| shape_of(&format!("in_conv.3.attn.ams.conv{strip}_1.weight")).ok();
        let strips = std::array::from_fn(|strip| length(strip).map_or(STRIPS[strip], |[_, _, _, length]| length));
        Self { skip, strips: Dashed(strips), ..Self::default() }
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        let Self { norm, residual, closing_gelu, skip, dilation, strips } = *self;
        let default = Self::default();
        let all = [
            ("norm", word(&norm), norm != default.norm),
            ("residual", word(&residual), residual != default.residual),
            ("closing_gelu", closing_gelu.to_string(), closing_gelu),
            ("skip", word(&skip), skip != default.skip),
            ("dilation", dilation.to_string(), dilation != default.dilation),
            ("strips", strips.to_string(), strips != default.strips),
        ];
        all.into_iter().filter(|(.., differs)| *differs).map(|(name, value, _)| (name, value)).collect()
    }

    fn check(&self) -> Result<(), SettingError> {
        let error = |name, found: String, expected: &str| Err(SettingError { name, found, expected: expected.into() });
        if self.closing_gelu && self.residual == Residuals::N {
            return error("closing_gelu", "true".into(), "false with one residual, which GELU follows already");
        }
        if self.dilation.0.contains(&0) {
            return error("dilation", self.dilation.to_string(), "five numbers of at least 1");
        }
        if self.strips.0.iter().any(|length| length.is_multiple_of(2)) {
            return error("strips", self.strips.to_string(), "three odd lengths");
        }
        Ok(())
    }
}

/// Returns the word that a value of a list is written as.
fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        other => unreachable!("a list of words gave {other:?}"),
    }
}

/// Leaves out what is the default.
impl Serialize for AmsUnetOptions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.settings().into_iter().map(|(name, value)| (name, setting_value(&value))))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::network::{NetworkConfig, NetworkName};

    #[test]
    fn options_are_written_where_they_differ_and_read_back() {
        let published = NetworkName::AmsUnet.config(3, 2);
        let plain = json!({ "in_channels": 3, "num_classes": 2, "base_width": 32 });
        assert_eq!(serde_json::to_value(&published).unwrap(), plain);
        for (settings, expected) in [
            (vec![("norm", "bb")], json!({ "norm": "bb" })),
            (vec![("residual", "o"), ("closing_gelu", "true")], json!({ "residual": "o", "closing_gelu": true })),
            (vec![("skip", "cbam")], json!({ "skip": "cbam" })),
            (vec![("dilation", "1-2-3-4-5")], json!({ "dilation": "1-2-3-4-5" })),
            (vec![("strips", "7-11-21"), ("norm", "bf")], json!({ "strips": "7-11-21" })),
            (vec![("skip", "rsc"), ("dilation", "1-1-1-3-5"), ("closing_gelu", "false")], json!({})),
        ] {
            let config = published.with_settings(settings.iter().copied()).unwrap();
            let mut written = serde_json::to_value(&config).unwrap();
            assert_eq!(serde_json::from_value::<NetworkConfig>(written.clone()).unwrap(), config, "{settings:?}");
            written.as_object_mut().unwrap().retain(|name, _| !plain.as_object().unwrap().contains_key(name));
            assert_eq!(written, expected, "{settings:?}");
            assert_eq!(config.check(), Ok(()), "{settings:?}");
        }
        for (setting, part) in [
            (("norm", "bx"), "unknown variant `bx`"),
            (("strips", "5-7"), "`5-7` is not a list of 3 numbers"),
            (("dilation", "3"), "invalid type"),
            (("depth", "3"), "no setting `depth`"),
        ] {
            let message = published.with_settings([setting]).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
        for (setting, part) in [
            (("closing_gelu", "true"), "`closing_gelu` is true"),
            (("strips", "5-8-11"), "`strips` is 5-8-11, expected three odd"),
            (("dilation", "1-1-0-3-5"), "`dilation` is 1-1-0-3-5"),
        ] {
            let message = published.with_settings([setting]).unwrap().check().unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }
}
