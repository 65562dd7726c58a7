//! This process: memory, processor time, start, open files, under the names that Prometheus' own clients use. Told where
//! the system has `/proc`; elsewhere these lines are missing.

use std::fs;

use super::expose::Page;

/// Clock ticks in a second, as Linux shows them to programs on every architecture that this program is built for.
const TICKS_PER_SEC: f64 = 100.0;

/// What `/proc/self/stat` says.
#[derive(Debug, PartialEq)]
struct Figures {
    cpu_secs: f64,
    start_secs_after_boot: f64,
    virtual_bytes: f64,
}

/// Reads the fields after the program's name, which may hold anything, brackets too.
fn parse(stat: &str) -> Option<Figures> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let field = |at: usize| fields.get(at)?.parse::<f64>().ok();
    Some(Figures {
        cpu_secs: (field(11)? + field(12)?) / TICKS_PER_SEC,
        start_secs_after_boot: field(19)? / TICKS_PER_SEC,
        virtual_bytes: field(20)?,
    })
}

/// Resident memory as the kernel tells it in kilobytes.
fn resident_bytes() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? * 1024.0)
}

fn boot_secs() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

pub(super) fn expose(page: &mut Page) {
    let Some(figures) = fs::read_to_string("/proc/self/stat").ok().and_then(|stat| parse(&stat)) else { return };
    page.family("process_cpu_seconds", "counter", "Processor time of this process, user and system.");
    page.value("_total", &[], figures.cpu_secs);
    page.family("process_virtual_memory_bytes", "gauge", "Address space of this process.");
    page.value("", &[], figures.virtual_bytes);
    if let Some(bytes) = resident_bytes() {
        page.family("process_resident_memory_bytes", "gauge", "Memory of this process.");
        page.value("", &[], bytes);
    }
    if let Some(boot) = boot_secs() {
        page.family("process_start_time_seconds", "gauge", "When this process started, seconds since the Unix epoch.");
        page.value("", &[], boot + figures.start_secs_after_boot);
    }
    if let Ok(entries) = fs::read_dir("/proc/self/fd") {
        page.family("process_open_fds", "gauge", "Files and sockets that this process has open.");
        page.value("", &[], entries.count());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn fields_are_counted_after_the_name() {
        let stat =
            "42 (a ) name) S 1 1 1 0 -1 4194304 10 0 0 0 250 50 0 0 20 0 9 0 12345 1000000 321 18446744073709551615";
        let figures = parse(stat).unwrap();
        assert_eq!((figures.cpu_secs, figures.start_secs_after_boot), (3.0, 123.45));
        assert_eq!(figures.virtual_bytes, 1e6);
        assert_eq!((parse(""), parse("1 (a) S 1")), (None, None));
    }
}
