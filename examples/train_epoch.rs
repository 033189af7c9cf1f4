//! Trains a narrow AMSUnet for one epoch on a folder with `images` and `masks`.
//!
//! ```text
//! cargo run --release --bin train_epoch -- DATA RUN
//! ```

#![allow(clippy::print_stdout, reason = "the program reports its progress")]

use std::env;
use std::error::Error;
use std::path::Path;

use seg_data::Dataset;
use seg_nets::amsunet::AmsUnetConfig;
use seg_train::data::augment::Augmentation;
use seg_train::data::split::Split;
use seg_train::data::statistics::Statistics;
use seg_train::run::Run;
use seg_train::run::config::Config;
use seg_train::run::trainer::Event;

/// Height and width of the crops that the network learns from, in pixels.
const CROP: u32 = 64;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [data, folder] = &args[..] else { return Err("expected DATA RUN".into()) };

    let dataset = Dataset::open(Path::new(data))?;
    let network = AmsUnetConfig::new().with_base_width(4).with_num_classes(dataset.classes.len());
    let augmentation = Augmentation::recipe(None, [CROP, CROP]);
    let mut config = Config {
        epochs: 1,
        learning_rate: 1e-2,
        device: "cpu".into(),
        ..Config::recipe(dataset.root.clone(), network, augmentation)
    };
    // A fifth of the images chooses the best epoch; mean and deviation are those of the others.
    let split = Split::from_config(&dataset, &config)?;
    let (training, _) = split.apply(&dataset.train)?;
    let statistics = Statistics::measure(&training, &dataset.train)?;
    (config.mean, config.std) = (statistics.mean, statistics.std);

    let run = Run::create(Path::new(folder), dataset, config, split)?;
    let log = run.train(|event| {
        if let Event::Step { step, loss } = event {
            println!("step {step}: loss {loss:.3}");
        }
    })?;
    for record in log {
        let dice = record.validation.map_or(0.0, |validation| validation.scores.dice_per_image);
        println!("epoch {}: Dice per image {dice:.3}", record.epoch);
    }
    Ok(())
}
