//! AMSUnet on the project's own kernels, instead of ONNX Runtime's: the graph of a file is
//! recognised node by node, and what is not AMSUnet as `seg export` writes it is refused.

mod block;
#[cfg(test)]
mod changes;
mod ending;
mod example;
mod integers;
mod join;
mod network;
#[cfg(test)]
mod rounded;
mod walk;

pub(crate) use example::{Sizes, example};
pub use walk::Unrecognized;

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use ndarray::ArrayD;
use rayon::{ThreadPool, ThreadPoolBuildError};
use seg_kernels::Map;
use seg_kernels::inference::{Memory, Network, Place};
use seg_onnx::graph::{DataType, Graph};
use thiserror::Error;

use crate::session::GraphInput;
use crate::threads::SharedThreads;
use ending::end;
use network::{Recognized, recognize};

/// The sizes of images for which a network stays prepared.
const SIZES_MAX: usize = 4;

/// A model that the kernels compute.
pub(crate) struct Fused {
    recognized: Recognized,
    /// The channels of the image.
    channels: usize,
    /// The only height and width that the graph takes, if there is one.
    size: Option<[usize; 2]>,
    threads: Arc<ThreadPool>,
    /// The latest one last.
    networks: Vec<([usize; 2], Network)>,
    /// The memory of the latest run, and the shape of its input.
    memory: ([usize; 4], Memory),
}

/// The reason for which the kernels cannot be used.
#[derive(Debug, Error)]
pub(crate) enum FusedError {
    #[error(transparent)]
    Unrecognized(#[from] Unrecognized),
    #[error(transparent)]
    Threads(#[from] ThreadPoolBuildError),
}

/// Returns whether the kernels compute a graph.
pub(crate) fn recognizes(graph: &Graph) -> bool {
    recognize(graph).is_ok()
}

/// The output of a model: floats `[n, c, h, w]` or bytes `[n, h, w]`.
pub(crate) enum Output {
    Floats(ArrayD<f32>),
    Bytes(ArrayD<u8>),
}

impl Debug for Fused {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fused").field("threads", &self.threads).finish_non_exhaustive()
    }
}

impl Fused {
    /// Opens a graph to run on threads, which it may share.
    ///
    /// # Errors
    /// When the kernels do not compute the graph, or the system gives no threads.
    pub(crate) fn new(graph: &Graph, threads: &SharedThreads) -> Result<Self, FusedError> {
        let recognized = recognize(graph)?;
        let input = &graph.inputs[0].tensor_type;
        let [height, width] = if input.data_type == DataType::U8 { [1, 2] } else { [2, 3] };
        let side = |axis: usize| input.shape.get(axis).and_then(|dim| usize::try_from(dim.as_constant()?).ok());
        let threads = threads.pool()?;
        let size = side(height).zip(side(width)).map(|(height, width)| [height, width]);
        let channels = recognized.parameters.stem[0].shape()[1];
        Ok(Self { recognized, channels, size, threads, networks: Vec::new(), memory: Default::default() })
    }

    /// Returns the least height and width that the kernels take.
    fn side_min(&self) -> usize {
        // The mirrored border needs a second pixel, and the deepest map one.
        (1 << self.recognized.parameters.downs.len()).max(2)
    }

    /// Describes the inputs that the network takes, unless it takes those of a shape
    /// `[n, channels, h, w]`.
    pub(crate) fn refuse(&self, [n, channels, height, width]: [usize; 4]) -> Option<String> {
        let least = self.side_min();
        let fits = n > 0 && channels == self.channels && height.min(width) >= least;
        match self.size {
            Some(size) if !fits || size != [height, width] => {
                Some(format!("{} channels of {}x{}", self.channels, size[0], size[1]))
            }
            None if !fits => {
                Some(format!("at least one image of {} channels and sides from {least} on", self.channels))
            }
            _ => None,
        }
    }

    /// Computes the output of a batch of a shape that is not [refused](Self::refuse).
    pub(crate) fn run(&mut self, input: &GraphInput<'_>) -> Output {
        let map = bordered(input);
        let ending = self.recognized.ending;
        self.on_network(&map, |network, map, memory| end(ending, network.forward(map, memory)))
    }

    /// Computes the values that the kernels can show, by their names in the graph.
    pub(crate) fn values(&mut self, input: &GraphInput<'_>) -> Vec<(String, ArrayD<f32>)> {
        let map = bordered(input);
        let names = self.recognized.shown.clone();
        self.on_network(&map, |network, map, memory| {
            let mut values = Vec::new();
            let head = network.forward_observed(map, memory, |place, map| {
                let name = match place {
                    Place::Stem => &names.stem,
                    Place::Block(index) => &names.blocks[index],
                    Place::Step(index) => &names.steps[index],
                };
                values.push((name.clone(), shown(map)));
            });
            values.push((names.head.clone(), shown(head)));
            values
        })
    }

    /// Prepares the network for a batch with its border, unless it is, and uses it on the threads.
    fn on_network<T: Send>(&mut self, map: &Map, work: impl FnOnce(&Network, &Map, &mut Memory) -> T + Send) -> T {
        let [_, _, height, width] = map.shape();
        let size = [height - 2, width - 2];
        if self.memory.0 != map.shape() {
            // Room for maps of other sizes would stay beside it.
            self.memory = (map.shape(), Memory::default());
        }
        let Self { recognized, threads, networks, memory: (_, memory), .. } = self;
        let known = networks.iter().position(|(of, _)| *of == size).map(|index| networks.remove(index));
        if known.is_none() && networks.len() == SIZES_MAX {
            networks.remove(0);
        }
        let mut result = None;
        let job: Box<dyn FnOnce() + Send + '_> = Box::new(|| {
            let known = known.unwrap_or_else(|| (size, Network::new(&recognized.parameters, size)));
            result = Some(work(&known.1, map, memory));
            networks.push(known);
        });
        threads.install(job);
        result.expect("the threads have done the work")
    }
}

/// Returns a map as a tensor.
fn shown(map: Map) -> ArrayD<f32> {
    let shape = map.shape();
    tensor(map.into_values(), &shape)
}

/// Returns values as a tensor of a shape.
fn tensor<T>(values: Vec<T>, shape: &[usize]) -> ArrayD<T> {
    ArrayD::from_shape_vec(shape, values).expect("there are as many values as the shape says")
}

/// Returns a batch `[n, channels, h, w]` with the mirrored border that the first convolution reads.
fn bordered(input: &GraphInput<'_>) -> Map {
    match input {
        GraphInput::Floats(images) => {
            let (n, channels, height, width) = images.dim();
            let images = images.as_slice().expect("the input lies in the order of its shape");
            mirrored([n, channels, height, width], |plane, pixel| images[plane * height * width + pixel])
        }
        GraphInput::Bytes(images) => {
            let (n, height, width, channels) = images.dim();
            let images = images.as_slice().expect("the input lies in the order of its shape");
            mirrored([n, channels, height, width], |plane, pixel| {
                let (image, channel) = (plane / channels, plane % channels);
                f32::from(images[(image * height * width + pixel) * channels + channel])
            })
        }
    }
}

/// Adds a row and a column on each side of images, which mirror those next to the border; `value`
/// gives the pixel of a plane.
fn mirrored([n, channels, height, width]: [usize; 4], value: impl Fn(usize, usize) -> f32) -> Map {
    let mut values = Vec::with_capacity(n * channels * (height + 2) * (width + 2));
    for plane in 0..n * channels {
        for row in [1].into_iter().chain(0..height).chain([height - 2]) {
            let start = row * width;
            values.push(value(plane, start + 1));
            values.extend((start..start + width).map(|pixel| value(plane, pixel)));
            values.push(value(plane, start + width - 2));
        }
    }
    Map::new(values, [n, channels, height + 2, width + 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_border_mirrors_the_pixels_next_to_it() {
        let map = mirrored([1, 1, 2, 3], |_, pixel| pixel as f32 + 1.0);
        assert_eq!(map.shape(), [1, 1, 4, 5]);
        let rows: Vec<_> = map.values().chunks(5).map(<[f32]>::to_vec).collect();
        let (upper, lower) = (vec![2.0, 1.0, 2.0, 3.0, 2.0], vec![5.0, 4.0, 5.0, 6.0, 5.0]);
        assert_eq!(rows, [lower.clone(), upper.clone(), lower, upper]);
    }
}
