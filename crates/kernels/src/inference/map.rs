//! Maps in blocks, and the memory that they lie in.

use crate::blocks::{tile_pixels, tiles, unpack};
use crate::buffer::Buffer;
use crate::lanes::{Lanes, block_count};
use crate::map::Map;
use crate::shared::Shared;

/// Feature maps of a batch, `[n][c / 16][h w][16]`; channels beyond the last are zero.
pub(super) struct Blocked {
    buffer: Buffer,
    /// Batch, channels, height and width.
    pub(super) shape: [usize; 4],
}

impl Blocked {
    /// Returns the pixels of a plane.
    pub(super) fn size(&self) -> usize {
        self.shape[2] * self.shape[3]
    }

    /// Returns the blocks of channels.
    pub(super) fn blocks(&self) -> usize {
        block_count(self.shape[1])
    }

    /// Copies the map into planes.
    pub(super) fn planes(&self) -> Map {
        let ([n, c, _, _], size) = (self.shape, self.size());
        let mut planes = vec![0.0; n * c * size];
        for mut tile in tiles(&mut planes, c, size, tile_pixels(c)) {
            unpack(&self.image(tile.image)[tile.start..], size, &mut tile.planes);
        }
        Map::new(planes, self.shape)
    }

    /// Returns an image of the batch.
    pub(super) fn image(&self, index: usize) -> &[Lanes] {
        let count = self.blocks() * self.size();
        &self.buffer.get()[index * count..(index + 1) * count]
    }

    /// Returns the map for threads that write to it.
    pub(super) fn shared(&mut self) -> Shared<'_> {
        Shared::new(self.buffer.lanes())
    }
}

/// The memory of maps that are not read any more. Kept for the next run, it spares the system from
/// clearing as much again.
#[derive(Default)]
pub struct Memory {
    free: Vec<Buffer>,
}

impl Memory {
    /// Returns a map with any values, in memory that is hardly larger than it.
    pub(super) fn lasting(&mut self, shape: [usize; 4]) -> Blocked {
        self.take(shape, |room, count| room <= count + count / 2)
    }

    /// Returns a map with any values that will be given back soon, in any memory.
    pub(super) fn temporary(&mut self, shape: [usize; 4]) -> Blocked {
        self.take(shape, |_, _| true)
    }

    fn take(&mut self, shape: [usize; 4], fits: impl Fn(usize, usize) -> bool) -> Blocked {
        let [n, c, h, w] = shape;
        let count = n * block_count(c) * h * w;
        let rooms = self.free.iter().map(Buffer::room).enumerate();
        let best = rooms.filter(|(_, room)| *room >= count && fits(*room, count)).min_by_key(|(_, room)| *room);
        let buffer = match best {
            Some((index, _)) => self.free.swap_remove(index).resized(count),
            None => Buffer::zeros(count),
        };
        Blocked { buffer, shape }
    }

    /// Takes back the memory of a map.
    pub(super) fn give(&mut self, map: Blocked) {
        self.free.push(map.buffer);
    }
}
