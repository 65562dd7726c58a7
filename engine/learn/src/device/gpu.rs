//! Graphics cards through wgpu.
//!
//! `vulkan:N` and `metal:N` compile kernels natively (SPIR-V, MSL). `webgpu:N` is the same adapters through WGSL, which
//! every conforming driver runs, software ones included: Mesa's lavapipe crashes on our SPIR-V.

use std::{
    collections::HashMap,
    panic::catch_unwind,
    sync::{Mutex, PoisonError},
};

use burn::tensor::{
    Device,
    wgpu::{WgpuSetup, wgpu},
};

use super::{DeviceInfo, DeviceKind};
use crate::LearnError;

/// The graphics APIs that a name stands for.
fn backends(api: &str) -> wgpu::Backends {
    match api {
        "vulkan" if cfg!(not(target_os = "macos")) => wgpu::Backends::VULKAN,
        "metal" if cfg!(all(target_os = "macos", feature = "metal")) => wgpu::Backends::METAL,
        "webgpu" => wgpu::Backends::PRIMARY,
        _ => wgpu::Backends::empty(),
    }
}

fn instance(backends: wgpu::Backends) -> wgpu::Instance {
    wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    })
}

/// The adapters in the order in which they are numbered: that of the driver, software last.
fn adapters(api: &str) -> Vec<(wgpu::Instance, wgpu::Adapter)> {
    let backends = backends(api);
    if backends.is_empty() {
        return Vec::new();
    }
    let instance = instance(backends);
    let mut adapters = burn::tensor::read_sync(instance.enumerate_adapters(backends));
    adapters.sort_by_key(|adapter| adapter.get_info().device_type == wgpu::DeviceType::Cpu);
    adapters.into_iter().map(|adapter| (instance.clone(), adapter)).collect()
}

fn kind(device_type: wgpu::DeviceType) -> DeviceKind {
    match device_type {
        wgpu::DeviceType::DiscreteGpu => DeviceKind::DiscreteGpu,
        wgpu::DeviceType::IntegratedGpu => DeviceKind::IntegratedGpu,
        wgpu::DeviceType::VirtualGpu => DeviceKind::VirtualGpu,
        wgpu::DeviceType::Cpu => DeviceKind::Software,
        wgpu::DeviceType::Other => DeviceKind::Other,
    }
}

/// Lists adapters without opening any.
pub(super) fn devices() -> Vec<DeviceInfo> {
    let mut devices = Vec::new();
    for api in ["vulkan", "metal", "webgpu"] {
        // A library that panics on a strange driver means that this way is not there.
        let found = catch_unwind(|| adapters(api)).unwrap_or_default();
        for (index, (_, adapter)) in found.iter().enumerate() {
            let info = adapter.get_info();
            let kind = kind(info.device_type);
            if kind == DeviceKind::Software && api != "webgpu" {
                continue;
            }
            let driver = [info.driver.as_str(), info.driver_info.as_str()].join(" ");
            devices.push(DeviceInfo {
                name: format!("{api}:{index}"),
                description: format!("{} ({})", info.name, driver.trim()),
                kind,
                memory_bytes: None,
            });
        }
    }
    devices
}

/// One opened device for each name: opening twice would double its memory pools.
static OPENED: Mutex<Option<HashMap<String, Device>>> = Mutex::new(None);

pub(super) fn open(name: &str, api: &str, index: usize) -> Result<Device, LearnError> {
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    let opened = opened.get_or_insert_with(HashMap::new);
    if let Some(device) = opened.get(name) {
        return Ok(device.clone());
    }
    let failed = |message: String| LearnError::Device { name: name.to_owned(), message };
    let (instance, adapter) = adapters(api)
        .into_iter()
        .nth(index)
        .ok_or_else(|| failed(format!("there are fewer than {} such devices", index + 1)))?;
    let device = match api {
        "webgpu" => open_wgsl(instance, adapter).map_err(failed)?,
        _ => open_native(api, index, &adapter),
    };
    opened.insert(name.to_owned(), device.clone());
    Ok(device)
}

/// Burn counts the adapters of each kind from zero; ours are counted over all kinds.
fn open_native(api: &str, index: usize, adapter: &wgpu::Adapter) -> Device {
    use burn::tensor::DeviceKind as BurnKind;
    let device_type = adapter.get_info().device_type;
    let before = adapters(api).into_iter().take(index);
    let nth = before.filter(|(_, other)| other.get_info().device_type == device_type).count();
    let kind = match device_type {
        wgpu::DeviceType::DiscreteGpu => BurnKind::DiscreteGpu(nth),
        wgpu::DeviceType::IntegratedGpu => BurnKind::IntegratedGpu(nth),
        wgpu::DeviceType::VirtualGpu => BurnKind::VirtualGpu(nth),
        wgpu::DeviceType::Cpu => BurnKind::Cpu,
        wgpu::DeviceType::Other => BurnKind::DefaultDevice,
    };
    #[cfg(feature = "metal")]
    if api == "metal" {
        return Device::metal(kind);
    }
    Device::vulkan(kind)
}

/// Opens an adapter with WGSL as the kernels' language: Burn picks the compiler by the backend that a setup names, and
/// takes WGSL for every backend that has no compiler of its own.
fn open_wgsl(instance: wgpu::Instance, adapter: wgpu::Adapter) -> Result<Device, String> {
    let descriptor = wgpu::DeviceDescriptor {
        label: None,
        required_features: adapter.features().difference(wgpu::Features::MAPPABLE_PRIMARY_BUFFERS),
        required_limits: adapter.limits(),
        // Burn makes its own pools out of few large buffers.
        memory_hints: wgpu::MemoryHints::MemoryUsage,
        trace: wgpu::Trace::Off,
        // Shaders come from our own kernels; the experimental features of the adapter are not asked for.
        experimental_features: wgpu::ExperimentalFeatures::disabled(),
    };
    let (device, queue) =
        burn::tensor::read_sync(adapter.request_device(&descriptor)).map_err(|err| err.to_string())?;
    let setup = WgpuSetup { instance, adapter, device, queue, backend: wgpu::Backend::BrowserWebGpu };
    Device::wgpu_options().setup(setup).init().map_err(|err| err.to_string())
}
