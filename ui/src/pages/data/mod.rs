//! The page Data: tables that the workspace knows, one of them open.

mod add;
mod cache;
mod copy;
mod detail;
mod draw;
mod grid;
mod head;
mod list;
mod picker;
mod plots;
mod profile;
mod sheet;
mod table;
mod train;

use athanor_protocol::api::{DataAdd, DataEntry, DataList, DataRemove, Event, Request};
use egui::{CentralPanel, Frame, Margin, Panel, Ui};

use self::{
    add::Adding,
    list::Tables,
    table::{OpenTable, Tab, Wanted},
    train::TrainPanel,
};
pub use self::{add::file_name, table::one_row, train::guess_target};
use super::{Command, Cx, Go, Page};
use crate::{
    icons::ph,
    theme::{Theme, size},
    widgets,
};

/// The list: least, first and greatest width.
const LIST: [f32; 3] = [180.0, 228.0, 360.0];
/// Below this width the list makes room for the panel at the right.
const FOLD_LIST_BELOW: f32 = 1000.0;

/// The page Data.
#[derive(Default)]
pub struct DataPage {
    tables: Tables,
    adding: Adding,
    open: Option<OpenTable>,
    train: Option<TrainPanel>,
    n_opened: u64,
}

impl DataPage {
    fn open_table(&mut self, cx: &mut Cx<'_>, path: &str) {
        cx.desk.remember("data.table", path);
        if self.open.as_ref().is_some_and(|open| open.path() == path) {
            return;
        }
        self.n_opened += 1;
        let token = format!("profile.{}.{}", self.n_opened, cx.desk.now_millis());
        self.open = Some(OpenTable::new(path, token));
        self.train = None;
    }

    fn begin_training(&mut self, target: Option<&str>) {
        let Some(open) = &self.open else { return };
        let Some(info) = open.info() else { return };
        if self.train.as_ref().is_none_or(|panel| panel.path() != open.path()) {
            self.train = Some(TrainPanel::new(open.path(), &info.columns));
        }
        if let (Some(target), Some(panel)) = (target, &mut self.train) {
            panel.set_target(target);
        }
    }

    fn remove(&mut self, cx: &mut Cx<'_>, entry: &DataEntry) {
        if !cx.desk.may_change() {
            return cx.toasts.info("This workspace can be looked at but not changed");
        }
        let remove: Request = DataRemove { path: entry.path.clone() }.into();
        cx.desk.tell(remove.clone());
        if let Some(list) = self.tables.list.value_mut() {
            list.items.retain(|other| other.path != entry.path);
        }
        if self.open.as_ref().is_some_and(|open| open.path() == entry.path) {
            self.open = None;
            self.train = None;
        }
        let done = format!("Removed {} from the list", entry.name);
        if entry.n_bytes.is_some() {
            let again: Request = DataAdd { path: entry.path.clone() }.into();
            cx.undo.push(done.clone(), vec![again], vec![remove]);
            cx.toasts.undoable(done);
        } else {
            cx.toasts.ok(done);
        }
    }

    fn list_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>, narrow: bool) {
        let folded = cx.desk.remembered("data.list") == Some("folded") || (narrow && self.train.is_some());
        let theme = cx.theme;
        let asked = if folded {
            Panel::left("data-list-folded")
                .exact_size(44.0)
                .resizable(false)
                .frame(Frame::new().fill(theme.panel).inner_margin(Margin::symmetric(8, 8)))
                .show(ui, list::folded)
                .inner
        } else {
            let width = remembered_width(cx, "data.list.width", LIST[1]);
            let open = self.open.as_ref().map(OpenTable::path).map(str::to_owned);
            let shown = Panel::left("data-list")
                .resizable(true)
                .default_size(width)
                .size_range(LIST[0]..=LIST[2])
                .frame(Frame::new().fill(theme.panel).inner_margin(Margin::symmetric(12, 12)))
                .show(ui, |ui| self.tables.ui(ui, cx.desk, open.as_deref()));
            remember_width(ui, cx, "data.list.width", shown.response.rect.width());
            shown.inner
        };
        match asked {
            Some(list::Asked::Open(path)) => self.open_table(cx, &path),
            Some(list::Asked::Remove(entry)) => self.remove(cx, &entry),
            Some(list::Asked::Path) => self.adding.path = Some(String::new()),
            Some(list::Asked::Fold) if folded => {
                if narrow {
                    self.train = None;
                }
                cx.desk.remember("data.list", "open");
            }
            Some(list::Asked::Fold) => cx.desk.remember("data.list", "folded"),
            None => {}
        }
    }

    fn train_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        let (Some(panel), Some(open)) = (&mut self.train, &self.open) else { return };
        let Some(info) = open.info() else { return };
        let width = remembered_width(cx, "data.train.width", size::INSPECTOR[1] + 20.0);
        let theme = cx.theme;
        let shown = Panel::right("data-train")
            .resizable(true)
            .default_size(width)
            .size_range(size::INSPECTOR[0]..=size::INSPECTOR[2])
            .frame(Frame::new().fill(theme.panel).inner_margin(Margin::same(size::CARD)))
            .show(ui, |ui| panel.ui(ui, cx, info, open.profile.value()));
        remember_width(ui, cx, "data.train.width", shown.response.rect.width());
        if shown.inner == Some(train::Asked::Close) {
            self.train = None;
        }
    }

    fn main_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        if self.adding.busy() {
            Frame::new()
                .inner_margin(Margin { left: 20, right: 20, top: 10, bottom: 0 })
                .show(ui, |ui| self.adding.ui(ui));
        }
        let Some(open) = &mut self.open else {
            return self.nothing_open(ui, cx);
        };
        let gone = self.tables.find(open.path()).is_some_and(|entry| entry.n_bytes.is_none());
        let wanted = open.ui(ui, cx, gone);
        if let Some(n_rows) = open.n_rows()
            && self.tables.n_rows.get(open.path()) != Some(&n_rows)
        {
            self.tables.n_rows.insert(open.path().to_owned(), n_rows);
        }
        match wanted {
            Some(Wanted::Target(column)) => self.begin_training(Some(&column)),
            Some(Wanted::Remove) => {
                let entry = self.tables.find(open.path()).cloned();
                if let Some(entry) = entry {
                    self.remove(cx, &entry);
                }
            }
            None => {}
        }
    }

    fn nothing_open(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        let known = self.tables.list.value().map_or(0, |list| list.items.len());
        if self.tables.list.value().is_none() {
            return;
        }
        let (title, text) = if known == 0 {
            ("Bring a table", "Open a CSV, TSV or Parquet file, or drop it on the window. The file stays where it is.")
        } else {
            ("Choose a table", "Choose one of the list, or open another file. Files can also be dropped on the window.")
        };
        if widgets::empty_state(ui, ph::TABLE, title, text, Some((ph::FOLDER_OPEN, "Open a file"))) {
            self.adding.pick(cx);
        }
        ui.vertical_centered(|ui| {
            if widgets::link(ui, "or type its path").clicked() {
                self.adding.path = Some(String::new());
            }
        });
    }
}

/// A panel's width as it was left.
fn remembered_width(cx: &Cx<'_>, key: &str, first: f32) -> f32 {
    cx.desk.remembered(key).and_then(|width| width.parse().ok()).unwrap_or(first)
}

fn remember_width(ui: &Ui, cx: &mut Cx<'_>, key: &str, width: f32) {
    // Once the drag has ended, and only where it made a difference.
    let at_rest = !ui.input(|input| input.pointer.any_down());
    let known = cx.desk.remembered(key).and_then(|width| width.parse::<f32>().ok());
    if at_rest && width > 1.0 && known.is_none_or(|known| (known - width).abs() > 2.0) {
        cx.desk.remember(key, &format!("{width:.0}"));
    }
}

impl Page for DataPage {
    fn title(&self) -> String {
        match self.open.as_ref() {
            Some(open) => open.info().map_or_else(|| file_name(open.path()).to_owned(), |info| info.name.clone()),
            None => "Data".to_owned(),
        }
    }

    fn fact(&self, _cx: &Cx<'_>) -> String {
        match (&self.open, self.tables.list.value()) {
            (Some(open), _) => open.path().to_owned(),
            (None, Some(list)) => crate::format::plural(list.items.len() as u64, "table"),
            (None, None) => String::new(),
        }
    }

    fn actions(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        if widgets::primary(ui, ph::FOLDER_OPEN, "Open")
            .on_hover_text("Open a CSV, TSV or Parquet file (Ctrl O)")
            .clicked()
        {
            self.adding.pick(cx);
        }
        let ready = self.open.as_ref().is_some_and(|open| open.info().is_some());
        if ready && widgets::secondary(ui, ph::FLAME, "Use for training").clicked() {
            if self.train.is_some() {
                self.train = None;
            } else {
                self.begin_training(None);
            }
        }
    }

    fn ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        let open = egui::KeyboardShortcut::new(egui::Modifiers::COMMAND, egui::Key::O);
        if ui.input_mut(|input| input.consume_shortcut(&open)) {
            self.adding.pick(cx);
        }
        let dropped = ui.input_mut(|input| std::mem::take(&mut input.raw.dropped_files));
        self.adding.dropped(cx, dropped);
        self.adding.path_ui(ui, cx);
        let narrow = ui.available_width() < FOLD_LIST_BELOW;
        self.list_ui(ui, cx, narrow);
        self.train_ui(ui, cx);
        CentralPanel::default().frame(Frame::new().fill(Theme::of(ui).bg)).show(ui, |ui| self.main_ui(ui, cx));
    }

    fn event(&mut self, event: &Event, cx: &mut Cx<'_>) {
        match event {
            Event::DataChanged {} => self.tables.list.invalidate(),
            Event::Lagged {} => self.tables.list.invalidate(),
            Event::WorkspaceChanged { .. } => {
                *self = Self { n_opened: self.n_opened, ..Self::default() };
            }
            _ => {}
        }
        // Files that are dropped while no workspace is open are Home's to answer: it makes one.
        if cx.desk.workspace().is_some() {
            self.adding.event(event, cx);
        }
        if let Some(open) = &mut self.open {
            open.event(event);
        }
    }

    fn tick(&mut self, cx: &mut Cx<'_>) {
        if cx.desk.workspace().is_none() {
            return;
        }
        if let Some(path) = self.adding.tick(cx) {
            self.tables.list.invalidate();
            self.open_table(cx, &path);
            cx.go.push(Go::To(super::Route::Data));
        }
        self.tables.list.keep(cx.desk, &DataList {});
        if let Some(panel) = &mut self.train {
            panel.tick(cx);
        }
    }

    fn open(&mut self, go: &Go, cx: &mut Cx<'_>) {
        match go {
            Go::Table(path) => self.open_table(cx, path),
            Go::Files(paths) => self.adding.add(cx, paths),
            _ => {}
        }
    }

    fn commands(&self, _cx: &Cx<'_>) -> Vec<Command> {
        let mut commands = vec![
            Command::new("data.open", "Open a table", ph::FOLDER_OPEN, "Ctrl O"),
            Command::new("data.path", "Open a table by its path", ph::CURSOR_TEXT, ""),
        ];
        if self.open.is_some() {
            commands.push(Command::new("data.train", "Use this table for training", ph::FLAME, ""));
            commands.push(Command::new("data.jump", "Go to a row", ph::CROSSHAIR, "Ctrl G"));
            commands.push(Command::new("data.rows", "Show the rows", ph::ROWS, ""));
            commands.push(Command::new("data.profile", "Show the profile", ph::CHART_BAR, ""));
            commands.push(Command::new("data.plots", "Show the plots", ph::CHART_SCATTER, ""));
            commands.push(Command::new("data.close", "Close the table", ph::X, ""));
        }
        commands
    }

    fn run(&mut self, command: &str, cx: &mut Cx<'_>) {
        match command {
            "data.open" => self.adding.pick(cx),
            "data.path" => self.adding.path = Some(String::new()),
            "data.train" => self.begin_training(None),
            "data.close" => (self.open, self.train) = (None, None),
            _ => {
                let Some(open) = &mut self.open else { return };
                match command {
                    "data.jump" => open.ask_jump(),
                    "data.rows" => open.tab = Tab::Rows,
                    "data.profile" => open.tab = Tab::Profile,
                    "data.plots" => open.tab = Tab::Plots,
                    _ => {}
                }
            }
        }
    }
}
