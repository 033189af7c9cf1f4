//! Contracts.

use seg_contract::Contract;

/// Sides of images in pixels, from the shortest to about the longest that a file can have.
const SIDES: [usize; 4] = [1, 17, 4000, 65_535];

/// Reads bytes as a contract's JSON and returns whether they are a contract.
///
/// # Panics
/// When a contract that was read is written as another one, or gives an image a size that its
/// network does not take.
pub fn contract(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(contract) = Contract::from_json(text) else { return false };
    let again = Contract::from_json(&contract.to_json()).expect("a contract that was written can be read");
    assert_eq!(again, contract);
    for height in SIDES {
        for width in SIDES {
            let network = contract.input.geometry([height, width]).network;
            assert!(contract.input.fits(network), "{height}x{width} becomes {network:?}");
            assert!(network.iter().all(|side| *side <= 1 << 17), "{height}x{width} becomes {network:?}");
        }
    }
    true
}
