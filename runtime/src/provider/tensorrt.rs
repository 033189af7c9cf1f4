//! The TensorRT provider.
//!
//! TensorRT builds an engine when it first sees a model, which takes minutes, and builds it anew for an image whose
//! size is outside the range seen so far. Engines are kept in a folder.
//!
//! No precision is asked for here: it belongs in the model's graph.

use std::path::Path;

use ort::ep::TensorRT;
use sha2::{Digest, Sha256};

use super::ProviderError;

/// The provider as it is used here, for a model whose bytes are given.
pub(super) fn provider(model: &[u8], engines: Option<&Path>) -> Result<TensorRT, ProviderError> {
    let Some(engines) = engines else { return Ok(TensorRT::default()) };
    std::fs::create_dir_all(engines)
        .map_err(|source| ProviderError::EngineFolder { path: engines.to_path_buf(), source })?;
    let folder = engines.display();
    Ok(TensorRT::default()
        .with_engine_cache(true)
        .with_engine_cache_path(&folder)
        // By itself, the name of an engine tells networks apart but not their weights.
        .with_engine_cache_prefix(format!("{:x}", Sha256::digest(model)))
        .with_timing_cache(true)
        .with_timing_cache_path(&folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_share_no_engine() {
        let folder = tempfile::tempdir().unwrap();
        let engines = folder.path().join("engines");
        let of = |model: &[u8]| format!("{:?}", provider(model, Some(&engines)).unwrap());
        assert_ne!(of(b"one"), of(b"other"));
        assert_eq!(of(b"one"), of(b"one"));
        for key in ["trt_engine_cache_enable", "trt_engine_cache_path", "trt_engine_cache_prefix", "trt_timing_cache"] {
            assert!(of(b"one").contains(key), "{key}: {}", of(b"one"));
        }
        assert!(engines.is_dir());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let message = provider(b"", Some(&file.path().join("engines"))).unwrap_err().to_string();
        assert!(message.contains("engines"), "{message}");
    }
}
