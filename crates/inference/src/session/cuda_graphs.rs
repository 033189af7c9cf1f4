//! CUDA graphs: runs that a GPU repeats by itself.
//!
//! A CUDA graph is the sequence of kernels that one run launched. A replay costs the CPU one launch
//! instead of one per node, and reads and writes the same memory. So each shape of input has its
//! own memory on the GPU: a batch is copied there, the graph runs, and its output is copied back.

use ndarray::ArrayViewD;
use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{IoBinding, RunOptions, Session};
use ort::value::{DynTensor, PrimitiveTensorElementType, Tensor};
use seg_contract::{Contract, Element, OutputKind};

use crate::session::GraphInput;

/// The most shapes that have a graph: ONNX Runtime keeps each of them, and its memory, as long as
/// the session lives.
const CAPTURED_MAX: usize = 4;

/// The graphs runs of a session, one for each shape of input.
#[derive(Debug)]
pub(crate) struct CudaGraphs {
    device: AllocationDevice<'static>,
    device_id: i32,
    graphs: Vec<CudaGraph>,
}

/// The memory for one shape on the GPU, and the graph that works on it.
#[derive(Debug)]
pub(crate) struct CudaGraph {
    shape: [usize; 4],
    /// The input in the CPU's memory, which is copied to the GPU.
    input_copy: DynTensor,
    input: DynTensor,
    output: DynTensor,
    /// The output in the CPU's memory, which is copied from the GPU.
    output_copy: DynTensor,
    binding: IoBinding,
    graph: i32,
}

impl CudaGraphs {
    /// Makes an empty list of graphs for a device.
    pub(crate) fn new(device: AllocationDevice<'static>, device_id: i32) -> Self {
        Self { device, device_id, graphs: Vec::new() }
    }

    /// Returns the graph for batches of this shape, `[n, channels, h, w]`, and captures it if
    /// necessary; `None` if there are [`CAPTURED_MAX`] for other shapes.
    pub(crate) fn get_or_capture(
        &mut self,
        session: &Session,
        contract: &Contract,
        shape: [usize; 4],
    ) -> ort::Result<Option<&mut CudaGraph>> {
        let known = self.graphs.iter().position(|graph| graph.shape == shape);
        let index = match known {
            Some(index) => index,
            None if self.graphs.len() == CAPTURED_MAX => return Ok(None),
            None => {
                let graph = self.allocate(session, contract, shape)?;
                self.graphs.push(graph);
                self.graphs.len() - 1
            }
        };
        Ok(Some(&mut self.graphs[index]))
    }

    /// Allocates the memory for a new shape.
    fn allocate(&self, session: &Session, contract: &Contract, shape: [usize; 4]) -> ort::Result<CudaGraph> {
        let memory = MemoryInfo::new(self.device.clone(), self.device_id, AllocatorType::Device, MemoryType::Default)?;
        let (device, host) = (Allocator::new(session, memory)?, Allocator::default());
        let (input, input_copy) = (input_tensor(&device, contract, shape)?, input_tensor(&host, contract, shape)?);
        let (mut output, output_copy) =
            (output_tensor(&device, contract, shape)?, output_tensor(&host, contract, shape)?);
        let mut binding = session.create_binding()?;
        binding.bind_input(contract.input.name.as_str(), &input)?;
        binding.bind_output(contract.output.name.as_str(), output.view_mut())?;
        let graph = i32::try_from(self.graphs.len()).expect("there are at most CAPTURED_MAX") + 1;
        Ok(CudaGraph { shape, input_copy, input, output, output_copy, binding, graph })
    }
}

impl CudaGraph {
    /// Returns the number by which ONNX Runtime knows the graph.
    #[cfg(test)]
    pub(crate) fn number(&self) -> i32 {
        self.graph
    }

    /// Returns the output for a batch of the graph's shape.
    pub(crate) fn run<T: PrimitiveTensorElementType + Clone>(
        &mut self,
        session: &mut Session,
        batch: &GraphInput<'_>,
    ) -> ort::Result<ArrayViewD<'_, T>> {
        batch.fill(&mut self.input_copy)?;
        self.input_copy.copy_into(&mut self.input)?;
        drop(session.run_binding_with_options(&self.binding, &options(self.graph)?)?);
        self.output.copy_into(&mut self.output_copy)?;
        self.output_copy.try_extract_array()
    }
}

/// Allocates the input for a batch `[n, channels, h, w]`, in the form that the contract names.
fn input_tensor(allocator: &Allocator, contract: &Contract, shape: [usize; 4]) -> ort::Result<DynTensor> {
    let [n, channels, h, w] = shape;
    match contract.input.form.element {
        Element::Float => tensor::<f32>(allocator, &shape),
        Element::U8 => tensor::<u8>(allocator, &[n, h, w, channels]),
    }
}

/// Allocates the output for a batch `[n, channels, h, w]`, of the kind that the contract names.
fn output_tensor(allocator: &Allocator, contract: &Contract, [n, _, h, w]: [usize; 4]) -> ort::Result<DynTensor> {
    match contract.output.kind {
        OutputKind::Logits | OutputKind::Probabilities => tensor::<f32>(allocator, &[n, contract.classes.len(), h, w]),
        OutputKind::Mask => tensor::<u8>(allocator, &[n, h, w]),
    }
}

/// Allocates a tensor without values.
fn tensor<T: PrimitiveTensorElementType + std::fmt::Debug>(
    allocator: &Allocator,
    shape: &[usize],
) -> ort::Result<DynTensor> {
    Ok(Tensor::<T>::new(allocator, shape.iter().map(|size| *size as i64).collect::<Vec<_>>())?.upcast())
}

/// Makes the options of a run that is not graphs.
pub(crate) fn uncaptured() -> ort::Result<RunOptions> {
    options(-1)
}

/// Makes the options of a run that is graphs and replayed as the graph of this number; -1 stands
/// for none.
fn options(graph: i32) -> ort::Result<RunOptions> {
    let mut options = RunOptions::new()?;
    options.set("gpu_graph_id", graph.to_string())?;
    Ok(options)
}
