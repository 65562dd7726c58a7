//! What a process and the machine are doing: CPU, memory, GPU where there is one.

use std::{fs, path::Path, process::Command, time::Instant};

/// One look at a process and the GPU.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Sample {
    /// CPU use since the last look, in percent of one core.
    pub cpu_percent: f64,
    /// Resident memory in bytes.
    pub memory_bytes: u64,
    /// GPU use in percent.
    pub gpu_percent: Option<f64>,
    /// GPU memory in use, in bytes.
    pub gpu_memory_bytes: Option<u64>,
}

/// Looks at one process, again and again.
#[derive(Debug)]
pub struct Monitor {
    pid: u32,
    /// `None` where the system cannot be asked; then nothing is known of the process.
    system: Option<sysinfo::System>,
    /// When CPU time was read last, and how much the process had used.
    last_cpu: Option<(Instant, f64)>,
    last_gpu: Option<(Instant, Option<(f64, u64)>)>,
}

impl Monitor {
    /// Watches a process.
    pub fn new(pid: u32) -> Self {
        Self { pid, system: sysinfo::System::new().ok(), last_cpu: None, last_gpu: None }
    }

    /// Resident memory of the process in bytes, cheaply; `None` once it is gone.
    pub fn memory_bytes(&mut self) -> Option<u64> {
        self.refresh().map(sysinfo::Process::memory)
    }

    /// Looks at everything; `None` once the process is gone.
    pub fn sample(&mut self) -> Option<Sample> {
        let process = self.refresh()?;
        let (memory_bytes, used) = (process.memory(), process.accumulated_cpu_time() as f64 / 1e3);
        let now = Instant::now();
        let (began, before) = self.last_cpu.replace((now, used)).unwrap_or((now, used));
        let seconds = now.duration_since(began).as_secs_f64();
        let cpu_percent = if seconds > 0.0 { (used - before).max(0.0) / seconds * 100.0 } else { 0.0 };
        let gpu = self.gpu();
        let (gpu_percent, gpu_memory_bytes) = (gpu.map(|gpu| gpu.0), gpu.map(|gpu| gpu.1));
        Some(Sample { cpu_percent, memory_bytes, gpu_percent, gpu_memory_bytes })
    }

    fn refresh(&mut self) -> Option<&sysinfo::Process> {
        let system = self.system.as_mut()?;
        let kind = sysinfo::ProcessRefreshKind::nothing().with_memory().with_cpu();
        let pid = sysinfo::Pid::from_u32(self.pid);
        system.refresh_processes_specifics(sysinfo::ProcessesToUpdate::Some(&[pid]), true, kind);
        system.process(pid)
    }

    /// GPU use in percent and memory in bytes. Asking costs a process start on NVIDIA cards, so an answer is kept for a
    /// few seconds, and a machine without one is not asked again.
    fn gpu(&mut self) -> Option<(f64, u64)> {
        const KEEP_SECS: u64 = 5;
        if let Some((at, answer)) = &self.last_gpu
            && (answer.is_none() || at.elapsed().as_secs() < KEEP_SECS)
        {
            return *answer;
        }
        let answer = gpu_from_sysfs(Path::new("/sys/class/drm")).or_else(gpu_from_nvidia);
        self.last_gpu = Some((Instant::now(), answer));
        answer
    }
}

/// A graphics card as the system tells of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Card {
    /// What it is called.
    pub title: String,
    /// Use in percent.
    pub busy_percent: Option<f32>,
    /// Memory in use, in bytes.
    pub memory_used_bytes: Option<u64>,
    /// Memory in all, in bytes.
    pub memory_bytes: Option<u64>,
}

/// The graphics cards that the system tells of. Starts a process where NVIDIA's tool is there.
pub fn cards() -> Vec<Card> {
    let query = ["--query-gpu=name,utilization.gpu,memory.used,memory.total", "--format=csv,noheader,nounits"];
    let output = Command::new("nvidia-smi").args(query).output().ok().filter(|output| output.status.success());
    let mut cards = output.map(|output| parse_cards(&String::from_utf8_lossy(&output.stdout))).unwrap_or_default();
    cards.extend(cards_from_sysfs(Path::new("/sys/class/drm")));
    cards
}

fn parse_cards(text: &str) -> Vec<Card> {
    let line = |line: &str| {
        // The name comes first and may hold anything, also commas.
        let mut parts = line.rsplitn(4, ',').map(str::trim);
        let mebibytes = |text: Option<&str>| text?.parse::<u64>().ok().map(|mebibytes| mebibytes << 20);
        let (memory_bytes, memory_used_bytes) = (mebibytes(parts.next()), mebibytes(parts.next()));
        let busy_percent = parts.next()?.parse().ok();
        Some(Card { title: parts.next()?.to_owned(), busy_percent, memory_used_bytes, memory_bytes })
    };
    text.lines().filter_map(line).collect()
}

fn cards_from_sysfs(root: &Path) -> Vec<Card> {
    let mut found = vec![];
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let device = entry.path().join("device");
        let text = |name: &str| fs::read_to_string(device.join(name)).ok().map(|text| text.trim().to_owned());
        let number = |name: &str| text(name)?.parse::<f64>().ok();
        // Outputs of a card are listed beside it, with the same device behind them; only cards have a name without '-'.
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(busy) = number("gpu_busy_percent").filter(|_| name.starts_with("card") && !name.contains('-')) else {
            continue;
        };
        found.push(Card {
            title: text("product_name").filter(|name| !name.is_empty()).unwrap_or_else(|| format!("graphics {name}")),
            busy_percent: Some(busy as f32),
            memory_used_bytes: number("mem_info_vram_used").map(|bytes| bytes as u64),
            memory_bytes: number("mem_info_vram_total").map(|bytes| bytes as u64),
        });
    }
    found.sort_by(|a, b| a.title.cmp(&b.title));
    found
}

/// AMD's driver tells in files.
fn gpu_from_sysfs(root: &Path) -> Option<(f64, u64)> {
    let number = |path: &Path| fs::read_to_string(path).ok()?.trim().parse::<f64>().ok();
    let cards = fs::read_dir(root).ok()?.flatten().map(|entry| entry.path().join("device"));
    cards
        .filter_map(|card| {
            Some((number(&card.join("gpu_busy_percent"))?, number(&card.join("mem_info_vram_used"))? as u64))
        })
        .max_by(|a, b| a.0.total_cmp(&b.0))
}

/// NVIDIA's driver tells through its tool; the busiest card counts.
fn gpu_from_nvidia() -> Option<(f64, u64)> {
    let query = ["--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits"];
    let output = Command::new("nvidia-smi").args(query).output().ok().filter(|output| output.status.success())?;
    parse_nvidia(&String::from_utf8_lossy(&output.stdout))
}

fn parse_nvidia(text: &str) -> Option<(f64, u64)> {
    let line = |line: &str| {
        let (busy, mebibytes) = line.split_once(',')?;
        Some((busy.trim().parse().ok()?, mebibytes.trim().parse::<u64>().ok()? << 20))
    };
    text.lines().filter_map(line).max_by(|a: &(f64, u64), b| a.0.total_cmp(&b.0))
}

/// When a process started, as the system counts; `None` where there is no such process, or only what is left of one that
/// ended.
///
/// On Linux these are the clock ticks since boot of proc_pid_stat(5), field 22, which never change; seconds since the
/// epoch would move when the clock is set.
#[cfg(target_os = "linux")]
pub fn process_start(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, also parentheses; what follows its end is numbers.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") { None } else { fields.nth(18)?.parse().ok() }
}

/// When a process started, in seconds since the epoch; `None` where there is no such process.
#[cfg(not(target_os = "linux"))]
pub fn process_start(pid: u32) -> Option<u64> {
    let mut system = sysinfo::System::new().ok()?;
    let pid = sysinfo::Pid::from_u32(pid);
    let kind = sysinfo::ProcessRefreshKind::nothing();
    system.refresh_processes_specifics(sysinfo::ProcessesToUpdate::Some(&[pid]), true, kind);
    let living = |process: &&sysinfo::Process| process.status() != sysinfo::ProcessStatus::Zombie;
    system.process(pid).filter(living).map(sysinfo::Process::start_time)
}

/// The host's name.
pub fn host_name() -> String {
    sysinfo::System::host_name().unwrap_or_else(|_| "localhost".to_owned())
}

/// Physical memory of the machine in bytes: total and available. Zeros where the system does not tell.
pub fn memory_bytes() -> (u64, u64) {
    let Ok(mut system) = sysinfo::System::new() else { return (0, 0) };
    system.refresh_memory();
    (system.total_memory(), system.available_memory())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_seen_and_a_missing_one_is_not() {
        let mut monitor = Monitor::new(std::process::id());
        assert!(monitor.memory_bytes().is_some_and(|bytes| bytes > 1 << 20));
        assert!(monitor.sample().is_some_and(|sample| sample.memory_bytes > 1 << 20));
        // Work until the system has counted some: then it must be seen.
        let mut n = 0u64;
        while monitor.sample().is_some_and(|sample| sample.cpu_percent == 0.0) {
            (0..1_000_000u64).for_each(|at| n = std::hint::black_box(n.wrapping_add(at)));
        }
        assert!(process_start(std::process::id()).is_some());
        assert!(process_start(u32::MAX - 1).is_none());
        assert!(Monitor::new(u32::MAX - 1).sample().is_none());
        assert!(memory_bytes().0 > 1 << 20);
    }

    #[test]
    fn the_busiest_card_counts() {
        assert_eq!(parse_nvidia("3, 10\n97, 2048\n"), Some((97.0, 2048 << 20)));
        assert_eq!(parse_nvidia("[N/A], [N/A]\n"), None);
    }

    #[test]
    fn cards_are_read_from_what_drivers_say() {
        let text = "NVIDIA A100, 80GB PCIe, 97, 2048, 81920\nOld, [N/A], [N/A], 1024\nnonsense\n";
        let cards = parse_cards(text);
        assert_eq!(cards.len(), 2);
        assert_eq!((cards[0].title.as_str(), cards[0].busy_percent), ("NVIDIA A100, 80GB PCIe", Some(97.0)));
        assert_eq!((cards[0].memory_used_bytes, cards[0].memory_bytes), (Some(2048 << 20), Some(81_920 << 20)));
        assert_eq!((cards[1].busy_percent, cards[1].memory_bytes), (None, Some(1024 << 20)));
        let folder = tempfile::tempdir().unwrap();
        for (name, file, text) in [
            ("card0", "gpu_busy_percent", "12\n"),
            ("card0", "mem_info_vram_total", "1000\n"),
            ("card1", "vendor", "x"),
        ] {
            let device = folder.path().join(name).join("device");
            fs::create_dir_all(&device).unwrap();
            fs::write(device.join(file), text).unwrap();
        }
        let cards = cards_from_sysfs(folder.path());
        assert_eq!((cards.len(), cards[0].busy_percent, cards[0].memory_bytes), (1, Some(12.0), Some(1000)));
    }
}
