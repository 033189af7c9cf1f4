//! The files of the benches: the scripts of the other sides.

use std::env;
use std::path::{Path, PathBuf};

/// The variable that names the folder `benches/` if a bench runs on another machine than the one
/// that built it.
const FOLDER: &str = "SEG_BENCH_FOLDER";

/// Returns the path of a file in the folder `benches/`.
pub fn bench_file(name: &str) -> PathBuf {
    let folder = env::var_os(FOLDER).map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    Path::new(&folder).join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scripts_are_there() {
        for name in ["pytorch/measure.py", "pytorch/requirements.txt", "onnxruntime/measure.py", "python/infer.py"] {
            assert!(bench_file(name).is_file(), "{name}");
        }
    }
}
