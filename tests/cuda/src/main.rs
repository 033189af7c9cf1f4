//! Launches every kernel for GPUs on the first CUDA device, in each type that a network learns in
//! and with the windows of all networks. The kernels' files are those of `seg-nets`.

#![allow(unsafe_code, reason = "launches kernels without bounds checks")]

extern crate cubecl;

#[path = "../../../crates/nets/src/kernels/depthwise/cube/kernel.rs"]
mod depthwise;
#[path = "../../../crates/nets/src/kernels/gelu/cube/kernel.rs"]
mod gelu;
#[path = "../../../crates/nets/src/kernels/gelu/normal.rs"]
mod normal;
#[path = "../../../crates/nets/src/kernels/upsample/cube/kernel.rs"]
mod upsample;

use cubecl::client::Client;
use cubecl::ir::{ElemType, FloatKind};
use cubecl::prelude::*;

use self::depthwise::{UNITS, Window};

/// The sides and the dilation of every depthwise convolution that a network has.
const WINDOWS: [([usize; 2], usize); 13] = [
    ([3, 3], 1),
    ([3, 3], 2),
    ([3, 3], 3),
    ([5, 5], 1),
    ([7, 7], 1),
    ([1, 5], 1),
    ([5, 1], 1),
    ([1, 7], 1),
    ([7, 1], 1),
    ([1, 11], 1),
    ([11, 1], 1),
    ([1, 21], 1),
    ([21, 1], 1),
];
const CHANNELS: usize = 3;
const SIDES: [usize; 2] = [10, 12];

fn main() {
    let client = cubecl::Device::Cuda(Default::default()).client();
    for kind in [FloatKind::F32, FloatKind::BF16] {
        let element = ElemType::Float(kind);
        element_by_element(&client, element);
        for (sides, dilation) in WINDOWS {
            window(&client, element, Window { sides, dilation: [dilation; 2] });
        }
    }
    client.flush().expect("the kernels compile");
}

/// Returns a buffer of float32 values, which are enough for narrower ones.
fn buffer(client: &Client, values: usize) -> BufferArg {
    // SAFETY: the buffer has as many values.
    unsafe { BufferArg::from_raw_parts(client.empty(4 * values), values) }
}

/// Cubes and their size, for as many units as values.
fn units(client: &Client, values: usize) -> (CubeCount, CubeDim) {
    let size = CubeDim::new(client, values);
    (cubecl::calculate_cube_count_elemwise(client, values, size), size)
}

/// Launches the kernels that compute each value of a map by itself.
fn element_by_element(client: &Client, element: ElemType) {
    let [h, w] = SIDES;
    let values = CHANNELS * h * w;
    let (cubes, size) = units(client, 4 * values);
    let [small, large] = [values, 4 * values].map(|values| move || buffer(client, values));
    // SAFETY: the upsampled maps have four times as many values, the others as many as the first.
    unsafe {
        gelu::value::launch_unchecked(client, cubes.clone(), size, large(), large(), element);
        gelu::slope::launch_unchecked(client, cubes.clone(), size, large(), large(), large(), element);
        upsample::value::launch_unchecked(client, cubes.clone(), size, small(), large(), 2 * w, 2 * h, h, w, element);
        upsample::slope::launch_unchecked(client, cubes, size, large(), small(), w, h, h as i32, w as i32, element);
    }
}

/// Launches the kernels of a depthwise convolution and of its gradients.
fn window(client: &Client, element: ElemType, window: Window) {
    let [h, w] = SIDES;
    let values = CHANNELS * h * w;
    let weights = CHANNELS * window.taps();
    let sums = weights + CHANNELS;
    let map = || buffer(client, values);
    for turned in [false, true] {
        let (cubes, size) = units(client, values);
        let bias = if turned { None } else { Some(buffer(client, CHANNELS)) };
        // SAFETY: the maps have as many values, and there is a kernel and a bias for each channel.
        unsafe {
            depthwise::convolve::launch_unchecked(
                client,
                cubes,
                size,
                map(),
                buffer(client, weights),
                bias.into(),
                map(),
                w,
                h,
                CHANNELS,
                h as i32,
                w as i32,
                window,
                turned,
                element,
            );
        }
    }
    let cubes = CubeCount::Static(CHANNELS as u32, 1, 1);
    let size = CubeDim::new_1d(UNITS as u32);
    let (adding, adders) = units(client, sums);
    // SAFETY: the maps have as many values; there is one slice, with a sum for each channel and tap
    // and one for each bias.
    unsafe {
        depthwise::sum_slices::launch_unchecked(
            client,
            cubes,
            size,
            map(),
            map(),
            buffer(client, sums),
            h * w,
            w,
            h as i32,
            w as i32,
            CHANNELS,
            h * w,
            h * w,
            window,
            element,
        );
        depthwise::add_slices::launch_unchecked(
            client,
            adding,
            adders,
            buffer(client, sums),
            buffer(client, weights),
            buffer(client, CHANNELS),
            1,
            window.taps(),
        );
    }
}
