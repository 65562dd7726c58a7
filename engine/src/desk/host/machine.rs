//! This machine: the devices that can train, and how busy everything is.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use athanor_learn::device::{DeviceInfo, DeviceKind};
use athanor_protocol::{
    Failure,
    api::{DeviceEntry, Devices, DevicesList, GpuLoad, LoadNow, SystemLoad, WorkerLoad},
    names::RunId,
};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate};

use super::{Desk, lock};
use crate::{
    EngineError, devices, files,
    ids::{Clock, System},
    runs::system,
    worker,
};

/// CPU use is measured between two looks; looks that are closer to each other see nothing.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Between questions to the graphics driver, which start a process.
const CARDS_EVERY: Duration = Duration::from_secs(3);
/// The same where no graphics card was found.
const NO_CARDS_EVERY: Duration = Duration::from_secs(60);

/// What is remembered of this machine.
#[derive(Default)]
pub(super) struct Machine {
    devices: Mutex<Option<Devices>>,
    /// Names that were asked for, with the device that they mean.
    resolved: Mutex<BTreeMap<String, String>>,
    load: Mutex<Option<Load>>,
}

struct Load {
    system: sysinfo::System,
    looked: Instant,
    answer: Option<LoadNow>,
    cards: Option<(Instant, Vec<GpuLoad>)>,
}

pub(in crate::desk) fn devices_list(desk: &Arc<Desk>, ask: DevicesList) -> Result<Devices, Failure> {
    let machine = &desk.host.machine;
    // Held while drivers are asked: two windows need not ask at once.
    let mut known = lock(&machine.devices);
    if let Some(devices) = known.as_ref().filter(|_| !ask.refresh) {
        return Ok(devices.clone());
    }
    lock(&machine.resolved).clear();
    let (found, problem) = match devices::probe(&desk.options.program) {
        Ok(found) => (found, None),
        Err(err) => (vec![processor()], Some(err.into_failure().message)),
    };
    let auto = device_of(desk, "auto").unwrap_or_else(|_| "cpu".to_owned());
    let devices = Devices { devices: found.into_iter().map(entry).collect(), auto, problem };
    *known = Some(devices.clone());
    Ok(devices)
}

/// What is always there, also where looking for others failed.
fn processor() -> DeviceInfo {
    DeviceInfo {
        name: "cpu".to_owned(),
        description: "Processor".to_owned(),
        kind: DeviceKind::Cpu,
        memory_bytes: Some(system::memory_bytes().0).filter(|bytes| *bytes > 0),
    }
}

fn entry(device: DeviceInfo) -> DeviceEntry {
    let kind = match device.kind {
        DeviceKind::Cpu => "cpu",
        DeviceKind::DiscreteGpu => "discrete_gpu",
        DeviceKind::IntegratedGpu => "integrated_gpu",
        DeviceKind::VirtualGpu => "virtual_gpu",
        DeviceKind::Software => "software",
        DeviceKind::Other => "other",
    };
    let problem = (device.kind == DeviceKind::Software)
        .then(|| "a program stands in for a graphics card: its results are right, but it is slow".to_owned());
    DeviceEntry {
        name: device.name,
        title: device.description,
        kind: kind.to_owned(),
        memory_bytes: device.memory_bytes,
        problem,
    }
}

/// The device that a name means. Asks the drivers once for each name.
///
/// # Errors
/// If there is no such device; says which there are.
pub(in crate::desk) fn device_of(desk: &Desk, name: &str) -> Result<String, Failure> {
    let resolved = &desk.host.machine.resolved;
    if let Some(device) = lock(resolved).get(name) {
        return Ok(device.clone());
    }
    let device = devices::resolve(&desk.options.program, name).map_err(EngineError::into_failure)?;
    lock(resolved).insert(name.to_owned(), device.clone());
    Ok(device)
}

pub(in crate::desk) fn system_load(desk: &Arc<Desk>, _: SystemLoad) -> Result<LoadNow, Failure> {
    let workers = workers(desk);
    let mut load = lock(&desk.host.machine.load);
    if load.is_none() {
        let system = sysinfo::System::new().map_err(|err| {
            Failure::new(athanor_protocol::Code::Unsupported, format!("the system does not tell how busy it is: {err}"))
        })?;
        let mut fresh = Load { system, looked: Instant::now(), answer: None, cards: None };
        fresh.look(&workers);
        std::thread::sleep(LOOK_EVERY);
        *load = Some(fresh);
    }
    let Some(load) = load.as_mut() else {
        return Err(Failure::new(athanor_protocol::Code::Internal, "the load was lost"));
    };
    match &load.answer {
        Some(answer) if load.looked.elapsed() < LOOK_EVERY => Ok(answer.clone()),
        _ => Ok(load.now(&workers)),
    }
}

/// The workers of all runs of the workspace, whoever started them.
fn workers(desk: &Desk) -> Vec<(RunId, u32)> {
    let Ok(workspace) = desk.workspace() else { return vec![] };
    let pid_of = |folder: &Path| {
        let bytes = files::read_limited(&folder.join(worker::PID_FILE), 256).ok()?;
        let (pid, started) = serde_json::from_slice::<(u32, u64)>(&bytes).ok()?;
        (system::process_start(pid) == Some(started)).then_some(pid)
    };
    let running = workspace.store.running().unwrap_or_default();
    running.into_iter().filter_map(|run| Some((run.id.clone(), pid_of(&workspace.job_folder(&run.id))?))).collect()
}

impl Load {
    fn look(&mut self, workers: &[(RunId, u32)]) {
        self.looked = Instant::now();
        self.system.refresh_cpu_all();
        self.system.refresh_memory();
        let me = std::process::id();
        let pids: Vec<Pid> = workers.iter().map(|(_, pid)| *pid).chain([me]).map(Pid::from_u32).collect();
        let kind = ProcessRefreshKind::nothing().with_memory().with_cpu();
        self.system.refresh_processes_specifics(ProcessesToUpdate::Some(&pids), true, kind);
    }

    fn now(&mut self, workers: &[(RunId, u32)]) -> LoadNow {
        self.look(workers);
        let keep = |cards: &[GpuLoad]| if cards.is_empty() { NO_CARDS_EVERY } else { CARDS_EVERY };
        if self.cards.as_ref().is_none_or(|(at, cards)| at.elapsed() > keep(cards)) {
            let card = |card: system::Card| GpuLoad {
                title: card.title,
                busy_percent: card.busy_percent,
                memory_used_bytes: card.memory_used_bytes,
                memory_bytes: card.memory_bytes,
            };
            self.cards = Some((Instant::now(), system::cards().into_iter().map(card).collect()));
        }
        let process = |pid: u32| self.system.process(Pid::from_u32(pid));
        let worker = |(run, pid): &(RunId, u32)| {
            let process = process(*pid)?;
            let (cpu_percent, memory_bytes) = (process.cpu_usage(), process.memory());
            Some(WorkerLoad { run: run.clone(), pid: *pid, cpu_percent, memory_bytes })
        };
        let cpus = self.system.cpus();
        let answer = LoadNow {
            at_millis: System.now_millis(),
            host: system::host_name(),
            processor: cpus.first().map(|cpu| cpu.brand().trim().to_owned()).unwrap_or_default(),
            core_percent: cpus.iter().map(sysinfo::Cpu::usage).collect(),
            memory_bytes: self.system.total_memory(),
            memory_used_bytes: self.system.used_memory(),
            engine_bytes: process(std::process::id()).map_or(0, sysinfo::Process::memory),
            workers: workers.iter().filter_map(worker).collect(),
            gpus: self.cards.as_ref().map(|(_, cards)| cards.clone()).unwrap_or_default(),
        };
        self.answer = Some(answer.clone());
        answer
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::desk::test_desk::{TestDesk, ask};

    #[test]
    fn a_machine_is_as_busy_as_its_cores() {
        let test = TestDesk::new();
        let load = ask(&test.desk, SystemLoad {}).unwrap();
        assert!(!load.core_percent.is_empty() && load.core_percent.iter().all(|p| (0.0..=100.5).contains(p)));
        assert!(load.memory_bytes >= load.memory_used_bytes && load.memory_used_bytes >= load.engine_bytes);
        assert!(load.engine_bytes > 1 << 20 && load.workers.is_empty());
    }

    #[test]
    fn without_a_probe_there_is_the_processor_and_the_reason() {
        let test = TestDesk::new();
        let devices = ask(&test.desk, DevicesList { refresh: false }).unwrap();
        assert_eq!((devices.devices[0].name.as_str(), devices.auto.as_str()), ("cpu", "cpu"));
        assert!(devices.problem.is_some());
    }
}
