//! The device that trains: the CPU, or a GPU where the build and the machine have one.

use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;
#[cfg(feature = "cube")]
use burn::tensor::DeviceType;
use thiserror::Error;

use crate::precision::Precision;

/// The device that is asked for: `auto`, `cpu`, `cuda`, `cuda:INDEX`, `wgpu` or `wgpu:INDEX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first CUDA GPU where there is one, else the CPU: never `wgpu`, which may be a driver
    /// that computes on the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA GPU of an index.
    Cuda(usize),
    /// The GPU of an index through Vulkan, Metal or DirectX 12.
    Wgpu(usize),
}

/// An error in opening a device.
#[derive(Debug, Error)]
pub enum DeviceError {
    /// The text names no device.
    #[error("`{text}` is not a device; expected auto, cpu, cuda, cuda:INDEX, wgpu or wgpu:INDEX")]
    Unknown {
        /// The text.
        text: String,
    },
    /// The device lacks the numbers that the network shall learn in.
    #[error("cannot learn in {name} on `{device}`: it has no such numbers; choose `--precision fp32`", name = precision.name())]
    Precision {
        /// The device that was asked for.
        precision: Precision,
        /// The device.
        device: DeviceChoice,
    },
    /// A GPU is named twice.
    #[error("`{device}` is named twice; each GPU takes one part of a batch")]
    Repeated {
        /// The GPU.
        device: DeviceChoice,
    },
    /// The program was built without the device's kind.
    #[error(
        "cannot use `{kind}:{index}`: this program was built without {kind}; build it with `--features {kind}` or choose `--device cpu`"
    )]
    NotBuilt {
        /// `cuda` or `wgpu`.
        kind: &'static str,
        /// The GPU's index.
        index: usize,
    },
    /// The machine lacks the GPU.
    #[error(
        "cannot use `{kind}:{index}`: its driver shows {found} GPUs; check `nvidia-smi` or `vulkaninfo`, or choose `--device cpu`"
    )]
    Absent {
        /// `cuda` or `wgpu`.
        kind: &'static str,
        /// The GPU's index.
        index: usize,
        /// The number of devices.
        found: usize,
    },
}

impl FromStr for DeviceChoice {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let unknown = || DeviceError::Unknown { text: text.into() };
        let (kind, index) = match text.split_once(':') {
            Some((kind, index)) => (kind, Some(index.parse().map_err(|_| unknown())?)),
            None => (text, None),
        };
        match (kind, index) {
            ("auto", None) => Ok(Self::Auto),
            ("cpu", None) => Ok(Self::Cpu),
            ("cuda", index) => Ok(Self::Cuda(index.unwrap_or(0))),
            ("wgpu", index) => Ok(Self::Wgpu(index.unwrap_or(0))),
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
            Self::Wgpu(index) => write!(formatter, "wgpu:{index}"),
        }
    }
}

impl DeviceChoice {
    /// Opens the device; also returns the choice with `auto` decided.
    ///
    /// # Errors
    /// When a GPU is asked for that the build or the machine lacks.
    pub fn open(self) -> Result<(Device, Self), DeviceError> {
        let device = match self {
            Self::Auto if cuda().is_some_and(|gpus| !gpus.is_empty()) => return Self::Cuda(0).open(),
            Self::Auto => return Self::Cpu.open(),
            Self::Cpu => {
                crate::memory::keep();
                Device::flex()
            }
            Self::Cuda(index) => pick("cuda", cuda(), index)?,
            Self::Wgpu(index) => pick("wgpu", wgpu(), index)?,
        };
        Ok((device, self))
    }
}

/// The devices that share each batch: one, or several as in `cuda:0,cuda:1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Devices(Vec<DeviceChoice>);

impl From<DeviceChoice> for Devices {
    fn from(choice: DeviceChoice) -> Self {
        Self(vec![choice])
    }
}

impl FromStr for Devices {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let choices: Vec<_> = text.split(',').map(str::parse).collect::<Result<_, _>>()?;
        if choices.len() > 1 && choices.contains(&DeviceChoice::Auto) {
            return Err(DeviceError::Unknown { text: text.into() });
        }
        for (index, choice) in choices.iter().enumerate() {
            // Replicas on the CPU share its cores; on a GPU they would only share its memory.
            if *choice != DeviceChoice::Cpu && choices[..index].contains(choice) {
                return Err(DeviceError::Repeated { device: *choice });
            }
        }
        Ok(Self(choices))
    }
}

impl fmt::Display for Devices {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, choice) in self.0.iter().enumerate() {
            write!(formatter, "{}{choice}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl Devices {
    /// Opens the devices; also returns the choices with `auto` decided.
    ///
    /// # Errors
    /// As [`DeviceChoice::open`].
    pub fn open(&self) -> Result<(Vec<Device>, Self), DeviceError> {
        let opened: Vec<_> = self.0.iter().map(|choice| choice.open()).collect::<Result<_, _>>()?;
        let (devices, choices) = opened.into_iter().unzip();
        Ok((devices, Self(choices)))
    }

    /// Returns the devices as [`open`](Self::open) gives them, each of which has a precision.
    ///
    /// # Errors
    /// As [`DeviceChoice::open`], and when a device lacks the precision.
    pub fn open_for(&self, precision: Precision) -> Result<(Vec<Device>, Self), DeviceError> {
        let (devices, choices) = self.open()?;
        match devices.iter().zip(&choices.0).find(|(device, _)| !precision.is_on(device)) {
            Some((_, device)) => Err(DeviceError::Precision { precision, device: *device }),
            None => Ok((devices, choices)),
        }
    }

    /// Returns whether all of them are the CPU.
    pub fn are_cpu(&self) -> bool {
        self.0.iter().all(|choice| *choice == DeviceChoice::Cpu)
    }
}

/// Lists the CUDA GPUs; none if the program was built without CUDA. Listing is safe without a
/// driver, opening one is not.
#[cfg(feature = "cuda")]
fn cuda() -> Option<Vec<Device>> {
    Some(Device::enumerate(DeviceType::Cuda).into_vec())
}

#[cfg(not(feature = "cuda"))]
fn cuda() -> Option<Vec<Device>> {
    None
}

/// Lists the GPUs that Vulkan, Metal or DirectX 12 shows; none if the program was built without
/// them.
#[cfg(feature = "wgpu")]
fn wgpu() -> Option<Vec<Device>> {
    Some(Device::enumerate(DeviceType::Wgpu).into_vec())
}

#[cfg(not(feature = "wgpu"))]
fn wgpu() -> Option<Vec<Device>> {
    None
}

/// Returns the GPU of an index among those of a kind.
fn pick(kind: &'static str, gpus: Option<Vec<Device>>, index: usize) -> Result<Device, DeviceError> {
    let gpus = gpus.ok_or(DeviceError::NotBuilt { kind, index })?;
    let found = gpus.len();
    gpus.into_iter().nth(index).ok_or(DeviceError::Absent { kind, index, found })
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
            ("wgpu:1", DeviceChoice::Wgpu(1)),
        ] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap(), choice, "{text}");
            assert_eq!(choice.to_string(), text);
        }
        assert_eq!("cuda".parse::<DeviceChoice>().unwrap(), DeviceChoice::Cuda(0));
        assert_eq!("wgpu".parse::<DeviceChoice>().unwrap(), DeviceChoice::Wgpu(0));
        for text in ["gpu", "cuda:", "cuda:x", "wgpu:-1", "cpu:0", "auto:0", ""] {
            assert!(text.parse::<DeviceChoice>().unwrap_err().to_string().contains(text), "{text}");
        }
    }

    #[test]
    fn several_devices_are_a_list() {
        for text in ["auto", "cpu", "cuda:1", "cpu,cpu", "cuda:0,cuda:1,cuda:3"] {
            assert_eq!(text.parse::<Devices>().unwrap().to_string(), text);
        }
        for (text, part) in [
            ("", "not a device"),
            ("cpu,", "not a device"),
            ("auto,cpu", "`auto,cpu` is not a device"),
            ("cuda:0,gpu", "`gpu` is not a device"),
            ("cuda,cuda:0", "`cuda:0` is named twice"),
        ] {
            let message = text.parse::<Devices>().unwrap_err().to_string();
            assert!(message.contains(part), "{text}: {message}");
        }
        assert_eq!("cpu,cpu".parse::<Devices>().unwrap().open().unwrap().0.len(), 2);
    }

    #[test]
    fn a_gpu_that_is_not_there_is_an_error_with_a_remedy() {
        for choice in [DeviceChoice::Cuda(99), DeviceChoice::Wgpu(99)] {
            let message = choice.open().map(drop).unwrap_err().to_string();
            assert!(message.contains(&choice.to_string()) && message.contains("--device cpu"), "{message}");
        }
    }
}
