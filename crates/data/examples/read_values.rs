//! Reads image files as the programs do and writes their values for other programs.
//!
//! Each line of the standard input is the path of an image. For each one a line of JSON goes to the
//! standard output: the size, the bits of a value and the camera's orientation, or the error. The
//! values of image number n, upright and as red, green and blue, are the file `n.raw` of the folder
//! that the only argument names: 8-bit, 16-bit or 32-bit floating-point values of this machine's
//! byte order.
#![allow(clippy::print_stdout)]

use std::io::{self, BufRead};
use std::path::{Path, PathBuf};
use std::{env, fs};

use seg_contract::Samples;
use seg_data::{open_image, write_bytes};
use serde_json::{Value, json};

fn main() -> io::Result<()> {
    let out: PathBuf = env::args_os().nth(1).ok_or_else(|| io::Error::other("name the folder to write to"))?.into();
    fs::create_dir_all(&out)?;
    for (number, line) in io::stdin().lock().lines().enumerate() {
        let path = line?;
        let read = read_values(Path::new(&path), &out.join(format!("{number}.raw")));
        println!("{}", read.unwrap_or_else(|error| json!({ "error": error })));
    }
    Ok(())
}

/// Writes the values of an image to a file, and returns their description.
fn read_values(image: &Path, raw: &Path) -> Result<Value, String> {
    let mut reader = open_image(image).map_err(|error| describe(&error))?;
    let info = reader.info().clone();
    let picture = reader.rows(0..info.height).map_err(|error| describe(&error))?;
    let (bits, bytes) = match picture.pixels().samples() {
        Samples::Bits8(pixels) => (8, pixels.as_flattened().to_vec()),
        Samples::Bits16(pixels) => (16, pixels.as_flattened().iter().flat_map(|value| value.to_ne_bytes()).collect()),
        Samples::Float(pixels) => (32, pixels.as_flattened().iter().flat_map(|value| value.to_ne_bytes()).collect()),
    };
    write_bytes(raw, &bytes).map_err(|error| describe(&error))?;
    Ok(json!({ "width": info.width, "height": info.height, "bits": bits, "orientation": info.orientation }))
}

/// Returns an error with its causes.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
