//! The memory that this process may use, and the pixels of which networks fit in it.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use seg_inference::{Tiling, WHOLE_PIXELS_MAX};

use super::budget::BYTES_PER_PIXEL;

/// The most pixels that networks work on at once where there is enough memory; more are no faster.
const NETWORK_PIXELS_MAX: u64 = 1 << 22;
/// The memory that a network is taken to need for a pixel of its input, in bytes, between its
/// layers: 512 values of 32 bits. It is one estimate for all networks, and decides only how many
/// pixels they work on at once.
const NETWORK_BYTES_PER_PIXEL: u64 = 1 << 11;
/// The share of the memory that networks may take: a half. The rest is for images, results, models
/// and other programs.
const NETWORK_SHARE: u64 = 2;

/// The most pixels of images in memory at once, with all that is made of them.
const IMAGE_PIXELS_MAX: u64 = 1 << 26;
/// The share of the memory that images and their results may take: a quarter.
const IMAGE_SHARE: u64 = 4;

/// Returns the most pixels of images that are in memory at once, each of 16 bytes. A single image
/// that is larger is still read, alone.
pub fn pixels_in_memory() -> u64 {
    static PIXELS: OnceLock<u64> = OnceLock::new();
    *PIXELS.get_or_init(|| image_pixels_within(memory_limit()))
}

/// Returns the most pixels of images that fit in this memory, in bytes; unknown is enough.
fn image_pixels_within(bytes: Option<u64>) -> u64 {
    fitting(bytes, IMAGE_SHARE * BYTES_PER_PIXEL, IMAGE_PIXELS_MAX)
}

/// Returns the most pixels that networks work on at once. A single image that is larger is still
/// run, alone.
pub fn pixels_in_networks() -> u64 {
    static PIXELS: OnceLock<u64> = OnceLock::new();
    *PIXELS.get_or_init(|| network_pixels_within(memory_limit()))
}

/// Returns the most pixels of which networks fit in this memory, in bytes; unknown is enough.
fn network_pixels_within(bytes: Option<u64>) -> u64 {
    fitting(bytes, NETWORK_SHARE * NETWORK_BYTES_PER_PIXEL, NETWORK_PIXELS_MAX)
}

/// Returns the largest image that may be run whole, in pixels, if there is too little memory for
/// [`WHOLE_PIXELS_MAX`]; larger ones are cut into tiles.
pub fn whole_pixels_max() -> Option<usize> {
    whole_pixels_within(memory_limit())
}

/// Returns the largest image that may be run whole in this memory, in bytes, if that is less than
/// usual. It is a square whose side is a multiple of 64, and no less than a tile.
fn whole_pixels_within(bytes: Option<u64>) -> Option<usize> {
    let side = usize::try_from(network_pixels_within(bytes).isqrt()).unwrap_or(usize::MAX) / 64 * 64;
    let tile = Tiling::default().size[0];
    Some(side.max(tile).saturating_pow(2)).filter(|pixels| *pixels < WHOLE_PIXELS_MAX)
}

/// Returns the pixels that fit in this memory with so many of its bytes for each, from 1 to `most`;
/// unknown memory is enough for all.
fn fitting(bytes: Option<u64>, bytes_per_pixel: u64, most: u64) -> u64 {
    bytes.map_or(most, |bytes| (bytes / bytes_per_pixel).clamp(1, most))
}

/// Returns the bytes of memory that this process may use: the machine's, limited by the control
/// groups that it is in, as in a container, and by its address space (`ulimit -v`). `None` where
/// the system does not say.
fn memory_limit() -> Option<u64> {
    let read = |path: &str| fs::read_to_string(path).ok();
    let machine = read("/proc/meminfo").and_then(|text| machine_memory(&text));
    let process = read("/proc/self/limits").and_then(|text| address_space(&text));
    let groups = read("/proc/self/cgroup").map(|text| limit_files(&text)).unwrap_or_default();
    let groups = groups.iter().filter_map(|path| group_limit(&fs::read_to_string(Path::new(path)).ok()?));
    groups.chain(machine).chain(process).min()
}

/// Reads the size of the machine's memory from `/proc/meminfo`.
fn machine_memory(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1 << 10)
}

/// Reads the soft limit of the address space from `/proc/self/limits`.
fn address_space(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Reads the limit of a control group; `None` for `max`.
fn group_limit(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// Returns the files that may hold the limits of the control groups of `/proc/self/cgroup` and of
/// those above them. In a container its own group is mounted as the topmost.
fn limit_files(text: &str) -> Vec<String> {
    let mut files = Vec::new();
    for line in text.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else { continue };
        let (root, name) = if controllers.is_empty() {
            ("/sys/fs/cgroup", "memory.max")
        } else if controllers.split(',').any(|controller| controller == "memory") {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
        } else {
            continue;
        };
        let group = group.trim_end_matches('/');
        let above = group.match_indices('/').map(|(end, _)| &group[..end]);
        files.extend(above.chain([group]).map(|group| format!("{root}{group}/{name}")));
        files.dedup();
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_memory_means_fewer_pixels_at_once() {
        const GIB: u64 = 1 << 30;
        for (name, bytes, expected) in [
            ("unknown", None, 1 << 22),
            ("a server", Some(256 * GIB), 1 << 22),
            ("16 GiB, just enough for all", Some(16 * GIB), 1 << 22),
            ("8 GiB: not two of 1536x1536", Some(8 * GIB), 1 << 21),
            ("a small container", Some(GIB), 1 << 18),
            ("nothing", Some(0), 1),
        ] {
            assert_eq!(network_pixels_within(bytes), expected, "{name}");
        }
        for (name, bytes, expected) in [
            ("unknown", None, 1 << 26),
            ("4 GiB, just enough for all", Some(4 * GIB), 1 << 26),
            ("a small container", Some(GIB), 1 << 24),
            ("nothing", Some(0), 1),
        ] {
            assert_eq!(image_pixels_within(bytes), expected, "{name}, images");
        }
    }

    #[test]
    fn little_memory_means_that_smaller_images_are_cut() {
        const GIB: u64 = 1 << 30;
        for (name, bytes, expected) in [
            ("unknown", None, None),
            ("10 GiB, enough for 1536x1536", Some(10 * GIB), None),
            ("8 GiB", Some(8 * GIB), Some(1408 * 1408)),
            ("4 GiB", Some(4 * GIB), Some(1024 * 1024)),
            ("a small container: a tile", Some(GIB / 2), Some(512 * 512)),
        ] {
            assert_eq!(whole_pixels_within(bytes), expected, "{name}");
        }
    }

    #[test]
    fn limits_are_read_as_the_system_writes_them() {
        let meminfo = "MemTotal:       24635784 kB\nMemFree:        20951234 kB\n";
        assert_eq!(machine_memory(meminfo), Some(24_635_784 << 10));
        assert_eq!(machine_memory("MemFree: 1 kB"), None);
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max address space         6144000000           unlimited            bytes     \n";
        assert_eq!(address_space(limits), Some(6_144_000_000));
        assert_eq!(address_space(&limits.replace("6144000000", "unlimited ")), None);
        assert_eq!([group_limit("max\n"), group_limit("1073741824\n")], [None, Some(1 << 30)]);
    }

    #[test]
    fn every_group_above_counts() {
        let rows: [(&str, &str, &[&str]); 4] = [
            (
                "version 2",
                "0::/a/b\n",
                &["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/a/memory.max", "/sys/fs/cgroup/a/b/memory.max"],
            ),
            ("version 2, topmost", "0::/\n", &["/sys/fs/cgroup/memory.max"]),
            (
                "version 1",
                "5:cpu:/x\n4:memory:/a\n",
                &["/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/a/memory.limit_in_bytes"],
            ),
            ("none", "", &[]),
        ];
        for (name, text, expected) in rows {
            assert_eq!(limit_files(text), expected, "{name}");
        }
    }

    #[test]
    fn this_process_has_some_memory() {
        assert!(!cfg!(target_os = "linux") || memory_limit().is_some_and(|bytes| bytes > 1 << 20));
    }
}
