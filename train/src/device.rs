//! The device that trains: the CPU, or a CUDA GPU where the build and the machine have one.

use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;
use thiserror::Error;

/// Which device was asked for: `auto`, `cpu`, `cuda` or `cuda:INDEX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first CUDA GPU where there is one, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA GPU of an index.
    Cuda(usize),
}

/// Why a device cannot be used.
#[derive(Debug, Error)]
pub enum DeviceError {
    /// The text names no device.
    #[error("`{text}` is not a device; expected auto, cpu, cuda or cuda:INDEX")]
    Unknown {
        /// The text.
        text: String,
    },
    /// The program was built without CUDA.
    #[error(
        "cannot use `cuda:{index}`: this program was built without CUDA; build it with `--features cuda` or choose `--device cpu`"
    )]
    NotBuilt {
        /// The GPU's index.
        index: usize,
    },
    /// The machine lacks the GPU.
    #[error(
        "cannot use `cuda:{index}`: the CUDA driver shows {found} GPUs; check `nvidia-smi` or choose `--device cpu`"
    )]
    Absent {
        /// The GPU's index.
        index: usize,
        /// How many there are.
        found: usize,
    },
}

impl FromStr for DeviceChoice {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let unknown = || DeviceError::Unknown { text: text.into() };
        match text.split_once(':') {
            None if text == "auto" => Ok(Self::Auto),
            None if text == "cpu" => Ok(Self::Cpu),
            None if text == "cuda" => Ok(Self::Cuda(0)),
            Some(("cuda", index)) => Ok(Self::Cuda(index.parse().map_err(|_| unknown())?)),
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => formatter.write_str("auto"),
            Self::Cpu => formatter.write_str("cpu"),
            Self::Cuda(index) => write!(formatter, "cuda:{index}"),
        }
    }
}

impl DeviceChoice {
    /// The device, and the choice with `auto` decided.
    ///
    /// # Errors
    /// When a GPU is asked for that the build or the machine lacks.
    pub fn open(self) -> Result<(Device, Self), DeviceError> {
        match self {
            Self::Cpu => Ok((Device::flex(), Self::Cpu)),
            Self::Auto if cuda_devices() == 0 => Ok((Device::flex(), Self::Cpu)),
            Self::Auto => cuda(0),
            Self::Cuda(index) => cuda(index),
        }
    }
}

/// How many CUDA GPUs there are; asking is safe without a driver, while opening one is not.
#[cfg(feature = "cuda")]
fn cuda_devices() -> usize {
    Device::enumerate(burn::tensor::DeviceType::Cuda).into_vec().len()
}

#[cfg(not(feature = "cuda"))]
fn cuda_devices() -> usize {
    0
}

#[cfg(feature = "cuda")]
fn cuda(index: usize) -> Result<(Device, DeviceChoice), DeviceError> {
    let found = cuda_devices();
    if index >= found {
        return Err(DeviceError::Absent { index, found });
    }
    Ok((Device::cuda(index), DeviceChoice::Cuda(index)))
}

#[cfg(not(feature = "cuda"))]
fn cuda(index: usize) -> Result<(Device, DeviceChoice), DeviceError> {
    Err(DeviceError::NotBuilt { index })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_and_written_alike() {
        for (text, choice) in [
            ("auto", DeviceChoice::Auto),
            ("cpu", DeviceChoice::Cpu),
            ("cuda:0", DeviceChoice::Cuda(0)),
            ("cuda:3", DeviceChoice::Cuda(3)),
        ] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap(), choice, "{text}");
            assert_eq!(choice.to_string(), text);
        }
        assert_eq!("cuda".parse::<DeviceChoice>().unwrap(), DeviceChoice::Cuda(0));
        for text in ["gpu", "cuda:", "cuda:x", "cpu:0", ""] {
            assert!(text.parse::<DeviceChoice>().unwrap_err().to_string().contains(text), "{text}");
        }
    }

    #[test]
    fn a_gpu_that_is_not_there_is_an_error_with_a_remedy() {
        let message = DeviceChoice::Cuda(99).open().map(drop).unwrap_err().to_string();
        assert!(message.contains("cuda:99") && message.contains("--device cpu"), "{message}");
    }
}
