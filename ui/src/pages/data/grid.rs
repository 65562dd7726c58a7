//! The grid: draws the rows and columns in sight and nothing else, whatever the size of the table.

use athanor_protocol::table::{DataType, TableProfile};
use egui::{
    Align2, Context, CursorIcon, Event, EventFilter, FontId, Key, Painter, Pos2, Rangef, Rect, Response, Sense, Ui,
    Vec2, WidgetInfo, WidgetType,
};

use super::{
    cache::{Cell, RowCache},
    head,
    sheet::{At, Sheet, Span},
};
use crate::{
    desk::Desk,
    format,
    theme::{self, Theme, font_size, mix, size},
};

/// Height of the header: name, then type, missing values and histogram.
const HEAD: f32 = 58.0;
/// Thickness of a scroll bar.
const BAR: f32 = 12.0;
/// Space beside a cell's text.
const PAD: f32 = 10.0;

/// What the user wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Copy what is selected, with or without the columns' names.
    Copy {
        /// With them.
        names: bool,
    },
    /// Hide a column of the table.
    Hide(usize),
    /// Describe a column of the table.
    Describe(usize),
    /// Plot a column of the table.
    Plot(usize),
    /// Predict a column of the table.
    Target(usize),
    /// Copy a column's name.
    CopyName(usize),
}

/// The parts of the grid on the screen.
struct Places {
    whole: Rect,
    head: Rect,
    numbers: Rect,
    body: Rect,
    rows_in_sight: f64,
}

impl Places {
    fn new(whole: Rect, extent: u64) -> Self {
        let digits = format::count(extent.max(99)).len() as f32;
        let numbers = digits * 7.8 + 2.0 * PAD;
        let body = Rect::from_min_max(whole.min + Vec2::new(numbers, HEAD), whole.max - Vec2::splat(BAR));
        let body = Rect::from_min_max(body.min, body.max.max(body.min));
        Self {
            whole,
            head: Rect::from_min_max(Pos2::new(body.left(), whole.top()), Pos2::new(body.right(), body.top())),
            numbers: Rect::from_min_max(Pos2::new(whole.left(), body.top()), Pos2::new(body.left(), body.bottom())),
            body,
            rows_in_sight: f64::from(body.height() / size::ROW),
        }
    }

    /// Where a row begins on the screen.
    fn y(&self, sheet: &Sheet, row: u64) -> f32 {
        // On whole points, so that all rows stand alike wherever it is scrolled to.
        (self.body.top() + (row as f64 - sheet.top) as f32 * size::ROW).round()
    }

    fn x(&self, sheet: &Sheet, edge: f32) -> f32 {
        self.body.left() + edge - sheet.left
    }

    /// The row under a place on the screen.
    fn row_at(&self, sheet: &Sheet, y: f32, extent: u64) -> u64 {
        let row = sheet.top + f64::from((y - self.body.top()) / size::ROW);
        (row.max(0.0) as u64).min(extent.saturating_sub(1))
    }

    fn column_at(&self, sheet: &Sheet, x: f32) -> usize {
        let place = (x - self.body.left() + sheet.left).max(0.0);
        sheet.columns_in(place, place + 0.5).start.min(sheet.shown().len().saturating_sub(1))
    }
}

/// Draws the grid into all the room that there is.
pub fn show(
    ui: &mut Ui,
    desk: &mut Desk,
    cache: &mut RowCache,
    sheet: &mut Sheet,
    profile: Option<&TableProfile>,
    name: &str,
) -> Option<Asked> {
    let theme = Theme::of(ui);
    let (whole, _) = ui.allocate_exact_size(ui.available_size().max(Vec2::new(120.0, HEAD + 60.0)), Sense::hover());
    let extent = cache.extent();
    let places = Places::new(whole, extent);
    scroll(ui, &places, sheet);
    sheet.clamp(extent, places.rows_in_sight, places.body.width());
    let id = ui.id().with("grid");
    let body = ui.interact(places.body, id, Sense::click_and_drag());
    let numbers = ui.interact(places.numbers, id.with("numbers"), Sense::click_and_drag());
    let mut asked = None;
    if extent > 0 && !sheet.shown().is_empty() {
        point(ui, &places, sheet, extent, &body, &numbers);
        asked = keys(ui, &places, sheet, extent, &body);
    }
    sheet.clamp(extent, places.rows_in_sight, places.body.width());

    let rows = sheet.top as u64..((sheet.top + places.rows_in_sight).ceil() as u64).min(extent);
    let columns = sheet.columns_in(sheet.left, sheet.left + places.body.width());
    if let (Some(&first), Some(&last)) =
        (sheet.shown().get(columns.start), sheet.shown().get(columns.end.saturating_sub(1)))
    {
        cache.want(desk, rows.clone(), first..last + 1);
    }

    ui.painter().rect_filled(whole, 0, theme.panel);
    paint_cells(ui, &places, cache, sheet, rows.clone(), columns.clone(), &body);
    paint_numbers(ui, &places, sheet, rows, extent);
    asked = head::show(ui, places.head, cache.columns(), sheet, columns, profile).or(asked);
    // The corner, where a click selects everything.
    let corner = Rect::from_min_max(whole.min, Pos2::new(places.body.left(), places.body.top()));
    ui.painter().rect_filled(corner, 0, theme.panel);
    ui.painter().hline(whole.x_range(), places.body.top() - 0.5, theme.border());
    ui.painter().vline(places.body.left() - 0.5, Rangef::new(whole.top(), places.body.bottom()), theme.border());
    bars(ui, &places, sheet, extent);
    if body.has_focus() {
        let ring = places.body.shrink(1.0);
        ui.painter().rect_stroke(ring, 0, egui::Stroke::new(1.0, theme.accent), egui::StrokeKind::Inside);
    }
    let menu = &mut asked;
    body.context_menu(|ui| {
        if ui.button("Copy").clicked() {
            *menu = Some(Asked::Copy { names: false });
        }
        if ui.button("Copy with names").clicked() {
            *menu = Some(Asked::Copy { names: true });
        }
    });
    body.widget_info(|| {
        let mut info = WidgetInfo::labeled(WidgetType::Other, true, format!("Rows of {name}"));
        info.current_text_value =
            sheet.cursor.and_then(|at| match cache.cell(at.row, *sheet.shown().get(at.column)?) {
                Cell::Text(text) => Some(text.to_owned()),
                _ => None,
            });
        info
    });
    asked
}

fn scroll(ui: &mut Ui, places: &Places, sheet: &mut Sheet) {
    if !ui.rect_contains_pointer(places.whole) {
        return;
    }
    let delta = ui.input_mut(|input| std::mem::take(&mut input.smooth_scroll_delta));
    sheet.top -= f64::from(delta.y / size::ROW);
    sheet.left -= delta.x;
}

fn point(ui: &Ui, places: &Places, sheet: &mut Sheet, extent: u64, body: &Response, numbers: &Response) {
    let (pointer, shift) = ui.input(|input| (input.pointer.interact_pos(), input.modifiers.shift));
    let Some(pointer) = pointer else { return };
    for (response, span) in [(body, Span::Cells), (numbers, Span::Rows)] {
        let pressed = response.is_pointer_button_down_on() && ui.input(|input| input.pointer.primary_pressed());
        let menu = response.secondary_clicked() && sheet.selection(extent).is_none();
        if pressed || menu {
            body.request_focus();
            sheet.span = span;
            let at = At { row: places.row_at(sheet, pointer.y, extent), column: places.column_at(sheet, pointer.x) };
            sheet.move_to(at, shift);
        } else if response.dragged_by(egui::PointerButton::Primary) {
            // Beyond the edge it scrolls on.
            let beyond = (pointer.y - places.body.bottom()).max(0.0) - (places.body.top() - pointer.y).max(0.0);
            if beyond != 0.0 {
                sheet.top += f64::from(beyond / size::ROW * 0.2);
                sheet.clamp(extent, places.rows_in_sight, places.body.width());
                ui.ctx().request_repaint();
            }
            let y = pointer.y.clamp(places.body.top(), places.body.bottom() - 1.0);
            let x = pointer.x.clamp(places.body.left(), places.body.right() - 1.0);
            let at = At { row: places.row_at(sheet, y, extent), column: places.column_at(sheet, x) };
            sheet.move_to(at, true);
        }
    }
}

fn keys(ui: &Ui, places: &Places, sheet: &mut Sheet, extent: u64, body: &Response) -> Option<Asked> {
    if body.gained_focus() && sheet.cursor.is_none() {
        sheet.move_to(At { row: sheet.top.ceil() as u64, column: 0 }, false);
    }
    if !body.has_focus() {
        return None;
    }
    let filter = EventFilter { horizontal_arrows: true, vertical_arrows: true, ..EventFilter::default() };
    ui.memory_mut(|memory| memory.set_focus_lock_filter(body.id, filter));
    let last_row = extent.saturating_sub(1);
    let last_column = sheet.shown().len().saturating_sub(1);
    let page = (places.rows_in_sight as u64).saturating_sub(1).max(1);
    let mut asked = None;
    let events = ui.input(|input| input.filtered_events(&filter));
    for event in events {
        match event {
            Event::Copy => asked = Some(Asked::Copy { names: false }),
            Event::Key { key, pressed: true, modifiers, .. } => {
                let mut at = sheet.cursor.unwrap_or(At { row: sheet.top as u64, column: 0 });
                let far = modifiers.command;
                match key {
                    Key::ArrowDown => at.row = if far { last_row } else { (at.row + 1).min(last_row) },
                    Key::ArrowUp => at.row = if far { 0 } else { at.row.saturating_sub(1) },
                    Key::ArrowRight => at.column = if far { last_column } else { (at.column + 1).min(last_column) },
                    Key::ArrowLeft => at.column = if far { 0 } else { at.column.saturating_sub(1) },
                    Key::PageDown => at.row = (at.row + page).min(last_row),
                    Key::PageUp => at.row = at.row.saturating_sub(page),
                    Key::Home => (at.row, at.column) = (if far { 0 } else { at.row }, 0),
                    Key::End => (at.row, at.column) = (if far { last_row } else { at.row }, last_column),
                    Key::A if far => {
                        sheet.anchor = Some(At { row: 0, column: 0 });
                        sheet.cursor = Some(At { row: last_row, column: last_column });
                        sheet.span = Span::Cells;
                        continue;
                    }
                    _ => continue,
                }
                if !modifiers.shift {
                    sheet.span = Span::Cells;
                }
                sheet.move_to(at, modifiers.shift);
                sheet.reveal(at, places.rows_in_sight, places.body.width());
            }
            _ => {}
        }
    }
    asked
}

fn paint_cells(
    ui: &Ui,
    places: &Places,
    cache: &RowCache,
    sheet: &Sheet,
    rows: std::ops::Range<u64>,
    columns: std::ops::Range<usize>,
    body: &Response,
) {
    let theme = Theme::of(ui);
    let painter = ui.painter().with_clip_rect(places.body.intersect(ui.clip_rect()));
    let pointer = body.hovered().then(|| ui.input(|input| input.pointer.hover_pos())).flatten();
    let hovered = pointer.map(|at| places.row_at(sheet, at.y, cache.extent()));
    let selection = sheet.selection(cache.extent());
    let (mono, text) = (theme::mono(font_size::MONO), theme::regular(font_size::BODY - 0.5));
    let waiting = mix(theme.panel, theme.text, 0.07);
    for row in rows {
        let y = places.y(sheet, row);
        let line = Rect::from_min_size(Pos2::new(places.body.left(), y), Vec2::new(places.body.width(), size::ROW));
        if hovered == Some(row) {
            painter.rect_filled(line, 0, mix(theme.panel, theme.text, 0.035));
        }
        for place in columns.clone() {
            let [from, to] = sheet.edges(place).map(|edge| places.x(sheet, edge));
            let Some(&column) = sheet.shown().get(place) else { continue };
            let cell = Rect::from_min_max(Pos2::new(from, y), Pos2::new(to, y + size::ROW));
            if selection.as_ref().is_some_and(|(rows, columns)| rows.contains(&row) && columns.contains(&place)) {
                painter.rect_filled(cell, 0, theme.soft);
            }
            let dtype = cache.columns().get(column).map_or(DataType::Other, |column| column.dtype);
            match cache.cell(row, column) {
                Cell::Waiting => {
                    let share = 0.35 + ((row * 7 + column as u64 * 3) % 5) as f32 * 0.09;
                    let width = (cell.width() - 2.0 * PAD).max(8.0) * share;
                    let bar = Rect::from_center_size(cell.center(), Vec2::new(width, 7.0));
                    let bar = if dtype.is_numeric() {
                        bar.translate(Vec2::new(cell.right() - PAD - bar.right(), 0.0))
                    } else {
                        bar.translate(Vec2::new(cell.left() + PAD - bar.left(), 0.0))
                    };
                    painter.rect_filled(bar, 3, waiting);
                }
                Cell::Missing => cell_text(&painter, cell, dtype, "–", mono.clone(), theme.faint),
                Cell::Text(value) => {
                    let font = if is_mono(dtype) { mono.clone() } else { text.clone() };
                    cell_text(&painter, cell, dtype, value, font, theme.text);
                }
            }
            if sheet.cursor == Some(At { row, column: place }) {
                let line = egui::Stroke::new(1.5, theme.accent);
                painter.rect_stroke(cell.shrink(0.5), 2, line, egui::StrokeKind::Inside);
            }
        }
        painter.hline(
            places.body.x_range(),
            y + size::ROW - 0.5,
            egui::Stroke::new(1.0, mix(theme.panel, theme.line, 0.55)),
        );
    }
}

/// Whether values stand in figures of one width.
fn is_mono(dtype: DataType) -> bool {
    !matches!(dtype, DataType::Text | DataType::Other)
}

fn cell_text(painter: &Painter, cell: Rect, dtype: DataType, value: &str, font: FontId, color: egui::Color32) {
    let room = cell.width() - 2.0 * PAD;
    // No more than could be seen is laid out, and one line of it.
    let most = (room / 4.0).max(4.0) as usize;
    let first = value.lines().next().unwrap_or("");
    let end = first.char_indices().nth(most).map_or(first.len(), |(at, _)| at);
    let galley = painter.layout_no_wrap(first[..end].to_owned(), font, color);
    let fits = galley.size().x <= room;
    let right = matches!(dtype, DataType::Int | DataType::Float | DataType::Duration);
    let y = cell.center().y - galley.size().y / 2.0;
    if fits {
        let x = if right { cell.right() - PAD - galley.size().x } else { cell.left() + PAD };
        painter.galley(Pos2::new(x, y), galley, color);
    } else {
        let clip = Rect::from_min_max(cell.min + Vec2::new(PAD, 0.0), cell.max - Vec2::new(PAD + 8.0, 0.0));
        let clipped = painter.with_clip_rect(clip.intersect(painter.clip_rect()));
        clipped.galley(Pos2::new(cell.left() + PAD, y), galley, color);
        let dots = Pos2::new(cell.right() - PAD + 2.0, cell.center().y);
        painter.text(dots, Align2::RIGHT_CENTER, "…", theme::regular(font_size::BODY), color);
    }
}

fn paint_numbers(ui: &Ui, places: &Places, sheet: &Sheet, rows: std::ops::Range<u64>, extent: u64) {
    let theme = Theme::of(ui);
    ui.painter().rect_filled(places.numbers, 0, mix(theme.panel, theme.sunken, 0.5));
    let painter = ui.painter().with_clip_rect(places.numbers.intersect(ui.clip_rect()));
    let selected = sheet.selection(extent);
    for row in rows {
        let y = places.y(sheet, row) + size::ROW / 2.0;
        let on = selected.as_ref().is_some_and(|(rows, _)| rows.contains(&row));
        let at = Pos2::new(places.numbers.right() - PAD, y);
        let ink = if on { theme.text } else { theme.muted };
        painter.text(at, Align2::RIGHT_CENTER, format::count(row + 1), theme::mono(font_size::LABEL), ink);
    }
}

fn bars(ui: &mut Ui, places: &Places, sheet: &mut Sheet, extent: u64) {
    let theme = Theme::of(ui);
    let right = Rect::from_min_max(
        Pos2::new(places.body.right(), places.body.top()),
        Pos2::new(places.whole.right(), places.body.bottom()),
    );
    let below = Rect::from_min_max(
        Pos2::new(places.body.left(), places.body.bottom()),
        Pos2::new(places.body.right(), places.whole.bottom()),
    );
    let strip = Rect::from_min_max(Pos2::new(places.whole.left(), below.top()), places.whole.max);
    ui.painter().rect_filled(strip, 0, theme.panel);
    ui.painter().rect_filled(
        Rect::from_min_max(Pos2::new(right.left(), places.whole.top()), right.max),
        0,
        theme.panel,
    );
    let most = extent as f64 - places.rows_in_sight;
    if most > 0.0 {
        let share = (places.rows_in_sight / extent as f64) as f32;
        let now = (sheet.top / most) as f32;
        if let Some(to) = bar(ui, right, true, share, now, "Scroll rows") {
            sheet.top = (f64::from(to) * most).round();
            let name = format!("Row {}", format::count(sheet.top as u64 + 1));
            tip(ui.ctx(), ui.painter(), Pos2::new(right.left() - 8.0, right.top() + to * right.height()), &name);
        }
    }
    let most = sheet.width() - places.body.width();
    if most > 0.5 {
        let share = places.body.width() / sheet.width();
        if let Some(to) = bar(ui, below, false, share, sheet.left / most, "Scroll columns") {
            sheet.left = to * most;
        }
    }
}

/// A scroll bar; where it was dragged to, from 0 to 1.
fn bar(ui: &Ui, track: Rect, upright: bool, share: f32, now: f32, name: &str) -> Option<f32> {
    let theme = Theme::of(ui);
    let response = ui.interact(track, ui.id().with(name), Sense::click_and_drag());
    response.widget_info(|| WidgetInfo::labeled(WidgetType::Slider, true, name));
    let along = |at: Pos2| if upright { at.y - track.top() } else { at.x - track.left() };
    let length = if upright { track.height() } else { track.width() };
    let thumb = (share * length).clamp(28.0_f32.min(length), length);
    let room = (length - thumb).max(1.0);
    let mut begin = now.clamp(0.0, 1.0) * room;
    let mut moved = None;
    let grip = response.id.with("grip");
    if let Some(pointer) = response.interact_pointer_pos()
        && response.is_pointer_button_down_on()
    {
        let at = along(pointer);
        if ui.input(|input| input.pointer.primary_pressed()) {
            let held = if (begin..begin + thumb).contains(&at) { at - begin } else { thumb / 2.0 };
            ui.data_mut(|data| data.insert_temp(grip, held));
        }
        let held: f32 = ui.data(|data| data.get_temp(grip)).unwrap_or(thumb / 2.0);
        begin = (at - held).clamp(0.0, room);
        moved = Some(begin / room);
    }
    let lively = response.hovered() || response.is_pointer_button_down_on();
    let thick = if lively { 8.0 } else { 6.0 };
    let piece = if upright {
        Rect::from_min_size(Pos2::new(track.center().x - thick / 2.0, track.top() + begin), Vec2::new(thick, thumb))
    } else {
        Rect::from_min_size(Pos2::new(track.left() + begin, track.center().y - thick / 2.0), Vec2::new(thumb, thick))
    };
    ui.painter().rect_filled(piece, 4, mix(theme.panel, theme.text, if lively { 0.4 } else { 0.22 }));
    moved
}

/// A word beside the pointer while something is dragged.
fn tip(ctx: &Context, painter: &Painter, right_middle: Pos2, text: &str) {
    let theme = Theme::on(ctx.theme() == egui::Theme::Dark);
    let galley = painter.layout_no_wrap(text.to_owned(), theme::mono(font_size::MONO), theme.text);
    let wanted = galley.size() + Vec2::new(16.0, 8.0);
    let rect = Rect::from_min_size(right_middle - Vec2::new(wanted.x, wanted.y / 2.0), wanted);
    painter.rect(rect, theme::radius::CONTROL, theme.raised, theme.border(), egui::StrokeKind::Inside);
    painter.galley(rect.min + Vec2::new(8.0, 4.0), galley, theme.text);
    ctx.set_cursor_icon(CursorIcon::Grabbing);
}
