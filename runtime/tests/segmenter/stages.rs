//! The stages of a run: what panics, and images of any size.

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use image::DynamicImage;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seg_contract::SizePolicy;
use seg_data::{Format, Header, ReadError, add_format};
use seg_inference::{Settings, Tiles, Tiling};
use seg_runtime::pipeline::{self, Task, create_folders};
use seg_runtime::save::{Finished, Place, ResultWriter, Save};

use super::{half_red, left_half, segmenter};

/// A writer with a defect.
struct Panics(Place);

impl ResultWriter for Panics {
    fn place(&self) -> &Place {
        &self.0
    }

    fn write(&self, _: &mut Finished<'_>, _: &mut dyn Write) -> io::Result<()> {
        panic!("this writer has a defect")
    }
}

#[test]
fn a_stage_that_panics_ends_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("a.png");
    DynamicImage::from(half_red(9, 9)).to_rgb8().save(&input).unwrap();
    let out = folder.path().to_path_buf();
    let (done, waiting) = mpsc::channel();
    // More images than there are places in the queues.
    let tasks: Vec<_> = (0..200).map(|index| Task { input: input.clone(), name: index.to_string() }).collect();
    let mut segmenters = [segmenter(folder.path(), SizePolicy::Native, Settings::default())];
    thread::spawn(move || {
        let place = Place { save: Save::Mask, folder: "masks".into(), extension: "png" };
        let writers: [Box<dyn ResultWriter>; 1] = [Box::new(Panics(place))];
        create_folders(&out, &writers).unwrap();
        let run = || pipeline::run(&mut segmenters, &tasks, &out, &writers, |_, _| ControlFlow::Continue(()));
        let _ = done.send(catch_unwind(AssertUnwindSafe(run)).is_err());
    });
    assert_eq!(waiting.recv_timeout(Duration::from_secs(60)), Ok(true));
}

/// A format whose decoder has a defect.
struct Defective;

impl Format for Defective {
    fn name(&self) -> &'static str {
        "DEFECT"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["defect"]
    }

    fn sniff(&self, head: &[u8]) -> bool {
        head.starts_with(b"DEFECT")
    }

    fn stored_size(&self, _: &Path, _: BufReader<File>) -> Result<(u32, u32), ReadError> {
        panic!("this decoder cannot tell the size")
    }

    fn header(&self, _: &Path, bytes: &[u8]) -> Result<Header, ReadError> {
        assert!(bytes.len() > 6, "this decoder cannot read the header");
        Ok(Header { width: 9, height: 9, orientation: 1 })
    }

    fn decode(&self, _: &Path, _: &[u8]) -> Result<DynamicImage, ReadError> {
        panic!("this decoder cannot decode")
    }
}

#[test]
fn a_decoder_that_panics_costs_one_image() {
    add_format(&Defective);
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let good = folder.path().join("good.png");
    DynamicImage::from(half_red(9, 9)).to_rgb8().save(&good).unwrap();
    let bad = [write("head.defect", b"DEFECT"), write("rows.png", b"DEFECT later")];
    let inputs = [&good, &bad[0], &good, &bad[1], &good];
    let tasks: Vec<_> = inputs
        .iter()
        .zip(0..)
        .map(|(input, index)| Task { input: (*input).clone(), name: index.to_string() })
        .collect();
    for tiles in [Tiles::Off, Tiles::Of(Tiling { size: [8; 2], overlap: 0.25 })] {
        let settings = Settings { tiles, ..Settings::default() };
        let mut segmenters = [segmenter(folder.path(), SizePolicy::Native, settings)];
        let place = Place { save: Save::Mask, folder: "masks".into(), extension: "png" };
        let writers: [Box<dyn ResultWriter>; 1] = [Box::new(Empty(place))];
        let out = folder.path().join("out");
        create_folders(&out, &writers).unwrap();
        let paths = inputs.iter().map(|path| path.as_path());
        let largest = pipeline::largest_at_once(paths, segmenters[0].contract(), segmenters[0].settings());
        assert!(largest > 0, "{tiles:?}");
        let mut messages = vec![None; tasks.len()];
        pipeline::run(&mut segmenters, &tasks, &out, &writers, |index, result| {
            messages[index] = result.err().map(|error| {
                assert!(error.is_about_the_image(), "{error}");
                error.to_string()
            });
            ControlFlow::Continue(())
        });
        for (index, part) in [(1, "cannot read the header"), (3, "cannot decode")] {
            let message = messages[index].take().unwrap();
            assert!(message.contains("DEFECT files panicked") && message.contains(part), "{tiles:?}: {message}");
        }
        assert_eq!(messages, vec![None; tasks.len()], "{tiles:?}");
    }
}

/// A writer of empty files.
struct Empty(Place);

impl ResultWriter for Empty {
    fn place(&self) -> &Place {
        &self.0
    }

    fn write(&self, _: &mut Finished<'_>, _: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn images_of_any_size_keep_it() {
    const SIDE_MAX: u32 = 4096;
    let folder = tempfile::tempdir().unwrap();
    let tiling = Tiles::Of(Tiling { size: [256; 2], overlap: 0.25 });
    let mut segmenters = [
        (SizePolicy::Native, Tiles::Off),
        (SizePolicy::Native, tiling),
        (SizePolicy::Resize { height: 16, width: 64 }, Tiles::default()),
    ]
    .map(|(policy, tiles)| segmenter(folder.path(), policy, Settings { tiles, ..Settings::default() }));
    let mut random = ChaCha8Rng::seed_from_u64(11);
    // As many sides of 1 to 2 as of 2048 to 4096.
    let mut side = || f64::from(SIDE_MAX).powf(random.random()) as u32;
    let sizes: Vec<_> = (0..24).map(|_| [side(), side()]).collect();
    let edges = [[1, 1], [1, SIDE_MAX], [SIDE_MAX, 1], [SIDE_MAX, 70], [SIDE_MAX, SIDE_MAX]];
    for [width, height] in sizes.into_iter().chain(edges) {
        let image = half_red(width, height);
        for segmenter in &mut segmenters {
            let mask = segmenter.segment(&image).unwrap().mask;
            let tiles = segmenter.settings().tiles;
            assert_eq!(mask.dimensions(), (width, height), "{tiles:?}");
            let is_stretched = matches!(segmenter.contract().input.size, SizePolicy::Resize { .. });
            assert!(is_stretched || mask == left_half(width, height), "{width}x{height}, {tiles:?}");
        }
    }
}
