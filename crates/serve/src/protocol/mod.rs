//! The Open Inference Protocol, version 2: models as tensors in and tensors out.

pub(crate) mod answer;
pub(crate) mod infer;
pub(crate) mod metadata;
pub(crate) mod request;
pub(crate) mod tensor;
