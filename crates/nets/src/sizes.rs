//! Published sizes of networks that have names of their own.

use crate::network::NetworkConfig;
use crate::seg_next::SegNextConfig;
use crate::unext::UNextConfig;

/// A function that makes a configuration.
type Published = fn() -> NetworkConfig;

/// The published sizes by their names; the network's own name is its default size.
pub const SIZES: [(&str, Published); 5] = [
    ("unext-s", || UNextConfig::new().with_widths(UNextConfig::SMALL).into()),
    ("seg-next-t", || SegNextConfig::tiny().into()),
    ("seg-next-s", || SegNextConfig::small().into()),
    ("seg-next-b", || SegNextConfig::base().into()),
    ("seg-next-l", || SegNextConfig::large().into()),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_the_name_of_its_network_in_front() {
        for (name, config) in SIZES {
            assert!(name.strip_prefix(config().name().as_str()).is_some_and(|rest| rest.starts_with('-')), "{name}");
            assert_eq!(config().check(), Ok(()), "{name}");
        }
    }
}
