//! Segments all images of a folder, and writes a mask and an overlay for each.
//!
//! Reading, inference and writing overlap, and memory does not grow with the number of images.
//!
//! ```text
//! cargo run --release --bin segment_folder -- MODEL FOLDER OUT
//! ```

#![allow(clippy::print_stdout, reason = "the program reports its results")]

use std::env;
use std::error::Error;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use seg_inference::library::Search;
use seg_inference::{Options, Segmenter, Settings, Views, image_files};
use seg_runtime::pipeline::{self, Task, create_folders};
use seg_runtime::save::Save;
use seg_runtime::save::outputs::unique_stems;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [model, folder, out] = &args[..] else { return Err("expected MODEL FOLDER OUT".into()) };
    let out = Path::new(out);

    let options = Options::default();
    let environment = Search::from_env(None, options.provider.into()).locate()?.load()?;
    // Probabilities are averaged over mirrored views of each image.
    let settings = Settings { views: Views::Flips, ..Settings::default() };
    let segmenter = Segmenter::open(&environment, Path::new(model), &options)?.with(settings)?;

    let inputs = image_files(&[PathBuf::from(folder)])?;
    let names = unique_stems(&inputs);
    let tasks: Vec<Task> = inputs.into_iter().zip(names).map(|(input, name)| Task { input, name }).collect();
    let classes = &segmenter.contract().classes;
    let writers: Vec<_> = [Save::Mask, Save::Overlay].iter().flat_map(|save| save.writers(classes)).collect();
    create_folders(out, &writers)?;

    let mut failed = 0;
    // Each segmenter is a copy of the model with threads of its own; one is enough here.
    pipeline::run(&mut [segmenter], &tasks, out, &writers, |index, result| {
        match result {
            Ok(done) => {
                let target = done.area.iter().skip(1).map(|area| area.share).sum::<f64>();
                println!("{}: {:.1} % are no background, in {:.0} ms", done.name, 100.0 * target, done.infer_ms);
            }
            Err(error) => {
                failed += 1;
                println!("{}: {error}", tasks[index].name);
            }
        }
        ControlFlow::Continue(())
    });
    if failed > 0 { Err(format!("{failed} of {} images could not be segmented", tasks.len()).into()) } else { Ok(()) }
}
