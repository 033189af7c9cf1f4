//! Runs that a GPU repeats by itself.
//!
//! A CUDA graph is the sequence of kernels that one run launched. Replayed, it costs the CPU one launch instead of one per
//! node; it reads and writes where that run did. So each shape of input has its own place on the GPU: a batch is copied
//! there, the graph runs, and its output is copied back.

use ndarray::ArrayViewD;
use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{IoBinding, RunOptions, Session};
use ort::value::{DynTensor, PrimitiveTensorElementType, Tensor};
use seg_contract::{Contract, Element, OutputKind};

use crate::session::GraphInput;

/// How many shapes have a graph: ONNX Runtime keeps each of them, and its memory, as long as the session lives.
const CAPTURED_MAX: usize = 4;

/// The captured runs of a session, one for each shape of input.
#[derive(Debug)]
pub(crate) struct CudaGraphs {
    device: AllocationDevice<'static>,
    device_id: i32,
    captured: Vec<CudaGraph>,
}

/// One shape's place on the GPU, and the graph that works on it.
#[derive(Debug)]
pub(crate) struct CudaGraph {
    shape: [usize; 4],
    /// What is copied to the GPU.
    batch: DynTensor,
    input: DynTensor,
    output: DynTensor,
    /// What is copied back.
    answer: DynTensor,
    binding: IoBinding,
    graph: i32,
}

impl CudaGraphs {
    /// No run yet, on this device.
    pub(crate) fn on(device: AllocationDevice<'static>, device_id: i32) -> Self {
        Self { device, device_id, captured: Vec::new() }
    }

    /// The captured run for batches of this shape, `[n, channels, h, w]`; none where there are [`CAPTURED_MAX`] for others.
    pub(crate) fn of(
        &mut self,
        session: &Session,
        contract: &Contract,
        shape: [usize; 4],
    ) -> ort::Result<Option<&mut CudaGraph>> {
        let known = self.captured.iter().position(|captured| captured.shape == shape);
        let place = match known {
            Some(place) => place,
            None if self.captured.len() == CAPTURED_MAX => return Ok(None),
            None => {
                let captured = self.place(session, contract, shape)?;
                self.captured.push(captured);
                self.captured.len() - 1
            }
        };
        Ok(Some(&mut self.captured[place]))
    }

    /// A place for a shape that has none.
    fn place(&self, session: &Session, contract: &Contract, shape: [usize; 4]) -> ort::Result<CudaGraph> {
        let [n, channels, h, w] = shape;
        let memory = MemoryInfo::new(self.device.clone(), self.device_id, AllocatorType::Device, MemoryType::Default)?;
        let here = Allocator::new(session, memory)?;
        let like_input = |allocator: &Allocator| match contract.input.form.element {
            Element::Float => tensor::<f32>(allocator, &shape),
            Element::U8 => tensor::<u8>(allocator, &[n, h, w, channels]),
        };
        let like_output = |allocator: &Allocator| match contract.output.kind {
            OutputKind::Logits | OutputKind::Probabilities => {
                tensor::<f32>(allocator, &[n, contract.classes.len(), h, w])
            }
            OutputKind::Mask => tensor::<u8>(allocator, &[n, h, w]),
        };
        let host = Allocator::default();
        let (batch, input) = (like_input(&host)?, like_input(&here)?);
        let (mut output, answer) = (like_output(&here)?, like_output(&host)?);
        let mut binding = session.create_binding()?;
        binding.bind_input(contract.input.name.as_str(), &input)?;
        binding.bind_output(contract.output.name.as_str(), output.view_mut())?;
        let graph = i32::try_from(self.captured.len()).expect("there are few") + 1;
        Ok(CudaGraph { shape, batch, input, output, answer, binding, graph })
    }
}

impl CudaGraph {
    /// The number that ONNX Runtime knows the graph by.
    #[cfg(test)]
    pub(crate) fn graph(&self) -> i32 {
        self.graph
    }

    /// The output for a batch of the run's shape.
    pub(crate) fn run<T: PrimitiveTensorElementType + Clone>(
        &mut self,
        session: &mut Session,
        batch: &GraphInput<'_>,
    ) -> ort::Result<ArrayViewD<'_, T>> {
        batch.fill(&mut self.batch)?;
        self.batch.copy_into(&mut self.input)?;
        drop(session.run_binding_with_options(&self.binding, &options(self.graph)?)?);
        self.output.copy_into(&mut self.answer)?;
        self.answer.try_extract_array()
    }
}

/// A tensor without values.
fn tensor<T: PrimitiveTensorElementType + std::fmt::Debug>(
    allocator: &Allocator,
    shape: &[usize],
) -> ort::Result<DynTensor> {
    Ok(Tensor::<T>::new(allocator, shape.iter().map(|size| *size as i64).collect::<Vec<_>>())?.upcast())
}

/// The options of a run that is not captured.
pub(crate) fn uncaptured() -> ort::Result<RunOptions> {
    options(-1)
}

/// The options of a run that is captured and replayed as the graph of this number; -1 is none.
fn options(graph: i32) -> ort::Result<RunOptions> {
    let mut options = RunOptions::new()?;
    options.set("gpu_graph_id", graph.to_string())?;
    Ok(options)
}
