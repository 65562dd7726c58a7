//! Measures the real window on a screen in memory: how long after its start the first frame is seen, what it costs while
//! nobody touches it, and what memory it holds. Ends with one JSON object.
//!
//! Everything is drawn in software there, so each frame costs more than on a machine with a graphics card.

#[path = "../e2e/webdriver.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "made for the tests, which use more of it and may panic")]
mod webdriver;

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use webdriver::{Display, Driver, wait};

/// The first one, with cold caches, is told by itself.
const N_STARTS: usize = 5;
/// Messages and animations of the last click have come to their end by then.
const REST: Duration = Duration::from_secs(3);
const IDLE: Duration = Duration::from_secs(10);
/// What a page has to load what it shows.
const VISIT: Duration = Duration::from_secs(1);
/// A start is measured once others leave the processors alone, or after this time all the same.
const QUIET_WITHIN: Duration = Duration::from_secs(60);
const QUIET_PERCENT: f64 = 10.0;
const PAGES: [&str; 8] = ["Home", "Data", "Workflow", "Runs", "Models", "Endpoints", "Compute", "Settings"];

/// The unit of times in `/proc`: a hundredth of a second, in all of Linux's interfaces.
const MILLIS_PER_TICK: f64 = 10.0;

/// The kernel cuts names of processes off after 15 characters.
const PAGE_PROCESS: &str = "WebKitWebProces";
const NETWORK_PROCESS: &str = "WebKitNetworkPr";
const WINDOW_PROCESS: &str = "athanor-desktop";
const DRIVER_PROCESS: &str = "WebKitWebDriver";

/// A process as `/proc/PID/stat` has it.
#[derive(Debug, Clone)]
struct Process {
    pid: u32,
    name: String,
    parent: u32,
    group: u32,
    /// Processor time of itself and of its children that have ended.
    ticks: u64,
    /// Since the machine started.
    start_ticks: u64,
}

impl Process {
    /// None for one that has ended.
    fn of(pid: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name is in parentheses and may hold spaces and parentheses itself.
        let (before, after) = text.rsplit_once(')')?;
        let (_, name) = before.split_once('(')?;
        let fields: Vec<&str> = after.split_ascii_whitespace().collect();
        if matches!(*fields.first()?, "Z" | "X") {
            return None;
        }
        // The manual page proc_pid_stat(5) counts from 1, and the state is its third field.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            pid,
            name: name.to_owned(),
            parent: u32::try_from(field(4)?).ok()?,
            group: u32::try_from(field(5)?).ok()?,
            ticks: (14..=17).map(field).sum::<Option<u64>>()?,
            start_ticks: field(22)?,
        })
    }

    fn all() -> Result<Vec<Self>> {
        let entries = fs::read_dir("/proc").context("this benchmark needs Linux's /proc")?.flatten();
        Ok(entries.filter_map(|entry| Self::of(entry.file_name().to_str()?.parse().ok()?)).collect())
    }

    /// Its share of memory: what it has for itself, and its part of what it shares. In millions of bytes.
    fn megabytes(&self) -> Result<f64> {
        let path = format!("/proc/{}/smaps_rollup", self.pid);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let kib = text.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB"));
        Ok(kib.with_context(|| format!("no Pss in {path}"))?.trim().parse::<f64>()? * 1024.0 / 1e6)
    }
}

/// The share of all processors that was at work in a second.
fn busy_percent() -> Result<f64> {
    let times = || -> Result<(f64, f64)> {
        let text = fs::read_to_string("/proc/stat")?;
        let line = text.lines().next().context("no processor times in /proc/stat")?;
        let times: Vec<f64> = line.split_ascii_whitespace().skip(1).filter_map(|time| time.parse().ok()).collect();
        // Idle, and waiting for disks; the last two are parts of the first two, proc_stat(5) says.
        Ok((times.iter().take(8).sum(), times.iter().skip(3).take(2).sum()))
    };
    let (all, idle) = times()?;
    thread::sleep(Duration::from_secs(1));
    let (all_later, idle_later) = times()?;
    Ok((1.0 - (idle_later - idle) / (all_later - all).max(1.0)) * 100.0)
}

/// Waits for a machine that does nothing else; what it did in the last second.
fn quiet() -> Result<f64> {
    let began = Instant::now();
    loop {
        let busy = busy_percent()?;
        if busy <= QUIET_PERCENT || began.elapsed() > QUIET_WITHIN {
            return Ok(busy);
        }
    }
}

/// An open window.
struct Window {
    driver: Driver,
    driver_pid: u32,
    pid: u32,
}

/// A start, in milliseconds after the process began.
#[derive(Debug, Clone, Copy)]
struct Start {
    first_frame: f64,
    first_answer: f64,
    /// What others did just before, in percent of all processors.
    busy: f64,
}

impl Window {
    fn open(folder: &Path, display: &Display) -> Result<Self> {
        let path = |name: &str| folder.join(name);
        let (config, workspaces, cache) = (path("config"), path("workspaces"), path("cache"));
        let variables: [(&str, &Path); 5] = [
            ("HOME", folder),
            ("XDG_CACHE_HOME", &cache),
            ("XDG_DATA_HOME", &cache),
            ("ATHANOR_CONFIG", &config),
            ("ATHANOR_HOME", &workspaces),
        ];
        let driver = Driver::window(&program()?, &[], display, &variables);
        driver.wait_for_app();
        let all = Process::all()?;
        let own = std::process::id();
        let find = |name: &str, is_it: &dyn Fn(&Process) -> bool| {
            let found = all.iter().find(|process| process.name == name && is_it(process));
            found.map(|process| process.pid).with_context(|| format!("no process {name}"))
        };
        let driver_pid = find(DRIVER_PROCESS, &|process| process.parent == own)?;
        let pid = find(WINDOW_PROCESS, &|process| process.group == driver_pid)?;
        Ok(Self { driver, driver_pid, pid })
    }

    /// The window's processes: all that the driver has started, for it gives them its group, and what they have started.
    fn processes(&self) -> Result<Vec<Process>> {
        let all = Process::all()?;
        let mut pids: HashSet<u32> = HashSet::from([self.pid]);
        loop {
            let is_ours = |it: &&Process| it.group == self.driver_pid || pids.contains(&it.parent);
            let more: Vec<u32> = all.iter().filter(is_ours).map(|it| it.pid).collect();
            let n_before = pids.len();
            pids.extend(more);
            if pids.len() == n_before {
                break;
            }
        }
        pids.remove(&self.driver_pid);
        Ok(all.into_iter().filter(|process| pids.contains(&process.pid)).collect())
    }

    /// The page tells when it was drawn, on the wall clock; the kernel, when the process began: both to 10 ms.
    fn start(&self, busy: f64) -> Result<Start> {
        let script = "const at = (name) => performance.getEntriesByName(name)[0];
            const marks = [at('athanor-first-frame'), at('athanor-first-answer')];
            return marks.every((mark) => mark) ? marks.map((mark) => performance.timeOrigin + mark.startTime) : null;";
        let marks = wait("the page has drawn", || Some(self.driver.script(script)).filter(|marks| !marks.is_null()));
        let start_ticks = Process::of(self.pid).context("the window's process has ended")?.start_ticks;
        let uptime = fs::read_to_string("/proc/uptime")?;
        let uptime_millis = uptime.split(' ').next().context("no uptime")?.parse::<f64>()? * 1000.0;
        let now_millis = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64() * 1000.0;
        let began = now_millis - uptime_millis + start_ticks as f64 * MILLIS_PER_TICK;
        let at = |index: usize| marks[index].as_f64().map(|at| at - began).context("a mark is no number");
        Ok(Start { first_frame: at(0)?, first_answer: at(1)?, busy })
    }

    fn n_frames(&self) -> Result<u64> {
        let frame = self.driver.script("return JSON.parse(window.athanorProbe()).frame");
        frame.as_u64().context("the probe counts no frames")
    }

    /// What the window costs while nobody touches it.
    fn idle(&self) -> Result<Value> {
        thread::sleep(REST);
        let n_frames = self.n_frames()?;
        // What that question itself has cost is not the window's.
        thread::sleep(VISIT);
        let (before, began) = (self.processes()?, Instant::now());
        thread::sleep(IDLE);
        let (after, took) = (self.processes()?, began.elapsed());
        let n_frames = self.n_frames()?.saturating_sub(n_frames);
        let percent = |name: Option<&str>| {
            let ticks = |list: &[Process]| -> u64 {
                let named = list.iter().filter(|process| name.is_none_or(|name| process.name == name));
                named.map(|process| process.ticks).sum()
            };
            let millis = ticks(&after).saturating_sub(ticks(&before)) as f64 * MILLIS_PER_TICK;
            millis / took.as_secs_f64() / 10.0
        };
        Ok(json!({
            "core_percent": percent(None), "of_page_percent": percent(Some(PAGE_PROCESS)),
            "of_window_percent": percent(Some(WINDOW_PROCESS)), "n_frames": n_frames,
        }))
    }

    /// Goes to a page by the rail.
    fn visit(&self, page: &str) {
        self.driver.click(page);
        let script = "return JSON.parse(window.athanorProbe()).widgets.filter((it) => it.on).map((it) => it.label)";
        wait("the page is on", || {
            let on = self.driver.script(script);
            on.as_array()?.iter().any(|label| label == page).then_some(())
        });
        thread::sleep(VISIT);
    }

    fn memory(&self) -> Result<Value> {
        let processes = self.processes()?;
        let of = |name: &str| -> Result<f64> {
            let process = processes.iter().find(|process| process.name == name);
            process.with_context(|| format!("no process {name}"))?.megabytes()
        };
        let all = processes.iter().map(Process::megabytes).sum::<Result<f64>>()?;
        Ok(json!({
            "page_megabytes": of(PAGE_PROCESS)?, "window_megabytes": of(WINDOW_PROCESS)?,
            "network_megabytes": of(NETWORK_PROCESS)?, "all_megabytes": all,
        }))
    }

    /// Closes the window and sees to it that nothing of it is left.
    fn close(self) -> Result<()> {
        let pids: Vec<u32> = self.processes()?.iter().map(|process| process.pid).collect();
        drop(self.driver);
        wait("the window's processes have ended", || pids.iter().all(|pid| Process::of(*pid).is_none()).then_some(()));
        Ok(())
    }
}

/// The window's program, two folders above this example.
fn program() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.parent().and_then(Path::parent).context("no build folder")?;
    Ok(folder.join(format!("athanor-desktop{}", std::env::consts::EXE_SUFFIX)))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

fn main() -> Result<()> {
    ensure!(
        webdriver::has_tools(&["WebKitWebDriver", "Xvfb"]),
        "the window is measured through WebKitWebDriver and Xvfb: install them with cargo xtask setup"
    );
    let folder = tempfile::tempdir()?;
    let display = Display::start();
    let mut starts = Vec::new();
    let window = loop {
        let busy = quiet()?;
        let window = Window::open(folder.path(), &display)?;
        starts.push(window.start(busy)?);
        println!("start {}: {:?}", starts.len(), starts[starts.len() - 1]);
        if starts.len() == N_STARTS {
            break window;
        }
        window.close()?;
    };
    let (first, others) = starts.split_first().context("no start")?;
    let of_others = |of: fn(&Start) -> f64| median(others.iter().map(of).collect());

    window.driver.click("Open the sample workspace");
    window.driver.wait_for("Other workspaces");
    let idle_home = window.idle()?;
    PAGES.iter().for_each(|page| window.visit(page));
    let after_visits = window.memory()?;
    window.visit("Runs");
    let idle_runs = window.idle()?;
    // By now the web view has given back what it held for a moment only, such as the probe's answers.
    let memory = window.memory()?;
    window.close()?;

    let result = json!({
        "first_frame_millis": of_others(|start| start.first_frame),
        "first_answer_millis": of_others(|start| start.first_answer),
        "others_busy_percent": of_others(|start| start.busy),
        "cold": {
            "first_frame_millis": first.first_frame, "first_answer_millis": first.first_answer,
            "others_busy_percent": first.busy,
        },
        "idle_home": idle_home, "idle_runs": idle_runs, "memory": memory,
        "memory_just_after_clicks": after_visits,
    });
    println!("{result}");
    Ok(())
}
