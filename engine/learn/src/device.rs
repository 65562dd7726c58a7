//! Compute devices, found at run time and chosen by name: `cpu`, `vulkan:0`, `metal:0`, `webgpu:0`, `cuda:0`.
//!
//! Only what is asked for is touched: `cpu` never starts a driver. A broken driver can take its process down, so a
//! program that must live lists devices in a child process.

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::tensor::Device;

use crate::LearnError;

#[cfg(feature = "gpu")]
mod gpu;

/// What kind of hardware a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    /// The processor.
    Cpu,
    /// A graphics card with its own memory.
    DiscreteGpu,
    /// A graphics unit that shares the processor's memory.
    IntegratedGpu,
    /// A graphics card lent by a virtual machine's host.
    VirtualGpu,
    /// A program that pretends to be a graphics card; right but slow, and never chosen by `auto`.
    Software,
    /// Something else.
    Other,
}

/// A device that can be chosen.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DeviceInfo {
    /// The name to choose it by.
    pub name: String,
    /// What it calls itself, with its driver.
    pub description: String,
    /// What kind of hardware it is.
    pub kind: DeviceKind,
    /// Its memory, where the system says.
    pub memory_bytes: Option<u64>,
}

/// All devices of this machine that this build can use; `cpu` is always the first. One graphics card may be there
/// under several names (`vulkan:0`, `webgpu:0`): the first is the fastest way to it.
///
/// Starts the graphics drivers, which takes a fraction of a second and can, with a broken driver, end the process.
pub fn devices() -> Vec<DeviceInfo> {
    let devices = std::iter::once(cpu());
    #[cfg(feature = "gpu")]
    let devices = devices.chain(gpu::devices());
    #[cfg(feature = "cuda")]
    let devices = devices.chain(cuda_devices());
    devices.collect()
}

fn cpu() -> DeviceInfo {
    let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
    let description = format!("{} processor, {n_threads} threads", std::env::consts::ARCH);
    DeviceInfo { name: "cpu".to_owned(), description, kind: DeviceKind::Cpu, memory_bytes: None }
}

#[cfg(feature = "cuda")]
fn cuda_devices() -> Vec<DeviceInfo> {
    let n = catch_unwind(|| Device::enumerate(burn::tensor::DeviceType::Cuda).into_vec().len()).unwrap_or(0);
    let info = |index: usize| DeviceInfo {
        name: format!("cuda:{index}"),
        description: "NVIDIA graphics card through CUDA".to_owned(),
        kind: DeviceKind::DiscreteGpu,
        memory_bytes: None,
    };
    (0..n).map(info).collect()
}

/// The device's full name: `auto` becomes the best real graphics card, or `cpu` where there is none; the others are
/// checked to be there.
///
/// # Errors
/// If there is no such device; the message lists those that are there.
pub fn resolve(name: &str) -> Result<String, LearnError> {
    match name {
        "cpu" => Ok("cpu".to_owned()),
        "auto" => Ok(best(&devices())),
        _ => {
            let (api, index) = parse(name)?;
            let full = format!("{api}:{index}");
            let devices = devices();
            if devices.iter().any(|device| device.name == full) { Ok(full) } else { Err(not_there(name, &devices)) }
        }
    }
}

/// Discrete before virtual before integrated; within a kind, the list's order, which has the fastest way first.
fn best(devices: &[DeviceInfo]) -> String {
    let order = [DeviceKind::DiscreteGpu, DeviceKind::VirtualGpu, DeviceKind::IntegratedGpu];
    let found = order.iter().find_map(|kind| devices.iter().find(|device| device.kind == *kind));
    found.map_or_else(|| "cpu".to_owned(), |device| device.name.clone())
}

fn not_there(name: &str, devices: &[DeviceInfo]) -> LearnError {
    let names: Vec<&str> = devices.iter().map(|device| device.name.as_str()).collect();
    LearnError::Device { name: name.to_owned(), message: format!("this machine has {}", names.join(", ")) }
}

fn parse(name: &str) -> Result<(&str, usize), LearnError> {
    const APIS: [&str; 4] = ["vulkan", "metal", "webgpu", "cuda"];
    let (api, index) = name.split_once(':').unwrap_or((name, "0"));
    let index = index.parse::<u16>().ok().filter(|parsed| parsed.to_string() == index);
    match index {
        Some(index) if APIS.contains(&api) => Ok((api, usize::from(index))),
        _ => Err(LearnError::Device {
            name: name.to_owned(),
            message: "devices are named 'auto', 'cpu', 'vulkan:0', 'metal:0', 'webgpu:0' or 'cuda:0'".to_owned(),
        }),
    }
}

/// Opens a device by the name that [`resolve`] gave.
pub(crate) fn open(name: &str) -> Result<Device, LearnError> {
    if name == "cpu" {
        return Ok(Device::flex());
    }
    let (api, index) = parse(name)?;
    #[cfg(feature = "cuda")]
    if api == "cuda" {
        return Ok(Device::cuda(index));
    }
    #[cfg(feature = "gpu")]
    return guarded(name, || gpu::open(name, api, index));
    #[cfg(not(feature = "gpu"))]
    {
        let _ = (api, index);
        Err(LearnError::Device { name: name.to_owned(), message: "this build knows only the cpu".to_owned() })
    }
}

/// The error for a device that failed.
pub(crate) fn lost(name: &str, err: &dyn std::fmt::Display) -> LearnError {
    LearnError::DeviceLost { name: name.to_owned(), message: err.to_string() }
}

/// Runs tensor work and turns a panic of the tensor library into an error: a driver that vanishes ends one run.
pub(crate) fn guarded<T>(name: &str, work: impl FnOnce() -> Result<T, LearnError>) -> Result<T, LearnError> {
    // Whatever the closure leaves half done is dropped with it: no state that it changed is looked at after a panic.
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result,
        Err(panic) => {
            let message = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                .unwrap_or_else(|| "it stopped without a reason".to_owned());
            if name == "cpu" {
                return Err(LearnError::Internal(format!("the tensor library failed: {message}")));
            }
            Err(LearnError::DeviceLost { name: name.to_owned(), message })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(name: &str, kind: DeviceKind) -> DeviceInfo {
        DeviceInfo { name: name.to_owned(), description: String::new(), kind, memory_bytes: None }
    }

    #[test]
    fn auto_takes_real_cards_only() {
        let cpu = || info("cpu", DeviceKind::Cpu);
        assert_eq!(best(&[cpu()]), "cpu");
        assert_eq!(best(&[cpu(), info("webgpu:0", DeviceKind::Software)]), "cpu");
        let cards = [cpu(), info("vulkan:0", DeviceKind::IntegratedGpu), info("vulkan:1", DeviceKind::DiscreteGpu)];
        assert_eq!(best(&cards), "vulkan:1");
    }

    #[test]
    fn names_that_are_none_say_what_names_look_like() {
        for name in ["", "gpu", "vulkan:", "vulkan:-1", "vulkan:01", "cuda:99999999", "cpu:0", "Vulkan:0"] {
            let err = resolve(name).unwrap_err();
            assert!(err.to_string().contains("'vulkan:0'"), "{name}: {err}");
        }
    }

    #[test]
    fn a_panic_becomes_an_error_that_names_the_device() {
        let err = guarded::<()>("vulkan:0", || panic!("device lost {}", 7)).unwrap_err();
        assert_eq!(err.code(), athanor_protocol::Code::DeviceLost);
        assert!(err.to_string().contains("vulkan:0") && err.to_string().contains("device lost 7"));
        assert_eq!(guarded::<()>("cpu", || panic!("oh")).unwrap_err().code(), athanor_protocol::Code::Internal);
    }
}
