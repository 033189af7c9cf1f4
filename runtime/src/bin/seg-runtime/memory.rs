//! Images that are too large for this machine's memory to be run whole.

use seg_cli::note;
use seg_contract::Contract;
use seg_inference::{Settings, Tiles};
use seg_runtime::pipeline::whole_pixels_max;

/// Lowers the size from which images are cut into tiles if there is little memory, and says so.
pub(crate) fn within_memory(settings: Settings, contract: &Contract) -> Settings {
    let is_by_size = matches!(settings.tiles, Tiles::Auto { .. }) && contract.input.form.size.is_none();
    let Some(pixels) = whole_pixels_max().filter(|_| is_by_size && settings.cuts(contract)) else { return settings };
    let side = pixels.isqrt();
    note(&format!(
        "there is little memory: images of more than {side}x{side} pixels are cut into tiles, and their masks may differ \
         from those on a machine with more; choose `--tile` to have the same everywhere"
    ));
    Settings { whole_pixels_max: Some(pixels), ..settings }
}
