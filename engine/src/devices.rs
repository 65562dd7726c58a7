//! Devices by name. Looking for GPUs loads drivers, and a driver may crash; that happens in a process of its own.

use std::{path::Path, process::Command, time::Duration};

use athanor_learn::device::DeviceInfo;
use athanor_protocol::{Code, Failure};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    bounded,
    error::{EngineError, Result},
};

/// A probe that takes longer hangs in a driver.
const PROBE: Duration = Duration::from_secs(30);
/// What the answer's line begins with.
const MARK: &str = "athanor-devices ";

/// The device that a name means: `auto` becomes the best one there is, every other name is checked.
///
/// # Errors
/// If there is no such device; says which there are.
pub fn resolve(program: &Path, name: &str) -> Result<String> {
    if name == "cpu" {
        return Ok(name.to_owned());
    }
    match ask::<Resolved>(program, &["--probe-devices", "--device", name]) {
        Ok(Resolved::Device(device)) => Ok(device),
        Ok(Resolved::Failure(failure)) => Err(EngineError::Failure(failure)),
        // A broken driver is no reason not to train where training always works.
        Err(_) if name == "auto" => Ok("cpu".to_owned()),
        Err(err) => Err(err),
    }
}

/// All devices, looked for in a process of its own.
///
/// # Errors
/// If that process crashes or hangs; then there is at least `cpu`.
pub fn probe(program: &Path) -> Result<Vec<DeviceInfo>> {
    ask(program, &["--probe-devices"])
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Resolved {
    Device(String),
    Failure(Failure),
}

/// The other side: looks and prints the answer. Drivers print too, so the answer is marked.
pub(crate) fn answer(name: Option<&str>) {
    let text = match name {
        None => serde_json::to_string(&athanor_learn::device::devices()),
        Some(name) => serde_json::to_string(&match athanor_learn::device::resolve(name) {
            Ok(device) => Resolved::Device(device),
            Err(err) => Resolved::Failure(err.into()),
        }),
    };
    println!("{MARK}{}", text.unwrap_or_default());
}

fn ask<T: DeserializeOwned>(program: &Path, args: &[&str]) -> Result<T> {
    let failed = |why: &str| {
        let failure = Failure::new(Code::DeviceLost, format!("looking for GPUs failed: {why}"));
        EngineError::Failure(failure.hint("a graphics driver may be broken; the device 'cpu' always works"))
    };
    let asked = bounded::ask(Command::new(program).arg("worker").args(args), PROBE, 16 << 20)?;
    let Some((status, text)) = asked else { return Err(failed("a driver hangs")) };
    let line = text.lines().find_map(|line| line.strip_prefix(MARK));
    match line.and_then(|line| serde_json::from_str(line).ok()) {
        Some(answer) if status.success() => Ok(answer),
        _ => Err(failed(&format!("the probe ended with {status}"))),
    }
}
