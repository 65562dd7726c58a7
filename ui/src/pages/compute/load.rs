//! How busy the machine is: now, and over the last two minutes.

use std::collections::VecDeque;

use athanor_protocol::api::{GpuLoad, LoadNow, SystemLoad};
use egui::{Ui, Vec2};

use crate::{
    desk::{Desk, Remote},
    format,
    pages::{Cx, Go},
    theme::{Theme, size},
    widgets::{self, Col, LiveLine, LivePlot},
};

/// How much time the plots show, in seconds.
const SPAN: f64 = 120.0;

/// The load, asked for once a second while it is looked at.
#[derive(Default)]
pub(super) struct Load {
    remote: Remote<SystemLoad>,
    asked_at: f64,
    cpu: VecDeque<[f64; 2]>,
    memory: VecDeque<[f64; 2]>,
}

fn mean(cores: &[f32]) -> f64 {
    if cores.is_empty() { 0.0 } else { cores.iter().map(|core| f64::from(*core)).sum::<f64>() / cores.len() as f64 }
}

fn percent(value: f64) -> String {
    format!("{value:.0} %")
}

fn gigabytes(value: f64) -> String {
    format::bytes(value as u64)
}

/// Adds a point and drops what is out of sight; a gap in time is a gap in the line.
fn add(line: &mut VecDeque<[f64; 2]>, at: f64, value: f64) {
    if let Some([last, _]) = line.back().copied() {
        if at <= last {
            return;
        }
        if at - last > 5.0 {
            line.push_back([last + 1.0, f64::NAN]);
        }
    }
    line.push_back([at, value]);
    while line.len() > 2 && line.get(1).is_some_and(|[second, _]| *second < at - SPAN) {
        line.pop_front();
    }
}

impl Load {
    /// Asks once a second; call it only while the page is seen.
    pub(super) fn keep(&mut self, ui: &Ui, desk: &mut Desk) {
        if self.remote.poll(desk)
            && let Some(now) = self.remote.value()
        {
            let at = desk.now_secs();
            add(&mut self.cpu, at, mean(&now.core_percent));
            add(&mut self.memory, at, now.memory_used_bytes as f64);
            self.cpu.make_contiguous();
            self.memory.make_contiguous();
        }
        let due = desk.now_secs() - self.asked_at >= 1.0 || self.remote.value().is_none();
        if due && !self.remote.busy() && self.remote.error().is_none() {
            self.asked_at = desk.now_secs();
            self.remote.ask(desk, SystemLoad {});
        }
        ui.ctx().request_repaint_after_secs(1.0);
    }

    pub(super) fn ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        if let Some(failure) = self.remote.error() {
            if widgets::failure(ui, failure) {
                self.remote.invalidate();
            }
            return;
        }
        let Some(now) = self.remote.value() else {
            if self.remote.slow(cx.desk) {
                widgets::loading(ui, "Measuring how busy the machine is");
            }
            return;
        };
        let at = cx.desk.now_secs();
        let two = ui.available_width() > 720.0;
        let cpu = |ui: &mut Ui| cpu_ui(ui, now, self.cpu.as_slices().0, at);
        let memory = |ui: &mut Ui| memory_ui(ui, now, self.memory.as_slices().0, at);
        if two {
            widgets::columns(ui, 2, |ui, place| {
                widgets::card(ui, |ui| {
                    ui.spacing_mut().item_spacing.y = size::SMALL_GAP;
                    if place == 0 { cpu(ui) } else { memory(ui) }
                });
            });
        } else {
            widgets::card(ui, cpu);
            widgets::card(ui, memory);
        }
        if !now.gpus.is_empty() {
            widgets::titled_card(ui, "Graphics cards at work", "", |ui| gpus_ui(ui, cx.theme, &now.gpus));
        }
        let n = now.workers.len() as u64;
        let fact = if n == 0 { String::new() } else { format::plural(n, "worker") };
        widgets::titled_card(ui, "Runs at work", &fact, |ui| workers_ui(ui, cx, now));
    }
}

fn cpu_ui(ui: &mut Ui, now: &LoadNow, points: &[[f64; 2]], at: f64) {
    let theme = Theme::of(ui);
    let n = now.core_percent.len();
    widgets::heading(ui, "Processor", &format!("{}, {}", now.processor, format::plural(n as u64, "core")));
    widgets::figure(ui, "Busy", &percent(mean(&now.core_percent)), "");
    // Many cores wrap into more lines, each as wide as there is room.
    let width = ((ui.available_width() / n.max(1) as f32) - 4.0).clamp(6.0, 28.0);
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing = Vec2::splat(4.0);
        for (core, busy) in now.core_percent.iter().enumerate() {
            let color = if *busy > 85.0 { theme.accent } else { theme.info };
            let response = widgets::meter(ui, busy / 100.0, Vec2::new(width, 40.0), color);
            response.on_hover_text(format!("Core {}: {busy:.0} %", core + 1));
        }
    });
    let line = LiveLine { name: "busy", color: theme.info, points, filled: true };
    let plot = LivePlot {
        name: "Processor over the last two minutes",
        height: 120.0,
        now: at,
        span: SPAN,
        top: Some(100.0),
        least_top: 100.0,
        write: percent,
    };
    widgets::live_plot(ui, &plot, &[line]);
}

fn memory_ui(ui: &mut Ui, now: &LoadNow, points: &[[f64; 2]], at: f64) {
    let theme = Theme::of(ui);
    widgets::heading(ui, "Memory", &format!("{} on {}", format::bytes(now.memory_bytes), now.host));
    let workers: u64 = now.workers.iter().map(|worker| worker.memory_bytes).sum();
    let share = now.memory_used_bytes as f64 / now.memory_bytes.max(1) as f64;
    widgets::figure(ui, "In use", &format::bytes(now.memory_used_bytes), "");
    let others = now.memory_used_bytes.saturating_sub(workers + now.engine_bytes);
    let parts = [
        (now.engine_bytes, theme.series(2), "this program"),
        (workers, theme.series(0), "runs"),
        (others, theme.series(1), "everything else"),
    ];
    let bar: Vec<(u64, egui::Color32)> = parts.iter().map(|(n, color, _)| (*n, *color)).collect();
    widgets::stacked_bar(ui, &bar, now.memory_bytes, 12.0);
    widgets::tight_wrapped(ui, |ui| {
        for (n, color, name) in parts {
            widgets::dot(ui, color);
            widgets::label(ui, &format!("{name} {}", format::bytes(n)));
            ui.add_space(4.0);
        }
    });
    let color = if share > 0.9 { theme.warn } else { theme.series(1) };
    let line = LiveLine { name: "in use", color, points, filled: true };
    let plot = LivePlot {
        name: "Memory over the last two minutes",
        height: 120.0,
        now: at,
        span: SPAN,
        top: Some(now.memory_bytes.max(1) as f64),
        least_top: 1.0,
        write: gigabytes,
    };
    widgets::live_plot(ui, &plot, &[line]);
}

fn gpus_ui(ui: &mut Ui, theme: &Theme, gpus: &[GpuLoad]) {
    ui.spacing_mut().item_spacing.y = size::TINY_GAP;
    for gpu in gpus {
        widgets::label(ui, &gpu.title);
        if let Some(busy) = gpu.busy_percent {
            widgets::share_bar(ui, "busy", f64::from(busy) / 100.0, &percent(f64::from(busy)), theme.info);
        }
        if let (Some(used), Some(all)) = (gpu.memory_used_bytes, gpu.memory_bytes) {
            widgets::share_bar(ui, "memory", used as f64 / all.max(1) as f64, &format::bytes(used), theme.series(1));
        } else if gpu.busy_percent.is_none() {
            widgets::muted(ui, "The driver does not tell how busy it is.");
        }
    }
}

fn workers_ui(ui: &mut Ui, cx: &mut Cx<'_>, now: &LoadNow) {
    if now.workers.is_empty() {
        widgets::muted(ui, "No run is at work. Start one on the page Workflow.");
        return;
    }
    ui.spacing_mut().item_spacing.y = size::TINY_GAP;
    let columns = [
        Col::wide("Run"),
        Col::wide("Workflow"),
        Col::number("Process", 80.0),
        Col::number("Processor", 90.0),
        Col::number("Memory", 90.0),
    ];
    widgets::lines_header(ui, &columns);
    for worker in &now.workers {
        let mut open = false;
        widgets::line_row(ui, &columns, size::ROW, |ui, at| match at {
            0 => {
                open =
                    widgets::link(ui, &format::short_id(worker.run.as_str())).on_hover_text("Show this run").clicked()
            }
            1 => match cx.desk.at_work(&worker.run) {
                Some(run) => widgets::cell_text(ui, &run.summary.workflow),
                None => widgets::cell_none(ui),
            },
            2 => widgets::cell_mono(ui, &worker.pid.to_string()),
            3 => {
                let cores = f64::from(worker.cpu_percent) / 100.0;
                widgets::cell_mono(ui, &format!("{cores:.1} cores"));
            }
            _ => widgets::cell_mono(ui, &format::bytes(worker.memory_bytes)),
        });
        if open {
            cx.go.push(Go::Run(worker.run.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_keeps_two_minutes_and_shows_where_nobody_looked() {
        let mut line = VecDeque::new();
        for second in 0..400 {
            add(&mut line, f64::from(second), 1.0);
        }
        assert!(line.len() <= SPAN as usize + 2, "{}", line.len());
        add(&mut line, 450.0, 2.0);
        assert!(line.iter().any(|[_, value]| value.is_nan()));
        let n = line.len();
        add(&mut line, 450.0, 3.0);
        assert_eq!(line.len(), n, "the same moment counts once");
    }
}
