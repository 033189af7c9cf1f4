//! Segments one image on a provider that is named, and writes the mask in the colours of its
//! classes.
//!
//! ```text
//! cargo run --release --bin segment_image -- MODEL IMAGE MASK [cpu|openvino|cuda|tensorrt]
//! ```

#![allow(clippy::print_stdout, reason = "the program reports its result")]

use std::env;
use std::error::Error;
use std::path::Path;

use seg_data::{read_image, write_mask_png};
use seg_inference::library::Search;
use seg_inference::{Options, Provider, Segmenter};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let (model, image, mask, provider) = match &args[..] {
        [model, image, mask] => (model, image, mask, Provider::Cpu),
        [model, image, mask, provider] => (model, image, mask, provider_by_name(provider)?),
        _ => return Err("expected MODEL IMAGE MASK [PROVIDER]".into()),
    };

    // The library of ONNX Runtime is found on this machine, or fetched once.
    let environment = Search::from_env(None, provider.into()).locate()?.load()?;
    let options = Options { provider, ..Options::default() };
    // A provider that cannot compute the whole model is an error here, and never replaced silently.
    let mut segmenter = Segmenter::open(&environment, Path::new(model), &options)?;

    let picture = read_image(Path::new(image))?;
    let segmentation = segmenter.segment(&picture)?;

    // Sizes, colours and names come from the model's file.
    let classes = &segmenter.contract().classes;
    let palette: Vec<[u8; 3]> = classes.iter().map(|class| class.color).collect();
    write_mask_png(Path::new(mask), &segmentation.mask, &palette)?;
    for (label, class) in classes.iter().enumerate() {
        let pixels = segmentation.mask.iter().filter(|found| usize::from(**found) == label).count();
        println!("{}: {pixels} pixels", class.name);
    }
    Ok(())
}

/// Finds a provider by the name that the programs' flag `--ep` takes.
fn provider_by_name(name: &str) -> Result<Provider, String> {
    let found = Provider::ALL.into_iter().find(|provider| provider.flag() == name);
    found.ok_or_else(|| format!("there is no provider `{name}`; expected cpu, openvino, cuda or tensorrt"))
}
