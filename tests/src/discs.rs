//! A small data set of drawn discs, and a run on it.

use std::fs;
use std::path::Path;

use image::{GrayImage, Luma, Rgb, RgbImage};
use seg_contract::SizePolicy;
use seg_data::{Dataset, write_mask_png, write_png};
use seg_nets::amsunet::AmsUnetConfig;
use seg_nets::network::NetworkConfig;
use seg_train::data::augment::Augmentation;
use seg_train::data::split::Split;
use seg_train::run::Run;
use seg_train::run::config::Config;

const IMAGES: u32 = 6;

/// Draws bright discs on a dark ground, each image of another size, with their masks.
///
/// # Panics
/// When the folder cannot be written.
pub fn draw(folder: &Path) -> Dataset {
    for part in ["images", "masks"] {
        fs::create_dir_all(folder.join(part)).expect("the folder can be written");
    }
    for number in 0..IMAGES {
        let (width, height) = (33 + 2 * number, 47 - number);
        let inside = |x: u32, y: u32| x.abs_diff(12 + number).pow(2) + y.abs_diff(20).pow(2) < 90;
        let image = RgbImage::from_fn(width, height, |x, y| {
            let shade = (7 * x + 3 * y) as u8 % 60;
            if inside(x, y) { Rgb([200 - shade, 120 + shade, 90]) } else { Rgb([30 + shade, 40, 60 + shade]) }
        });
        let mask = GrayImage::from_fn(width, height, |x, y| Luma([u8::from(inside(x, y))]));
        write_png(&folder.join(format!("images/{number}.png")), &image).expect("the folder can be written");
        write_mask_png(&folder.join(format!("masks/{number}.png")), &mask, &[[0; 3], [255; 3]])
            .expect("the folder can be written");
    }
    Dataset::open(folder).unwrap_or_else(|error| panic!("{error}"))
}

/// Creates a run on the discs, before its first epoch.
///
/// # Panics
/// When the folder cannot be written.
pub fn begin_run(folder: &Path, size: SizePolicy) -> Run {
    begin_run_of(folder, AmsUnetConfig::new().with_base_width(4), size)
}

/// Creates a run of a network on the discs, before its first epoch.
///
/// # Panics
/// When the folder cannot be written.
pub fn begin_run_of(folder: &Path, network: impl Into<NetworkConfig>, size: SizePolicy) -> Run {
    let dataset = draw(&folder.join("discs"));
    let config = Config {
        epochs: 3,
        batch_size: 1,
        // A higher rate than the recipe's, so that a dozen steps suffice.
        learning_rate: 1e-2,
        validation: Some(0.3),
        seed: 5,
        device: "cpu".into(),
        size,
        mean: [0.25, 0.2, 0.3],
        std: [0.2, 0.15, 0.1],
        ..Config::recipe(dataset.root.clone(), network, Augmentation::recipe(32, [32, 32]))
    };
    let split = Split::from_config(&dataset, &config).expect("there are several images");
    Run::create(&folder.join("run"), dataset, config, split).unwrap_or_else(|error| panic!("{error}"))
}
