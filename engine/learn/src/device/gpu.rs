//! Graphics cards through wgpu.
//!
//! Burn picks the compiler by graphics API and build: `vulkan:N` takes WGSL, or SPIR-V in a build with the feature
//! `spirv`; `metal:N` takes MSL in a build with the feature `metal`. `webgpu:N` always takes WGSL, which every conforming
//! driver runs, software ones included: on DirectX 12 on Windows, on Metal on a Mac, else on Vulkan, or on OpenGL where
//! Vulkan takes SPIR-V. Mesa's software Vulkan (lavapipe 22.3) crashes on SPIR-V, so software adapters are no `vulkan:N`
//! then.

use std::{
    collections::HashMap,
    panic::catch_unwind,
    sync::{Mutex, PoisonError},
};

use burn::tensor::{
    Device, DeviceKind as BurnKind,
    wgpu::{WgpuBackend, wgpu},
};

use super::{DeviceInfo, DeviceKind};
use crate::LearnError;

/// The graphics APIs that a name stands for.
fn backends(api: &str) -> wgpu::Backends {
    match api {
        "vulkan" if cfg!(not(target_os = "macos")) => wgpu::Backends::VULKAN,
        "metal" if cfg!(all(target_os = "macos", feature = "metal")) => wgpu::Backends::METAL,
        "webgpu" => match wgsl_api() {
            WgpuBackend::Dx12 => wgpu::Backends::DX12,
            WgpuBackend::Metal => wgpu::Backends::METAL,
            WgpuBackend::Vulkan => wgpu::Backends::VULKAN,
            _ => wgpu::Backends::GL,
        },
        _ => wgpu::Backends::empty(),
    }
}

/// The graphics API on which this build compiles WGSL.
fn wgsl_api() -> WgpuBackend {
    if cfg!(target_os = "windows") {
        WgpuBackend::Dx12
    } else if cfg!(all(target_os = "macos", not(feature = "metal"))) {
        WgpuBackend::Metal
    } else if cfg!(not(feature = "spirv")) {
        WgpuBackend::Vulkan
    } else {
        WgpuBackend::Gl
    }
}

fn instance(backends: wgpu::Backends) -> wgpu::Instance {
    wgpu::Instance::new(wgpu::InstanceDescriptor { backends, ..wgpu::InstanceDescriptor::new_without_display_handle() })
}

/// The adapters in the order in which they are numbered: that of the driver, software last.
fn adapters(api: &str) -> Vec<wgpu::Adapter> {
    let backends = backends(api);
    if backends.is_empty() {
        return Vec::new();
    }
    let instance = instance(backends);
    let mut adapters = burn::tensor::read_sync(instance.enumerate_adapters(backends));
    adapters.sort_by_key(|adapter| adapter.get_info().device_type == wgpu::DeviceType::Cpu);
    adapters
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
        for (index, adapter) in found.iter().enumerate() {
            let info = adapter.get_info();
            let kind = kind(info.device_type);
            if kind == DeviceKind::Software && api != "webgpu" && cfg!(feature = "spirv") {
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

/// Opened devices by the way to them and their number. One way may have two names, and Burn refuses to open it twice.
static OPENED: Mutex<Option<HashMap<(String, usize), Device>>> = Mutex::new(None);

pub(super) fn open(name: &str, api: &str, index: usize) -> Result<Device, LearnError> {
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    let opened = opened.get_or_insert_with(HashMap::new);
    let key = (format!("{:?}", backends(api)), index);
    if let Some(device) = opened.get(&key) {
        return Ok(device.clone());
    }
    let failed = |message: String| LearnError::Device { name: name.to_owned(), message };
    let adapters = adapters(api);
    let info = adapters.get(index).map(wgpu::Adapter::get_info);
    let info = info.ok_or_else(|| failed(format!("there are only {} such devices", adapters.len())))?;
    // Burn counts the adapters of each kind from zero; ours are counted over all kinds.
    let nth = adapters.iter().take(index).filter(|other| other.get_info().device_type == info.device_type).count();
    let kind = match info.device_type {
        wgpu::DeviceType::DiscreteGpu => BurnKind::DiscreteGpu(nth),
        wgpu::DeviceType::IntegratedGpu => BurnKind::IntegratedGpu(nth),
        wgpu::DeviceType::VirtualGpu => BurnKind::VirtualGpu(nth),
        wgpu::DeviceType::Cpu => BurnKind::Cpu,
        wgpu::DeviceType::Other => BurnKind::DefaultDevice,
    };
    let device = match api {
        #[cfg(feature = "spirv")]
        "vulkan" => Device::vulkan(kind),
        #[cfg(feature = "metal")]
        "metal" => Device::metal(kind),
        _ => {
            let api = if api == "vulkan" { WgpuBackend::Vulkan } else { wgsl_api() };
            let options = Device::wgpu_options().device_kind(kind).graphics_api(api);
            options.init().map_err(|err| failed(err.to_string()))?
        }
    };
    opened.insert(key, device.clone());
    Ok(device)
}
