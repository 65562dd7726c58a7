//! One open table: its heading, and the tabs that show it.

use athanor_protocol::{
    api::{DataOpen, DataRows, Event, TableInfo},
    table::DataSource,
};
use egui::{Key, KeyboardShortcut, Modifiers, RichText, Ui};

use super::{
    cache::{Cell, RowCache},
    copy::Copying,
    grid,
    head::type_name,
    plots::Plots,
    profile::Profile,
    sheet::{At, Sheet, Span},
};
use crate::{
    desk::{Desk, Remote},
    format,
    icons::{self, ph},
    pages::Cx,
    theme::{self, Theme, font_size, size},
    widgets,
};

const JUMP: KeyboardShortcut = KeyboardShortcut::new(Modifiers::COMMAND, Key::G);

/// Height of the line under the grid.
const FOOT: f32 = 36.0;

/// A way to look at a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tab {
    /// Its rows.
    #[default]
    Rows,
    /// Its columns, described.
    Profile,
    /// Plots of it.
    Plots,
}

/// What the page has to do for a table.
#[derive(Debug, Clone, PartialEq)]
pub enum Wanted {
    /// Predict this column.
    Target(String),
    /// Take it off the list: its file is gone.
    Remove,
}

/// An open table.
pub struct OpenTable {
    source: DataSource,
    info: Remote<DataOpen>,
    rows: Option<(RowCache, Sheet)>,
    /// Its columns, described.
    pub profile: Profile,
    plots: Plots,
    /// What is shown.
    pub tab: Tab,
    jump: Option<String>,
    copying: Option<Copying>,
    clipboard: String,
}

impl OpenTable {
    /// Opens a table; `token` is one that no other request has.
    pub fn new(path: &str, token: String) -> Self {
        Self {
            source: DataSource::file(path),
            info: Remote::default(),
            rows: None,
            profile: Profile::new(token),
            plots: Plots::default(),
            tab: Tab::Rows,
            jump: None,
            copying: None,
            clipboard: String::new(),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &str {
        &self.source.path
    }

    /// Its columns and size, once they are known.
    pub fn info(&self) -> Option<&TableInfo> {
        self.info.value()
    }

    /// Its rows, as far as that is known.
    pub fn n_rows(&self) -> Option<u64> {
        let cached = self.rows.as_ref().and_then(|(cache, _)| cache.n_rows());
        cached.or_else(|| self.profile.value().map(|profile| profile.n_rows)).or_else(|| self.info()?.n_rows)
    }

    /// Something happened.
    pub fn event(&mut self, event: &Event) {
        self.profile.event(event);
        if matches!(event, Event::Lagged {}) && self.info.value().is_none() {
            self.info.invalidate();
        }
    }

    /// Asks for the row that is typed.
    pub fn ask_jump(&mut self) {
        self.tab = Tab::Rows;
        self.jump = Some(String::new());
    }

    fn take_in(&mut self, cx: &mut Cx<'_>) {
        self.info.keep(cx.desk, &DataOpen { source: self.source.clone() });
        if self.rows.is_none()
            && let Some(info) = self.info.value()
        {
            let cache = RowCache::new(self.source.clone(), info.columns.clone(), info.n_rows);
            self.rows = Some((cache, Sheet::new(&info.columns)));
            self.plots.begin(&info.columns);
        }
        if let Some((cache, _)) = &mut self.rows {
            cache.poll(cx.desk);
        }
        if let Some(info) = self.info.value() {
            self.profile.keep(cx.desk, &self.source, info.n_bytes);
        }
        if let Some(copying) = &mut self.copying
            && let Some(result) = copying.poll(cx.desk, &self.source)
        {
            self.copying = None;
            match result {
                Ok(copied) => {
                    cx.toasts.ok(format!("Copied {}", copied.what));
                    self.clipboard = copied.text;
                }
                Err(failure) => cx.toasts.failure(&failure),
            }
        }
    }

    /// Draws it.
    pub fn ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>, gone: bool) -> Option<Wanted> {
        self.take_in(cx);
        if !self.clipboard.is_empty() {
            ui.ctx().copy_text(std::mem::take(&mut self.clipboard));
        }
        let mut wanted = None;
        egui::Frame::new().inner_margin(egui::Margin { left: 20, right: 20, top: 12, bottom: 0 }).show(ui, |ui| {
            self.heading(ui, cx.desk);
        });
        if let Some(failure) = self.info.error().cloned() {
            padded(ui, |ui| {
                if widgets::failure(ui, &failure) {
                    self.info.invalidate();
                }
                if gone && widgets::quiet(ui, ph::X, "Remove it from the list").clicked() {
                    wanted = Some(Wanted::Remove);
                }
            });
            return wanted;
        }
        if self.info.value().is_none() {
            if self.info.slow(cx.desk) {
                padded(ui, |ui| widgets::loading(ui, "Opening the table"));
            }
            return None;
        }
        match self.tab {
            Tab::Rows => wanted = self.rows_ui(ui, cx),
            Tab::Profile => {
                let n_bytes = self.info.value().map_or(0, |info| info.n_bytes);
                if let Some(column) = self.profile.ui(ui, cx, n_bytes) {
                    self.tab = Tab::Plots;
                    self.plots.show_column(&column);
                }
            }
            Tab::Plots => self.plots.ui(ui, cx, &self.source),
        }
        wanted
    }

    fn heading(&mut self, ui: &mut Ui, desk: &Desk) {
        let theme = Theme::of(ui);
        let tabs = [(Tab::Rows, "Rows"), (Tab::Profile, "Profile"), (Tab::Plots, "Plots")];
        ui.horizontal(|ui| {
            widgets::segments(ui, &mut self.tab, &tabs);
            ui.add_space(size::SMALL_GAP);
            // From the right, so that what must be reached has its place and the facts have what is left.
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                if self.tab == Tab::Rows && self.rows.is_some() {
                    self.row_tools(ui);
                }
                ui.with_layout(egui::Layout::left_to_right(egui::Align::Center), |ui| self.facts(ui, desk));
            });
        });
        let notes = self.info.value().map(|info| info.notes.as_slice()).unwrap_or_default();
        for note in notes.iter().take(3) {
            ui.horizontal(|ui| {
                ui.spacing_mut().item_spacing.x = 6.0;
                ui.label(icons::text(ph::INFO, 14.0).color(theme.info));
                let text = RichText::new(widgets::sentence(note)).size(font_size::LABEL + 0.5).color(theme.muted);
                ui.add(egui::Label::new(text).truncate().selectable(true));
            });
        }
        ui.add_space(size::TINY_GAP);
    }

    /// How much there is, and whether rows are on their way.
    fn facts(&self, ui: &mut Ui, desk: &Desk) {
        let theme = Theme::of(ui);
        if let Some(info) = self.info.value() {
            let rows = match self.n_rows() {
                Some(n_rows) => format::plural(n_rows, "row"),
                None => "rows not counted yet".to_owned(),
            };
            let fact = format!(
                "{rows}, {}, {}",
                format::plural(info.columns.len() as u64, "column"),
                format::bytes(info.n_bytes)
            );
            ui.add(egui::Label::new(RichText::new(fact).color(theme.muted)).truncate().selectable(true));
        }
        let slow = self.rows.as_ref().is_some_and(|(cache, _)| cache.slow(desk));
        if slow && self.tab == Tab::Rows {
            ui.add(egui::Spinner::new().size(14.0).color(theme.accent)).on_hover_text("Reading rows");
        }
    }

    fn row_tools(&mut self, ui: &mut Ui) {
        let Some((cache, sheet)) = &mut self.rows else { return };
        let hidden = cache.columns().len() - sheet.shown().len();
        let title = if hidden > 0 { format!("{hidden} hidden") } else { "Columns".to_owned() };
        let button = widgets::quiet(ui, ph::COLUMNS, &title).on_hover_text("Show or hide columns");
        egui::Popup::menu(&button)
            .close_behavior(egui::PopupCloseBehavior::CloseOnClickOutside)
            .show(|ui| columns_menu(ui, cache, sheet));
        if widgets::quiet(ui, ph::CROSSHAIR, "Go to row").on_hover_text("Ctrl G").clicked() {
            self.jump = Some(String::new());
        }
    }

    fn rows_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) -> Option<Wanted> {
        if ui.input_mut(|input| input.consume_shortcut(&JUMP)) {
            self.jump = Some(String::new());
        }
        self.jump_ui(ui);
        let name = self.info.value().map(|info| info.name.clone()).unwrap_or_default();
        let (cache, sheet) = self.rows.as_mut()?;
        if cache.n_rows() == Some(0) {
            widgets::empty_state(ui, ph::ROWS, "No rows", "The table has columns but no rows.", None);
            return None;
        }
        if let Some(failure) = cache.failure().cloned() {
            padded(ui, |ui| {
                if widgets::failure(ui, &failure) {
                    cache.retry();
                }
            });
        }
        ui.spacing_mut().item_spacing.y = 0.0;
        let room = egui::vec2(ui.available_width(), (ui.available_height() - FOOT).max(160.0));
        let top = ui.cursor().top();
        ui.painter().hline(ui.max_rect().x_range(), top, Theme::of(ui).border());
        let asked = ui.allocate_ui(room, |ui| grid::show(ui, cx.desk, cache, sheet, self.profile.value(), &name)).inner;
        foot_ui(ui, cache, sheet);
        match asked? {
            grid::Asked::Copy { names } => {
                self.copying = Copying::begin(cache, sheet, names);
            }
            grid::Asked::Hide(column) => sheet.set_hidden([column], true),
            grid::Asked::Describe(column) => {
                self.profile.select(column);
                self.tab = Tab::Profile;
            }
            grid::Asked::Plot(column) => {
                if let Some(column) = cache.columns().get(column) {
                    self.plots.show_column(&column.name);
                    self.tab = Tab::Plots;
                }
            }
            grid::Asked::Target(column) => {
                return cache.columns().get(column).map(|column| Wanted::Target(column.name.clone()));
            }
            grid::Asked::CopyName(column) => {
                if let Some(column) = cache.columns().get(column) {
                    ui.ctx().copy_text(column.name.clone());
                }
            }
        }
        None
    }

    fn jump_ui(&mut self, ui: &Ui) {
        let Some(mut typed) = self.jump.take() else { return };
        let Some((cache, sheet)) = &mut self.rows else { return };
        let n_rows = cache.n_rows();
        let mut keep = true;
        let modal =
            egui::Modal::new(egui::Id::new("jump-to-row")).frame(widgets::modal_frame(ui)).show(ui.ctx(), |ui| {
                ui.set_width(300.0);
                let help = match n_rows {
                    Some(n_rows) => format!("1 to {}", format::count(n_rows)),
                    None => "a row's number".to_owned(),
                };
                let digits: String = typed.chars().filter(char::is_ascii_digit).collect();
                let row =
                    digits.parse::<u64>().ok().filter(|row| *row > 0 && n_rows.is_none_or(|n_rows| *row <= n_rows));
                let error = (!typed.trim().is_empty() && row.is_none()).then(|| format!("the rows are {help}"));
                let response = widgets::field(ui, "Go to row", "", error.as_deref(), |ui| {
                    widgets::line_edit(ui, "Go to row", &mut typed, &help, false)
                });
                let enter = response.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
                if !enter {
                    response.request_focus();
                }
                ui.add_space(size::SMALL_GAP);
                let clicked =
                    ui.add_enabled_ui(row.is_some(), |ui| widgets::primary(ui, ph::CROSSHAIR, "Go").clicked()).inner;
                if let Some(row) = row
                    && (enter || clicked)
                {
                    let at = At { row: row - 1, column: sheet.cursor.map_or(0, |at| at.column) };
                    sheet.span = Span::Cells;
                    sheet.move_to(at, false);
                    sheet.top = (row as f64 - 4.0).max(0.0);
                    keep = false;
                }
            });
        if keep && !modal.should_close() {
            self.jump = Some(typed);
        }
    }
}

/// Which columns are shown.
fn columns_menu(ui: &mut Ui, cache: &RowCache, sheet: &mut Sheet) {
    ui.set_width(260.0);
    let id = ui.id().with("column-search");
    let mut typed: String = ui.data(|data| data.get_temp(id)).unwrap_or_default();
    widgets::search_field(ui, "Find a column", &mut typed, 250.0);
    let words = typed.trim().to_lowercase();
    ui.data_mut(|data| data.insert_temp(id, typed));
    let names = cache.columns();
    let found: Vec<usize> = (0..names.len()).filter(|&at| names[at].name.to_lowercase().contains(&words)).collect();
    ui.horizontal(|ui| {
        if widgets::link(ui, "Show all").clicked() {
            sheet.set_hidden(found.iter().copied(), false);
        }
        if widgets::link(ui, "Hide all").clicked() {
            sheet.set_hidden(found.iter().copied(), true);
        }
    });
    ui.spacing_mut().item_spacing.y = 0.0;
    ui.spacing_mut().interact_size.y = 26.0;
    egui::ScrollArea::vertical().max_height(320.0).show_rows(ui, 26.0, found.len(), |ui, range| {
        ui.set_min_width(ui.available_width());
        for &at in &found[range] {
            let mut on = !sheet.is_hidden(at);
            if ui.checkbox(&mut on, &names[at].name).changed() {
                sheet.set_hidden([at], !on);
            }
        }
    });
}

/// The line under the grid: the whole value of the cell where the keyboard is, and what is selected.
fn foot_ui(ui: &mut Ui, cache: &RowCache, sheet: &Sheet) {
    let theme = Theme::of(ui);
    let top = ui.cursor().top();
    ui.painter().hline(ui.max_rect().x_range(), top, theme.border());
    egui::Frame::new().inner_margin(egui::Margin::symmetric(20, 0)).show(ui, |ui| {
        ui.horizontal(|ui| {
            ui.set_height(FOOT);
            let shown = sheet.cursor.and_then(|at| {
                let column = *sheet.shown().get(at.column)?;
                Some((at, column, cache.columns().get(column)?))
            });
            let Some((at, column, schema)) = shown else {
                let help = "Click a cell to see its whole value; drag or hold Shift to select, Ctrl C copies.";
                ui.label(RichText::new(help).size(font_size::LABEL + 0.5).color(theme.muted));
                return;
            };
            let place = format!("Row {}, {}", format::count(at.row + 1), schema.name);
            ui.label(RichText::new(place).size(font_size::LABEL + 0.5).color(theme.muted))
                .on_hover_text(type_name(schema.dtype));
            let (rows, columns) = sheet.selection(cache.extent()).unwrap_or((0..1, 0..1));
            let (n_rows, n_columns) = (rows.end - rows.start, columns.len());
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                if n_rows > 1 || n_columns > 1 {
                    let what = format!(
                        "{} x {} selected",
                        format::plural(n_rows, "row"),
                        format::plural(n_columns as u64, "column")
                    );
                    ui.label(RichText::new(what).size(font_size::LABEL + 0.5).color(theme.muted));
                }
                ui.with_layout(egui::Layout::left_to_right(egui::Align::Center), |ui| {
                    let value = match cache.cell(at.row, column) {
                        Cell::Text(text) => RichText::new(text).font(theme::mono(font_size::MONO)).color(theme.text),
                        Cell::Missing => RichText::new("no value").color(theme.muted),
                        Cell::Waiting => RichText::new("…").color(theme.muted),
                    };
                    ui.add(egui::Label::new(value).truncate().selectable(true));
                });
            });
        });
    });
}

/// With the page's margin.
pub fn padded<R>(ui: &mut Ui, add: impl FnOnce(&mut Ui) -> R) -> R {
    egui::Frame::new()
        .inner_margin(egui::Margin::same(20))
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            add(ui)
        })
        .inner
}

/// The request for one row of all columns.
pub fn one_row(path: &str, row: u64) -> DataRows {
    DataRows { source: DataSource::file(path), offset: row, limit: 1, columns: vec![] }
}
