//! The list of runs: search, filters, columns, selection, and what can be done with what is selected.

use std::collections::BTreeSet;

use athanor_protocol::{
    api::{RunList, RunOrder, WorkflowList},
    names::RunId,
    run::{RunStatus, RunSummary},
};
use egui::{Align, Key, Layout, Modal, RichText, Sense, Ui, Vec2, WidgetInfo, WidgetType};

use super::{
    Shared,
    cards::Cards,
    columns::{self, Col, Columns, FIXED},
    naming::{metric_title, run_name, short, took_millis},
    rows::Rows,
};
use crate::{
    desk::Remote,
    format,
    icons::{self, ph},
    pages::{Cx, Go, Route},
    theme::{self, Theme, font_size, size},
    widgets::{self, Grid, Kind},
};

/// Which states are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Filter {
    #[default]
    All,
    Active,
    Finished,
    Failed,
    Stopped,
}

impl Filter {
    const ALL: [(Self, &'static str); 5] = [
        (Self::All, "All"),
        (Self::Active, "At work"),
        (Self::Finished, "Finished"),
        (Self::Failed, "Failed"),
        (Self::Stopped, "Stopped"),
    ];

    fn states(self) -> Vec<RunStatus> {
        match self {
            Self::All => vec![],
            Self::Active => vec![RunStatus::Queued, RunStatus::Running],
            Self::Finished => vec![RunStatus::Finished],
            Self::Failed => vec![RunStatus::Failed],
            Self::Stopped => vec![RunStatus::Cancelled],
        }
    }
}

/// A tag that is being written.
#[derive(Default)]
struct TagDialog {
    open: bool,
    fresh: bool,
    key: String,
    value: String,
}

/// The list.
#[derive(Default)]
pub(super) struct List {
    pub(super) rows: Rows,
    columns: Columns,
    cards: Cards,
    typed: String,
    text: String,
    typed_at: f64,
    filter: Filter,
    workflow: Option<String>,
    deleted: bool,
    order: RunOrder,
    ascending: bool,
    selection: BTreeSet<usize>,
    seen: usize,
    column_search: String,
    offered: Vec<Col>,
    /// What `offered` was made from: the search, and how many names there were.
    offered_of: (String, usize, usize),
    tag: TagDialog,
    workflows: Remote<WorkflowList>,
    focus_search: bool,
}

impl List {
    /// Only runs of this workflow.
    pub(super) fn show_workflow(&mut self, name: &str) {
        self.workflow = Some(name.to_owned());
        self.filter = Filter::All;
        self.deleted = false;
        self.typed.clear();
        self.text.clear();
    }

    /// Another workspace is open.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The runs that are selected, in the list's order.
    pub(super) fn selected(&self) -> Vec<RunId> {
        self.selection.iter().filter_map(|&at| self.rows.get(at)).map(|item| item.row.summary.id.clone()).collect()
    }

    fn summaries(&self) -> Vec<RunSummary> {
        self.selection.iter().filter_map(|&at| self.rows.get(at)).map(|item| item.row.summary.clone()).collect()
    }

    /// A muted fact for the top bar.
    pub(super) fn fact(&self) -> String {
        if !self.rows.loaded() {
            return String::new();
        }
        let n = self.rows.len() as u64;
        let what = if self.deleted { "deleted run" } else { "run" };
        let mut text =
            if self.rows.has_more() { format!("first {}", format::plural(n, what)) } else { format::plural(n, what) };
        if let Some(workflow) = &self.workflow {
            text = format!("{text} of {workflow}");
        }
        text
    }

    /// Runs are gone from the list.
    pub(super) fn remove(&mut self, gone: &[RunId]) {
        let selected = self.selected();
        self.rows.remove(gone);
        self.select_again(&selected);
    }

    fn select_again(&mut self, runs: &[RunId]) {
        let runs: BTreeSet<&RunId> = runs.iter().collect();
        self.selection = self.rows.ids().enumerate().filter(|(_, id)| runs.contains(id)).map(|(at, _)| at).collect();
    }

    /// Opens the dialog that tags what is selected.
    pub(super) fn begin_tag(&mut self) {
        if !self.selection.is_empty() {
            self.tag = TagDialog { open: true, fresh: true, ..TagDialog::default() };
        }
    }

    /// Puts the keyboard into the search field.
    pub(super) fn find(&mut self) {
        self.focus_search = true;
    }

    fn question(&self) -> RunList {
        RunList {
            status: self.filter.states(),
            workflow: self.workflow.clone(),
            text: self.text.clone(),
            deleted: self.deleted,
            order: self.order.clone(),
            descending: !self.ascending,
            ..RunList::default()
        }
    }

    /// Draws it.
    pub(super) fn ui(&mut self, ui: &mut Ui, shared: &mut Shared, cx: &mut Cx<'_>) {
        // A word is looked for once nobody types any more.
        if self.typed != self.text {
            let wait = self.typed_at + 0.2 - cx.desk.now_secs();
            if wait <= 0.0 {
                self.text.clone_from(&self.typed);
            } else {
                ui.ctx().request_repaint_after_secs(wait as f32 + 0.01);
            }
        }
        let question = self.question();
        let selected = self.selected();
        if self.rows.keep(cx.desk, &question, self.seen) {
            self.select_again(&selected);
        }
        if let Some(wait) = self.rows.wait(cx.desk.now_secs()) {
            ui.ctx().request_repaint_after_secs(wait as f32 + 0.01);
        }
        if self.columns.refresh(cx.desk.remembered(columns::MEMORY).map(str::to_owned).as_deref(), &self.rows) {
            self.rows.columns_changed();
        }
        self.workflows.keep(cx.desk, &WorkflowList {});
        egui::Frame::new().inner_margin(egui::Margin::same(size::PAGE as i8)).show(ui, |ui| {
            ui.spacing_mut().item_spacing.y = size::GAP;
            let nothing_there = self.rows.loaded() && self.rows.len() == 0 && self.rows.error().is_none();
            let asks_for_all = question == RunList::default();
            if nothing_there && asks_for_all {
                if widgets::empty_state(
                    ui,
                    ph::CHART_LINE,
                    "No runs yet",
                    "Every time a workflow runs, it is kept here with its curves, logs and results.",
                    Some((ph::TREE_STRUCTURE, "Go to Workflow")),
                ) {
                    cx.go.push(Go::To(Route::Workflow));
                }
                return;
            }
            if ui.available_height() > 620.0 && ui.available_width() > 760.0 && !self.deleted {
                let chosen: Vec<RunId> = self.selected();
                self.cards.ui(ui, &self.rows, &chosen, shared, cx);
            }
            // In each other's place: rows that moved when the first is chosen would make the second click miss.
            if self.selection.is_empty() {
                self.toolbar(ui, cx);
            } else {
                self.selection_bar(ui, shared, cx);
            }
            if let Some(failure) = self.rows.error().cloned() {
                if widgets::failure(ui, &failure) {
                    self.rows.invalidate();
                }
                if self.rows.len() == 0 {
                    return;
                }
            }
            if !self.rows.loaded() {
                if self.rows.slow(cx.desk) {
                    widgets::loading(ui, "Reading the runs");
                }
                return;
            }
            if nothing_there {
                self.none_fits(ui);
                return;
            }
            self.table(ui, shared, cx);
        });
        let asked = self.tag.open;
        self.tag_ui(ui, shared, cx);
        if !asked {
            self.keys(ui, shared, cx);
        }
    }

    fn none_fits(&mut self, ui: &mut Ui) {
        let (title, text) = if self.deleted {
            ("No deleted runs", "Runs that you delete wait here and can be brought back.")
        } else {
            ("No run fits", "No run has these words in its workflow, id or tags, in this state.")
        };
        if widgets::empty_state(ui, ph::FUNNEL, title, text, Some((ph::X, "Show all runs"))) {
            (self.filter, self.workflow, self.deleted) = (Filter::All, None, false);
            self.typed.clear();
            self.text.clear();
        }
    }

    fn keys(&mut self, ui: &Ui, shared: &mut Shared, cx: &mut Cx<'_>) {
        if ui.ctx().egui_wants_keyboard_input() || egui::Popup::is_any_open(ui.ctx()) {
            return;
        }
        if ui.input(|input| input.key_pressed(Key::Delete)) {
            self.delete_selected(shared, cx);
        }
        if ui.input(|input| input.key_pressed(Key::Escape)) {
            self.selection.clear();
        }
        if ui.input_mut(|input| input.consume_key(egui::Modifiers::COMMAND, Key::A)) {
            self.selection = (0..self.rows.len()).collect();
        }
        if ui.input_mut(|input| input.consume_key(egui::Modifiers::COMMAND, Key::F)) {
            self.focus_search = true;
        }
    }

    /// Deletes what is selected, or brings it back where deleted runs are shown.
    pub(super) fn delete_selected(&mut self, shared: &mut Shared, cx: &mut Cx<'_>) {
        let runs = self.selected();
        if runs.is_empty() || !cx.desk.may_change() {
            return;
        }
        if self.deleted {
            shared.acts.restore(cx, runs);
            return;
        }
        let at_work = self.summaries().iter().filter(|run| !run.status.is_final()).count();
        if at_work > 0 {
            cx.toasts.info("Runs at work cannot be deleted: stop them first");
            return;
        }
        shared.acts.delete(cx, runs);
    }

    fn toolbar(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        ui.horizontal(|ui| {
            let wide = ui.available_width() > 900.0;
            let response = widgets::search_field(ui, "Search runs", &mut self.typed, if wide { 240.0 } else { 190.0 });
            if std::mem::take(&mut self.focus_search) {
                response.request_focus();
            }
            if response.changed() || (response.has_focus() && self.typed != self.text && self.typed.is_empty()) {
                self.typed_at = cx.desk.now_secs();
            }
            if wide {
                widgets::segments(ui, &mut self.filter, &Filter::ALL);
            } else {
                let options = Filter::ALL
                    .map(|(filter, text)| (filter, if filter == Filter::All { "All states" } else { text }.to_owned()));
                ui.scope(|ui| {
                    ui.set_max_width(120.0);
                    widgets::choice(ui, "runs-state", "State", &mut self.filter, &options);
                });
            }
            let mut names: BTreeSet<&str> = self.rows.workflows.iter().map(String::as_str).collect();
            if let Some(saved) = self.workflows.value() {
                names.extend(saved.items.iter().map(|entry| entry.name.as_str()));
            }
            names.extend(self.workflow.as_deref());
            let mut options = vec![(None, "All workflows".to_owned())];
            options.extend(names.into_iter().map(|name| (Some(name.to_owned()), name.to_owned())));
            ui.scope(|ui| {
                ui.set_max_width(170.0);
                widgets::choice(ui, "runs-workflow", "Workflow", &mut self.workflow, &options);
            });
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                let button = widgets::icon_button(ui, ph::COLUMNS, "Choose columns");
                egui::Popup::from_toggle_button_response(&button)
                    .close_behavior(egui::PopupCloseBehavior::CloseOnClickOutside)
                    .show(|ui| self.column_menu(ui, cx));
                let text = if self.deleted { "Leave deleted runs" } else { "Show deleted runs" };
                if widgets::toggle_icon(ui, ph::TRASH, text, self.deleted).clicked() {
                    self.deleted = !self.deleted;
                    self.selection.clear();
                }
                if self.rows.slow(cx.desk) {
                    ui.add(egui::Spinner::new().size(16.0).color(cx.theme.accent));
                }
            });
        });
    }

    fn column_menu(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        ui.set_width(300.0);
        widgets::search_field(ui, "Search columns", &mut self.column_search, 290.0);
        // Up to 40,000 names: they are gone through when the search changes, and what is not seen is not laid out.
        let made_of = (self.column_search.clone(), self.rows.metric_names.len(), self.rows.param_names.len());
        if self.offered.is_empty() || self.offered_of != made_of {
            self.offered = self.sifted();
            self.offered_of = made_of;
        }
        let offered = &self.offered;
        let mut toggled = None;
        ui.spacing_mut().item_spacing.y = 2.0;
        let height = 26.0;
        egui::ScrollArea::vertical().max_height(320.0).auto_shrink([false, true]).show_rows(
            ui,
            height,
            offered.len(),
            |ui, range| {
                for col in offered.get(range).unwrap_or(&[]) {
                    let mut on = self.columns.has(col);
                    let title = match col {
                        Col::Param(name) => format!("{name} (parameter)"),
                        other => other.title(),
                    };
                    let (rect, response) =
                        ui.allocate_exact_size(Vec2::new(ui.available_width(), height), Sense::click());
                    response.widget_info(|| WidgetInfo::selected(WidgetType::Checkbox, true, on, &title));
                    if response.hovered() {
                        ui.painter().rect_filled(rect, theme::radius::CONTROL, cx.theme.sunken);
                    }
                    let (icon, ink) = check_icon(cx.theme, on);
                    icons::paint(ui, egui::pos2(rect.left() + 14.0, rect.center().y), icon, 16.0, ink);
                    let text = super::plots::shortened(&title, 38);
                    let at = egui::pos2(rect.left() + 30.0, rect.center().y);
                    let font = theme::regular(font_size::BODY);
                    ui.painter().text(at, egui::Align2::LEFT_CENTER, text, font, cx.theme.text);
                    if response.on_hover_text(title).clicked() {
                        on = !on;
                        toggled = Some(col.clone());
                    }
                }
            },
        );
        if offered.is_empty() {
            widgets::muted(ui, "No column has this in its name.");
        }
        if let Some(col) = toggled {
            let words = self.columns.toggle(&col);
            cx.desk.remember(columns::MEMORY, &words);
        }
        ui.add_space(size::TINY_GAP);
        if widgets::quiet(ui, ph::ARROW_COUNTER_CLOCKWISE, "Usual columns").clicked() {
            self.columns.reset();
            cx.desk.remember(columns::MEMORY, "");
        }
    }

    /// The columns whose names hold what is searched for.
    fn sifted(&self) -> Vec<Col> {
        let wanted = self.column_search.to_lowercase();
        let fits = |text: &str| wanted.is_empty() || text.to_lowercase().contains(&wanted);
        let mut offered: Vec<Col> = FIXED.iter().filter(|col| fits(&col.title())).cloned().collect();
        let metrics =
            self.rows.metric_names.iter().filter(|(split, key)| fits(&metric_title(*split, key)) || fits(key));
        offered.extend(metrics.map(|(split, key)| Col::Metric(*split, key.clone())));
        offered.extend(self.rows.param_names.iter().filter(|name| fits(name)).map(|name| Col::Param(name.clone())));
        offered
    }

    fn selection_bar(&mut self, ui: &mut Ui, shared: &mut Shared, cx: &mut Cx<'_>) {
        let n = self.selection.len() as u64;
        let may = cx.desk.may_change();
        ui.horizontal(|ui| {
            ui.set_height(size::CONTROL);
            ui.label(
                RichText::new(format!("{} selected", format::plural(n, "run"))).font(theme::medium(font_size::BODY)),
            );
            ui.add_space(size::SMALL_GAP);
            ui.add_enabled_ui(n >= 2, |ui| {
                if widgets::button(ui, Kind::Secondary, Some(ph::SCALES), "Compare").clicked() {
                    cx.go.push(Go::Compare(self.selected()));
                }
            });
            ui.add_enabled_ui(may, |ui| {
                if !self.deleted && widgets::button(ui, Kind::Secondary, Some(ph::TAG), "Tag").clicked() {
                    self.begin_tag();
                }
                let (icon, verb) =
                    if self.deleted { (ph::ARROW_U_UP_LEFT, "Bring back") } else { (ph::TRASH, "Delete") };
                if widgets::button(ui, Kind::Secondary, Some(icon), verb).clicked() {
                    self.delete_selected(shared, cx);
                }
            });
            if widgets::quiet(ui, ph::X, "Clear").clicked() {
                self.selection.clear();
            }
        });
    }

    fn table(&mut self, ui: &mut Ui, shared: &mut Shared, cx: &mut Cx<'_>) {
        let theme = cx.theme;
        let now = cx.desk.now_millis();
        let n_rows = self.rows.len() + usize::from(self.rows.has_more());
        let (mut open, mut toggled, mut running) = (None, None, false);
        let Self { rows, columns, selection, order, ascending, .. } = self;
        let shown = columns.shown();
        let by = shown.iter().position(|col| col.order().as_ref() == Some(&*order));
        let chosen = selection.clone();
        let done = widgets::card(ui, |ui| {
            ui.set_height(ui.available_height());
            let width = ui.available_width();
            let wanted: f32 = columns.grid().iter().map(|column| column.width + 1.0).sum();
            let mut show = |ui: &mut Ui| {
                Grid::new("runs", columns.grid(), n_rows)
                    .sorted(by.map(|at| (at, !*ascending)))
                    .select(selection)
                    .row_height(size::ROW + 2.0)
                    .fill()
                    .show(
                        ui,
                        |_, _| {},
                        |ui, at, column| {
                            let Some(item) = rows.get_mut(at) else {
                                if column == 1 {
                                    ui.label(RichText::new("reading more").color(theme.muted));
                                }
                                return;
                            };
                            let Some(col) = shown.get(column) else { return };
                            if item.cells.len() != shown.len() {
                                item.cells = shown.iter().map(|col| col.text(&item.row)).collect();
                            }
                            let summary = &item.row.summary;
                            match col {
                                Col::Check => {
                                    if check(ui, chosen.contains(&at), &run_name(summary)) {
                                        toggled = Some(at);
                                    }
                                }
                                Col::Name => {
                                    if name_cell(ui, summary, shared.colors.place(&summary.id)) {
                                        open = Some(at);
                                    }
                                }
                                Col::Status => {
                                    let pill = widgets::status_pill(ui, summary.status);
                                    if let Some(failure) = &summary.failure {
                                        pill.on_hover_text(widgets::sentence(&failure.message));
                                    }
                                }
                                Col::Duration => match took_millis(summary, now) {
                                    Some(millis) => {
                                        running |= !summary.status.is_final();
                                        widgets::cell_mono(ui, &format::duration_millis(millis));
                                    }
                                    None => widgets::cell_none(ui),
                                },
                                Col::Created => {
                                    let text = format::ago(summary.created_at_millis, now);
                                    let text = RichText::new(text).color(theme.muted);
                                    ui.add(egui::Label::new(text).truncate().selectable(false));
                                }
                                Col::Tags => {
                                    for (key, value) in &summary.tags {
                                        widgets::tag(ui, &tag_text(key, value));
                                    }
                                }
                                _ => match item.cells.get(column).and_then(Option::as_deref) {
                                    Some(text) if matches!(col, Col::Metric(..) | Col::Param(_) | Col::Seed) => {
                                        widgets::cell_mono(ui, text);
                                    }
                                    Some(text) => widgets::cell_text(ui, text),
                                    None => widgets::cell_none(ui),
                                },
                            }
                        },
                    )
            };
            if wanted > width {
                egui::ScrollArea::horizontal()
                    .id_salt("runs-across")
                    .auto_shrink([false, false])
                    .show(ui, |ui| {
                        ui.set_width(wanted);
                        show(ui)
                    })
                    .inner
            } else {
                show(ui)
            }
        })
        .inner;
        self.seen = done.seen[1];
        self.selection.retain(|&at| at < self.rows.len());
        if let Some(at) = toggled
            && !self.selection.remove(&at)
        {
            self.selection.insert(at);
        }
        if let Some(at) = done.sort
            && let Some(order) = self.columns.shown().get(at).and_then(Col::order)
        {
            if order == self.order {
                self.ascending = !self.ascending;
            } else {
                self.order = order;
                self.ascending = false;
            }
            self.selection.clear();
        }
        if let Some(item) = open.or(done.opened).and_then(|at| self.rows.get(at)) {
            cx.go.push(Go::Run(item.row.summary.id.clone()));
        }
        if running {
            ui.ctx().request_repaint_after_secs(1.0);
        }
    }

    fn tag_ui(&mut self, ui: &Ui, shared: &mut Shared, cx: &mut Cx<'_>) {
        if !self.tag.open {
            return;
        }
        let n = self.selection.len() as u64;
        let (mut done, mut close) = (false, false);
        let modal = Modal::new(egui::Id::new("tag runs")).frame(widgets::modal_frame(ui)).show(ui.ctx(), |ui| {
            ui.set_width(340.0);
            let title = format!("Tag {}", format::plural(n, "run"));
            ui.label(RichText::new(title).font(theme::semibold(font_size::TITLE)).color(cx.theme.text));
            ui.add_space(size::TINY_GAP);
            let key = widgets::text_field(ui, "Tag", &mut self.tag.key, "stage");
            if std::mem::take(&mut self.tag.fresh) {
                key.request_focus();
            }
            widgets::text_field(ui, "Value (may be empty)", &mut self.tag.value, "candidate");
            ui.add_space(size::SMALL_GAP);
            let enter = ui.input(|input| input.key_pressed(Key::Enter));
            ui.horizontal(|ui| {
                ui.add_enabled_ui(!self.tag.key.trim().is_empty(), |ui| {
                    done = widgets::primary(ui, ph::TAG, "Set tag").clicked() || (enter && ui.is_enabled());
                });
                close = widgets::button(ui, Kind::Secondary, None, "Cancel").clicked();
            });
        });
        if done {
            let (key, value) = (self.tag.key.trim().to_owned(), self.tag.value.trim().to_owned());
            for run in self.summaries() {
                let before = run.tags.iter().find(|(known, _)| *known == key).map(|(_, value)| value.clone());
                shared.acts.tag(cx, &run.id, &key, Some(value.clone()), before);
            }
        }
        if done || close || modal.should_close() {
            self.tag.open = false;
        }
    }
}

/// A tag as it is shown.
pub(super) fn tag_text(key: &str, value: &str) -> String {
    if value.is_empty() { key.to_owned() } else { format!("{key}: {value}") }
}

fn check_icon(theme: &Theme, on: bool) -> (&'static str, egui::Color32) {
    if on { (ph::CHECK_SQUARE, theme.accent) } else { (ph::SQUARE, theme.faint) }
}

fn check(ui: &mut Ui, on: bool, name: &str) -> bool {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(Vec2::splat(20.0), Sense::click());
    response.widget_info(|| WidgetInfo::selected(WidgetType::Checkbox, true, on, format!("Select {name}")));
    let (icon, ink) = check_icon(theme, on);
    let ink = if response.hovered() { theme.text } else { ink };
    icons::paint(ui, rect.center(), icon, 16.0, ink);
    response.clicked()
}

/// The name with the run's colour in front; true when it was clicked.
fn name_cell(ui: &mut Ui, summary: &RunSummary, place: usize) -> bool {
    let theme = Theme::of(ui);
    let (rect, _) = ui.allocate_exact_size(Vec2::new(10.0, 10.0), Sense::hover());
    ui.painter().circle_filled(rect.center(), 4.0, theme.series(place));
    ui.add_space(2.0);
    let name = RichText::new(&summary.workflow).font(theme::medium(font_size::BODY)).color(theme.text);
    let response = ui.add(egui::Label::new(name).truncate().selectable(false).sense(Sense::click()));
    response.widget_info(|| WidgetInfo::labeled(WidgetType::Link, true, run_name(summary)));
    let id = RichText::new(short(&summary.id)).font(theme::mono(font_size::LABEL)).color(theme.muted);
    ui.add(egui::Label::new(id).truncate().selectable(false));
    if response.hovered() {
        ui.painter().hline(response.rect.x_range(), response.rect.bottom(), egui::Stroke::new(1.0, theme.text));
    }
    response.on_hover_cursor(egui::CursorIcon::PointingHand).on_hover_text("Open this run").clicked()
}
