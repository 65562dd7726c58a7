//! The open workspace: what is in it, and where the user was.

use athanor_protocol::api::{DataList, Event, ModelList, RunList, RunRow, WorkflowEntry, WorkflowList};
use egui::{Align2, CursorIcon, Pos2, Rect, RichText, Sense, Ui, Vec2, WidgetInfo, WidgetType};

use crate::{
    desk::{Desk, Remote},
    format,
    icons::{self, ph},
    pages::{Cx, Go, Route},
    theme::{self, Theme, font_size, mix, radius, size},
    widgets,
};

/// Runs are counted up to this.
const MOST_RUNS: u32 = 100;
/// Height of a thing to go on with.
const ITEM: f32 = 44.0;

/// The open workspace on the page.
#[derive(Default)]
pub struct Now {
    tables: Remote<DataList>,
    workflows: Remote<WorkflowList>,
    runs: Remote<RunList>,
    models: Remote<ModelList>,
}

impl Now {
    /// Something happened.
    pub fn event(&mut self, event: &Event) {
        match event {
            Event::WorkspaceChanged { .. } => *self = Self::default(),
            Event::Lagged {} => {
                self.tables.invalidate();
                self.workflows.invalidate();
                self.runs.invalidate();
                self.models.invalidate();
            }
            Event::DataChanged {} => self.tables.invalidate(),
            Event::WorkflowsChanged {} => self.workflows.invalidate(),
            Event::RunChanged { .. } => self.runs.invalidate(),
            Event::ModelsChanged {} => self.models.invalidate(),
            _ => {}
        }
    }

    /// Keeps what is shown up to date; called while the page is seen.
    pub fn keep(&mut self, desk: &mut Desk) {
        self.tables.keep(desk, &DataList {});
        self.workflows.keep(desk, &WorkflowList {});
        self.runs.keep(desk, &RunList { limit: MOST_RUNS, ..RunList::default() });
        self.models.keep(desk, &ModelList { after: None });
    }

    /// The key figures; each goes to its place.
    pub fn figures_ui(&self, ui: &mut Ui, cx: &mut Cx<'_>) {
        let count = |n: Option<usize>, more: bool| match n {
            Some(n) => format!("{}{}", format::count(n as u64), if more { "+" } else { "" }),
            None => "–".to_owned(),
        };
        let runs = self.runs.value();
        let models = self.models.value();
        let figures = [
            (Route::Data, "Tables", count(self.tables.value().map(|list| list.items.len()), false)),
            (Route::Workflow, "Workflows", count(self.workflows.value().map(|list| list.items.len()), false)),
            (
                Route::Runs,
                "Runs",
                count(runs.map(|page| page.items.len()), runs.is_some_and(|page| page.next.is_some())),
            ),
            (
                Route::Models,
                "Models",
                count(models.map(|page| page.items.len()), models.is_some_and(|page| page.next.is_some())),
            ),
        ];
        let gap = 10.0;
        let n = if ui.available_width() < 420.0 { 2 } else { 4 };
        let width = (ui.available_width() - gap * (n as f32 - 1.0)) / n as f32;
        for line in figures.chunks(n) {
            ui.horizontal(|ui| {
                ui.spacing_mut().item_spacing.x = gap;
                for (route, name, value) in line {
                    if figure(ui, width, name, value) {
                        cx.go.push(Go::To(*route));
                    }
                }
            });
        }
    }

    /// What failed of it.
    pub fn error_ui(&mut self, ui: &mut Ui) {
        let failure =
            self.tables.error().or(self.workflows.error()).or(self.runs.error()).or(self.models.error()).cloned();
        if let Some(failure) = failure
            && widgets::failure(ui, &failure)
        {
            self.event(&Event::Lagged {});
        }
    }

    /// Whether there is anything to go on with.
    pub fn has_work(&self, desk: &Desk) -> bool {
        desk.running().next().is_some()
            || self.workflows.value().is_some_and(|list| !list.items.is_empty())
            || self.runs.value().is_some_and(|page| !page.items.is_empty())
    }

    /// Where the user was: running runs, the last workflows, the last runs.
    pub fn continue_ui(&self, ui: &mut Ui, cx: &mut Cx<'_>) {
        ui.spacing_mut().item_spacing.y = 2.0;
        let now = cx.desk.now_millis();
        let mut go = None;
        let running: Vec<(athanor_protocol::names::RunId, String, String, Option<f32>)> = cx
            .desk
            .running()
            .map(|run| {
                let step = run.current();
                let share = step.filter(|step| step.total > 0).map(|step| step.done as f32 / step.total as f32);
                let note = step.map_or_else(
                    || format::ago(run.summary.created_at_millis, now),
                    |step| if step.note.is_empty() { step.node.clone() } else { step.note.clone() },
                );
                (run.summary.id.clone(), run.summary.workflow.clone(), note, share)
            })
            .collect();
        for (id, workflow, note, share) in running.iter().rev().take(3) {
            if item(
                ui,
                &Item {
                    icon: ph::CIRCLE_NOTCH,
                    lively: true,
                    name: workflow,
                    kind: "running",
                    fact: note,
                    share: *share,
                },
            ) {
                go = Some(Go::Run(id.clone()));
            }
        }
        let workflows: &[WorkflowEntry] = self.workflows.value().map_or(&[], |list| &list.items);
        for entry in workflows.iter().take(2) {
            let fact = format::ago(entry.saved_at_millis, now);
            let kind = if entry.has_draft { "workflow, with unsaved changes" } else { "workflow" };
            if item(
                ui,
                &Item { icon: ph::TREE_STRUCTURE, lively: false, name: &entry.name, kind, fact: &fact, share: None },
            ) {
                go = Some(Go::Workflow(entry.name.clone()));
            }
        }
        let runs: &[RunRow] = self.runs.value().map_or(&[], |page| &page.items);
        for row in runs.iter().filter(|row| row.summary.status.is_final()).take(3) {
            let run = &row.summary;
            let fact = format::ago(run.ended_at_millis.unwrap_or(run.created_at_millis), now);
            let kind = format!("run, {}", run.status.as_str());
            if item(
                ui,
                &Item {
                    icon: ph::CHART_LINE,
                    lively: false,
                    name: &run.workflow,
                    kind: &kind,
                    fact: &fact,
                    share: None,
                },
            ) {
                go = Some(Go::Run(run.id.clone()));
            }
        }
        cx.go.extend(go);
    }
}

fn figure(ui: &mut Ui, width: f32, name: &str, value: &str) -> bool {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(Vec2::new(width, 64.0), Sense::click());
    response.widget_info(|| WidgetInfo::labeled(WidgetType::Button, true, format!("{name}: {value}")));
    let fill =
        if response.hovered() { mix(theme.panel, theme.text, 0.05) } else { mix(theme.panel, theme.sunken, 0.6) };
    ui.painter().rect_filled(rect, radius::NODE, fill);
    let left = rect.left() + 14.0;
    let ink = theme.text;
    ui.painter().text(
        Pos2::new(left, rect.top() + 24.0),
        Align2::LEFT_CENTER,
        value,
        theme::semibold(font_size::FIGURE - 4.0),
        ink,
    );
    ui.painter().text(
        Pos2::new(left, rect.bottom() - 16.0),
        Align2::LEFT_CENTER,
        name,
        theme::regular(font_size::LABEL + 0.5),
        theme.muted,
    );
    widgets::focus_ring(ui, &response, rect);
    response.on_hover_cursor(CursorIcon::PointingHand).clicked()
}

/// A thing to go on with.
struct Item<'a> {
    icon: &'a str,
    lively: bool,
    name: &'a str,
    kind: &'a str,
    fact: &'a str,
    /// A running thing's share, where it is known.
    share: Option<f32>,
}

fn item(ui: &mut Ui, what: &Item<'_>) -> bool {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(Vec2::new(ui.available_width(), ITEM), Sense::click());
    response.widget_info(|| WidgetInfo::labeled(WidgetType::Button, true, format!("{}, {}", what.name, what.kind)));
    if response.hovered() {
        ui.painter().rect_filled(rect, radius::CONTROL, mix(theme.panel, theme.text, 0.05));
    }
    let ink = if what.lively { theme.accent } else { theme.muted };
    icons::paint(ui, Pos2::new(rect.left() + 18.0, rect.center().y), what.icon, 17.0, ink);
    let galley = ui.painter().layout_no_wrap(what.fact.to_owned(), theme::regular(font_size::LABEL + 0.5), theme.muted);
    let edge = rect.right() - 10.0 - galley.size().x.min(rect.width() * 0.4);
    let y = rect.center().y - galley.size().y / 2.0;
    ui.painter().with_clip_rect(rect).galley(Pos2::new(edge, y), galley, theme.muted);
    let room = Rect::from_min_max(Pos2::new(rect.left() + 38.0, rect.top()), Pos2::new(edge - 10.0, rect.bottom()));
    let painter = ui.painter().with_clip_rect(room.intersect(ui.clip_rect()));
    let at = Pos2::new(room.left(), rect.top() + 14.0);
    painter.text(at, Align2::LEFT_CENTER, what.name, theme::medium(font_size::BODY), theme.text);
    let under = Pos2::new(room.left(), rect.top() + 31.0);
    match what.share {
        Some(share) => {
            let track = Rect::from_min_size(under - Vec2::new(0.0, 2.0), Vec2::new(room.width().min(180.0), 4.0));
            painter.rect_filled(track, 2, if theme.dark { theme.sunken } else { theme.line });
            let part = Rect::from_min_size(track.min, Vec2::new(track.width() * share.clamp(0.0, 1.0), 4.0));
            painter.rect_filled(part, 2, theme.accent);
        }
        None => {
            painter.text(under, Align2::LEFT_CENTER, what.kind, theme::regular(font_size::LABEL), theme.muted);
        }
    }
    widgets::focus_ring(ui, &response, rect.shrink(2.0));
    response.on_hover_cursor(CursorIcon::PointingHand).clicked()
}

/// The workspace's name and place.
pub fn title_ui(ui: &mut Ui, name: &str, path: &str, read_only: bool) {
    let theme = Theme::of(ui);
    ui.horizontal(|ui| {
        ui.label(icons::text(ph::FOLDER_OPEN, 20.0).color(theme.accent));
        let title = RichText::new(name).font(theme::semibold(font_size::TITLE + 2.0)).color(theme.text);
        ui.add(egui::Label::new(title).truncate().selectable(true));
        if read_only {
            widgets::pill(ui, theme.warn, "read only");
        }
    });
    let path = RichText::new(path).size(font_size::LABEL + 0.5).color(theme.muted);
    ui.add(egui::Label::new(path).truncate().selectable(true));
    ui.add_space(size::TINY_GAP);
}
