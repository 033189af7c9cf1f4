//! Settings that follow from the data, each with its reason: size, crop, batch, epochs, and the
//! share of crops over a target.

use seg_contract::Sides;
use serde_json::json;

use super::Settings;
use crate::data::statistics::Statistics;

/// The largest crop on the CPU and on a GPU, in pixels.
const CROP_MAX: [u32; 2] = [256, 480];
/// The images per batch on the CPU and on a GPU.
const BATCH: [usize; 2] = [4, 8];
/// The share of the pixels below which a class is rare.
const RARE: f64 = 0.05;
/// The share of crops that are laid over a class where one is rare.
const TARGET: f64 = 0.33;
/// The shorter side from which images are stretched to a smaller size, if no class is rare.
const LARGE: u32 = 1024;
/// The shorter side to which they are stretched.
const STRETCHED: u32 = 512;
/// The steps for a number of training images: few images are learned by heart, many need time.
const STEPS: [(usize, usize); 3] = [(20, 1_500), (200, 4_000), (usize::MAX, 12_000)];
/// The fewest and the most rounds over all images.
const EPOCHS: [usize; 2] = [12, 400];

/// The facts that settings follow from.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The number of training images.
    pub images: usize,
    /// Their statistics.
    pub statistics: &'a Statistics,
    /// The sizes that the network takes.
    pub sides: Sides,
    /// True if the CPU trains.
    pub is_cpu: bool,
}

/// Settings with a reason for each.
#[derive(Clone, Debug, PartialEq)]
pub struct Advice {
    /// The settings, by the names that they have in a configuration.
    pub settings: Settings,
    /// A sentence for each: the setting, and why.
    pub reasons: Vec<String>,
}

impl Advice {
    /// Chooses settings by the data.
    pub fn new(facts: &Facts<'_>) -> Self {
        let Facts { images, statistics, sides, is_cpu } = facts;
        let device = usize::from(!is_cpu);
        let (mut settings, mut augmentation, mut reasons) = (Settings::new(), Settings::new(), Vec::new());
        let rare = rarest(statistics);
        let mut seen = statistics.short_side;

        if sides.only.is_none() {
            let is_rare = rare.is_some_and(|(_, share)| share < RARE);
            let (shown, size) = if statistics.short_side > LARGE && !is_rare {
                let [height, width] = stretched(statistics.median, *sides);
                seen = height.min(width);
                (format!("{height}x{width}"), json!({ "policy": "resize", "height": height, "width": width }))
            } else {
                ("native".into(), json!({ "policy": "native" }))
            };
            let short = statistics.short_side;
            reasons.push(match (seen == short, is_rare) {
                (false, _) => format!("size {shown}: images have a shorter side of {short} pixels, and no class is so small that it needs them"),
                (true, true) => format!("size {shown}: a class has few pixels, which stretching would blur"),
                (true, false) => format!("size {shown}: images have a shorter side of {short} pixels, which a network sees as they are"),
            });
            settings.insert("size".into(), size);
            if seen == short {
                let side = CROP_MAX[device].min(short);
                let [crop, _] = sides.crop([side; 2]);
                let place = if *is_cpu { "the CPU" } else { "a GPU" };
                reasons.push(format!("crop {crop}: as much of the shorter side of {short} pixels as {place} learns from in reasonable time"));
                augmentation.insert("crop".into(), json!([crop, crop]));
            }
        }

        let batch = BATCH[device].min(images.div_ceil(2)).max(1);
        reasons.push(format!(
            "batch of {batch}: {}",
            if batch < BATCH[device] {
                format!("half of the {images} images, so that an epoch has more than a step")
            } else {
                "enough images for the statistics of BatchNorm, few enough for memory and many steps".into()
            }
        ));
        settings.insert("batch_size".into(), json!(batch));

        let (_, steps) = STEPS.into_iter().find(|(most, _)| images <= most).unwrap_or(STEPS[2]);
        let per_epoch = images.div_ceil(batch).max(1);
        let epochs = (steps / per_epoch).clamp(EPOCHS[0], EPOCHS[1]);
        reasons.push(format!("{epochs} epochs: about {} steps for {images} images", epochs * per_epoch));
        settings.insert("epochs".into(), json!(epochs));

        if let Some((class, share)) = rare.filter(|(_, share)| *share < RARE) {
            reasons.push(format!(
                "a third of the crops over a class: class {class} has {:.2} % of the pixels, and would be seen too seldom",
                100.0 * share
            ));
            augmentation.insert("target".into(), json!(TARGET));
        }
        if !augmentation.is_empty() {
            settings.insert("augmentation".into(), augmentation.into());
        }
        Self { settings, reasons }
    }
}

/// Returns the rarest class but the background that occurs, with its share of the pixels.
fn rarest(statistics: &Statistics) -> Option<(usize, f64)> {
    let all: u64 = statistics.class_pixels.iter().sum();
    let targets = statistics.class_pixels.iter().enumerate().skip(1).filter(|(_, pixels)| **pixels > 0);
    let (class, pixels) = targets.min_by_key(|(_, pixels)| **pixels)?;
    Some((class, *pixels as f64 / all as f64))
}

/// Returns the size to which large images are stretched: of their shape, of sides that the network
/// takes and halves well.
fn stretched(median: [u32; 2], sides: Sides) -> [u32; 2] {
    let short = median[0].min(median[1]).max(1);
    let scaled = median.map(|side| (f64::from(side) * f64::from(STRETCHED) / f64::from(short)).round() as u32);
    sides.crop(scaled)
}

#[cfg(test)]
mod tests {
    use seg_nets::amsunet::AmsUnetConfig;
    use seg_nets::network::Configuration;
    use seg_nets::trans_unet::TransUNetConfig;
    use serde_json::Value;

    use super::*;

    fn statistics(short_side: u32, class_pixels: Vec<u64>) -> Statistics {
        Statistics { mean: [0.5; 3], std: [0.2; 3], short_side, median: [short_side, short_side * 3 / 2], class_pixels }
    }

    #[test]
    fn settings_follow_from_the_data_and_say_why() {
        let native = json!({ "policy": "native" });
        for (name, images, short, pixels, is_cpu, expected) in [
            ("ten", 10, 300, vec![60, 40], true, json!([native, [256, 256], 4, 400, null])),
            ("a hundred", 100, 600, vec![60, 40], true, json!([native, [256, 256], 4, 160, null])),
            ("a thousand", 1000, 600, vec![60, 40], false, json!([native, [480, 480], 8, 96, null])),
            ("a rare class", 100, 600, vec![97, 3], true, json!([native, [256, 256], 4, 160, 0.33])),
            ("three images", 3, 600, vec![60, 40], true, json!([native, [256, 256], 2, 400, null])),
            (
                "large images",
                1000,
                3000,
                vec![60, 40],
                true,
                json!([{ "policy": "resize", "height": 512, "width": 768 }, null, 4, 48, null]),
            ),
            ("large images with a rare class", 1000, 3000, vec![97, 3], true, json!([native, [256, 256], 4, 48, 0.33])),
        ] {
            let statistics = statistics(short, pixels);
            let sides = AmsUnetConfig::new().sides();
            let advice = Advice::new(&Facts { images, statistics: &statistics, sides, is_cpu });
            let settings = Value::Object(advice.settings);
            let at = |path: &str| settings.pointer(path).cloned().unwrap_or_default();
            let paths = ["/size", "/augmentation/crop", "/batch_size", "/epochs", "/augmentation/target"];
            assert_eq!(Value::from(paths.map(at).to_vec()), expected, "{name}");
            let given = paths.map(at).iter().filter(|value| !value.is_null()).count();
            assert_eq!(advice.reasons.len(), given, "{name}: {:?}", advice.reasons);
        }
    }

    #[test]
    fn a_network_of_one_size_keeps_it() {
        let statistics = statistics(600, vec![1, 1]);
        let sides = TransUNetConfig::new().sides();
        let facts = Facts { images: 50, statistics: &statistics, sides, is_cpu: true };
        let settings = Advice::new(&facts).settings;
        assert!(!settings.contains_key("size") && !settings.contains_key("augmentation"), "{settings:?}");
    }
}
