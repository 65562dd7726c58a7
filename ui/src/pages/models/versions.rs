//! The versions of a model, newest first.

use athanor_protocol::{
    governance::Stage,
    registry::{ModelVersion, PRODUCTION},
};
use egui::{
    Align, Align2, Color32, CursorIcon, Layout, Pos2, Rect, RichText, Sense, Ui, UiBuilder, Vec2, WidgetInfo,
    WidgetType,
};

use super::{
    Act, Aside, ModelsPage, is_production,
    names::{key_metrics, metric_of, metric_title, split_title, value as value_text},
    stages::{stage_color, stage_pill, stage_title, verb},
};
use crate::{
    format,
    icons::ph,
    pages::Cx,
    theme::{self, Theme, font_size, mix, radius, size},
    widgets,
};

const HEIGHT: f32 = 56.0;
const METRIC: f32 = 76.0;
const CREATED: f32 = 86.0;
/// The least width of the version's name with its aliases.
const NAME: f32 = 118.0;
const BYTES: f32 = 70.0;
const BUTTONS: f32 = 66.0;

/// Makes a version the one that is served.
pub(super) fn promote(item: &ModelVersion) -> Act {
    move_to(item, PRODUCTION)
}

fn move_to(item: &ModelVersion, alias: &str) -> Act {
    let label = if alias == PRODUCTION {
        format!("Promoted {} version {} to production", item.model, item.version)
    } else {
        format!("{alias} of {} is version {} now", item.model, item.version)
    };
    Act::Move { alias: alias.to_owned(), version: Some(item.version), label }
}

/// Makes the version before the one in production the one that is served, where no history tells which that was.
pub(super) fn roll_back_to(item: &ModelVersion, to: u32) -> Act {
    let label = format!("Rolled back {} to version {to}", item.model);
    Act::Move { alias: PRODUCTION.to_owned(), version: Some(to), label }
}

/// Whether another version is in production, from which this one can take over step by step. The one in production may
/// not be loaded yet: then the form finds out.
pub(super) fn may_roll_out(item: &ModelVersion, items: &[ModelVersion]) -> bool {
    !is_production(item) && items.iter().any(is_production)
}

/// Where the parts of a row stand.
struct Places {
    check: Rect,
    name: Rect,
    metrics: Vec<Rect>,
    created: Option<Rect>,
    bytes: Option<Rect>,
    buttons: Rect,
}

impl Places {
    fn new(rect: Rect, n_metrics: usize) -> Self {
        let mut right = rect.right() - 8.0;
        let mut take = |width: f32| {
            right -= width;
            Rect::from_min_max(Pos2::new(right, rect.top()), Pos2::new(right + width, rect.bottom()))
        };
        let room = rect.width() - 8.0 - 36.0 - NAME - BUTTONS;
        let buttons = take(BUTTONS);
        // One metric goes before everything, the others before the size.
        let created_too = room >= CREATED + METRIC;
        let left_over = if created_too { room - CREATED } else { room };
        let n_metrics = n_metrics.min((left_over.max(0.0) / METRIC) as usize);
        let bytes_too = created_too && left_over >= BYTES + n_metrics as f32 * METRIC;
        let bytes = bytes_too.then(|| take(BYTES));
        let created = created_too.then(|| take(CREATED));
        let mut metrics: Vec<Rect> = (0..n_metrics).map(|_| take(METRIC)).collect();
        metrics.reverse();
        let check = Rect::from_min_size(rect.min, Vec2::new(36.0, rect.height()));
        let name = Rect::from_min_max(Pos2::new(rect.left() + 40.0, rect.top()), Pos2::new(right - 8.0, rect.bottom()));
        Self { check, name, metrics, created, bytes, buttons }
    }
}

impl ModelsPage {
    pub(super) fn versions_card(&mut self, ui: &mut Ui, cx: &mut Cx<'_>, acts: &mut Vec<Act>, height: Option<f32>) {
        let room = ui.available_height();
        widgets::card(ui, |ui| {
            if let Some(height) = height {
                ui.set_height(height);
            } else {
                ui.set_height((room - 2.0 * f32::from(size::CARD) - 2.0).max(120.0));
            }
            self.versions_ui(ui, cx, acts);
        });
    }

    fn versions_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>, acts: &mut Vec<Act>) {
        let theme = cx.theme;
        let name = self.model.clone().unwrap_or_default();
        ui.horizontal(|ui| {
            ui.set_height(size::CONTROL);
            let room = ui.available_width();
            ui.allocate_ui_with_layout(
                Vec2::new(room - 240.0, size::CONTROL),
                Layout::left_to_right(Align::Center),
                |ui| {
                    let text = RichText::new(&name).font(theme::semibold(font_size::TITLE)).color(theme.text);
                    ui.add(egui::Label::new(text).truncate().selectable(true));
                },
            );
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                let ready = self.marked.len() == 2;
                ui.add_enabled_ui(ready, |ui| {
                    let response = widgets::secondary(ui, ph::SCALES, "Compare");
                    let why =
                        if ready { "Put the two marked versions side by side" } else { "Mark two versions first" };
                    if response.on_hover_text(why).on_disabled_hover_text(why).clicked() {
                        acts.push(Act::Compare(true));
                    }
                });
                let history = widgets::icon_button(ui, ph::CLOCK_COUNTER_CLOCKWISE, "History and rules of this model");
                if history.clicked() {
                    acts.push(Act::Aside(Some(Aside::History)));
                }
                if !self.marked.is_empty() {
                    widgets::muted(ui, &format!("{} of 2 marked", self.marked.len()));
                }
            });
        });
        if let Some(failure) = self.versions.error() {
            if widgets::failure(ui, failure) {
                acts.push(Act::Again);
            }
            return;
        }
        if !self.versions.is_loaded() {
            if self.versions.slow(cx.desk) {
                widgets::loading(ui, "Loading versions");
            }
            return;
        }
        let items = self.versions.items();
        let keys = items.first().map(|newest| key_metrics(newest, 2)).unwrap_or_default();
        let best: Vec<Option<u32>> = keys.iter().map(|key| best_of(items, key)).collect();
        ui.spacing_mut().item_spacing.y = 0.0;
        headings(ui, theme, &keys);
        let more = self.versions.has_more();
        let n_rows = items.len() + usize::from(more);
        let may_change = cx.desk.may_change();
        let now = cx.desk.now_millis();
        let back_to = self.back_to();
        egui::ScrollArea::vertical().id_salt(("versions", &name)).auto_shrink([false, false]).show_rows(
            ui,
            HEIGHT,
            n_rows,
            |ui, rows| {
                for at in rows {
                    let Some(item) = items.get(at) else {
                        ui.allocate_ui(Vec2::new(ui.available_width(), HEIGHT), |ui| {
                            ui.centered_and_justified(|ui| {
                                if widgets::link(ui, "Show older versions").clicked() {
                                    acts.push(Act::MoreVersions);
                                }
                            });
                        });
                        continue;
                    };
                    let shown = Shown {
                        item,
                        items,
                        keys: &keys,
                        best: &best,
                        on: self.version == Some(item.version),
                        marked: self.marked.contains(&item.version),
                        may_change,
                        back_to,
                        now,
                    };
                    shown.row(ui, theme, acts);
                }
            },
        );
    }
}

/// The version with the best value of a metric, where more than one has it.
fn best_of(items: &[ModelVersion], key: &str) -> Option<u32> {
    let name = key.rsplit('/').next().unwrap_or(key);
    let higher = athanor_protocol::metric::metric_info(name)?.higher_is_better?;
    let values =
        items.iter().filter_map(|item| Some((item.version, metric_of(item, key).filter(|value| value.is_finite())?)));
    let values: Vec<(u32, f64)> = values.collect();
    if values.len() < 2 {
        return None;
    }
    let best = values.into_iter().max_by(|(_, a), (_, b)| if higher { a.total_cmp(b) } else { b.total_cmp(a) });
    best.map(|(version, _)| version)
}

fn headings(ui: &mut Ui, theme: &Theme, keys: &[String]) {
    let (rect, _) = ui.allocate_exact_size(Vec2::new(ui.available_width(), 30.0), Sense::hover());
    let places = Places::new(rect, keys.len());
    let font = theme::regular(font_size::LABEL + 0.5);
    let painter = ui.painter();
    let y = rect.center().y;
    painter.text(Pos2::new(places.name.left(), y), Align2::LEFT_CENTER, "Version", font.clone(), theme.muted);
    for (place, key) in places.metrics.iter().zip(keys) {
        painter.text(Pos2::new(place.right(), y), Align2::RIGHT_CENTER, metric_title(key), font.clone(), theme.muted);
        let response = ui.interact(*place, ui.id().with(("metric-heading", key)), Sense::hover());
        response.on_hover_text(format!("{} on the {} rows", metric_title(key), split_title(key)));
    }
    if let Some(place) = places.created {
        painter.text(Pos2::new(place.right(), y), Align2::RIGHT_CENTER, "Created", font.clone(), theme.muted);
    }
    if let Some(place) = places.bytes {
        painter.text(Pos2::new(place.right(), y), Align2::RIGHT_CENTER, "Size", font, theme.muted);
    }
    painter.hline(rect.x_range(), rect.bottom() - 0.5, theme.border());
}

/// A version as a row shows it.
struct Shown<'a> {
    item: &'a ModelVersion,
    items: &'a [ModelVersion],
    keys: &'a [String],
    best: &'a [Option<u32>],
    on: bool,
    marked: bool,
    may_change: bool,
    /// The version that production would go back to.
    back_to: Option<u32>,
    now: i64,
}

impl Shown<'_> {
    fn row(&self, ui: &mut Ui, theme: &Theme, acts: &mut Vec<Act>) {
        let item = self.item;
        let (rect, response) = ui.allocate_exact_size(Vec2::new(ui.available_width(), HEIGHT), Sense::click());
        let name = format!("Version {}", item.version);
        response.widget_info(|| WidgetInfo::selected(WidgetType::Button, true, self.on, &name));
        let ground = if self.on {
            theme.soft
        } else if response.hovered() || response.contains_pointer() {
            mix(theme.panel, theme.text, 0.035)
        } else {
            Color32::TRANSPARENT
        };
        ui.painter().rect_filled(rect.shrink2(Vec2::new(0.0, 1.0)), radius::CONTROL, ground);
        ui.painter().hline(
            rect.x_range(),
            rect.bottom() - 0.5,
            egui::Stroke::new(1.0, mix(theme.panel, theme.line, 0.6)),
        );
        let places = Places::new(rect, self.keys.len());
        self.cells(ui, theme, &places, &name);
        widgets::focus_ring(ui, &response, rect.shrink(2.0));
        if response.clicked() || (response.gained_focus() && ui.input(|input| !input.pointer.any_down())) {
            acts.push(if ui.input(|input| input.modifiers.command) {
                Act::Mark(item.version)
            } else {
                Act::Version(item.version)
            });
        }
        response.on_hover_cursor(CursorIcon::PointingHand);
        let mut child = ui.new_child(
            UiBuilder::new()
                .id_salt(("check", item.version))
                .max_rect(places.check.shrink2(Vec2::new(10.0, 0.0)))
                .layout(Layout::left_to_right(Align::Center)),
        );
        if widgets::check(&mut child, self.marked, &format!("Mark version {} for comparison", item.version)).clicked() {
            acts.push(Act::Mark(item.version));
        }
        let layout = Layout::right_to_left(Align::Center);
        let mut child =
            ui.new_child(UiBuilder::new().id_salt(("buttons", item.version)).max_rect(places.buttons).layout(layout));
        child.spacing_mut().item_spacing.x = 2.0;
        let button = widgets::icon_button(&mut child, ph::DOTS_THREE, &format!("More about version {}", item.version));
        widgets::menu(&button, 220.0, |ui| self.menu(ui, acts));
        if let Some(run) = &item.run_id
            && widgets::icon_button(&mut child, ph::CHART_LINE, &format!("Show the run of version {}", item.version))
                .clicked()
        {
            acts.push(Act::Run(run.clone()));
        }
    }

    fn cells(&self, ui: &mut Ui, theme: &Theme, places: &Places, name: &str) {
        let item = self.item;
        let middle = places.name.center().y;
        let with_aliases = !item.aliases.is_empty();
        let at = Pos2::new(places.name.left(), if with_aliases { middle - 12.0 } else { middle });
        let drawn = ui.painter().text(at, Align2::LEFT_CENTER, name, theme::medium(font_size::BODY), theme.text);
        self.stage(
            ui,
            theme,
            Rect::from_min_max(
                Pos2::new(drawn.right() + 8.0, at.y - 10.0),
                Pos2::new(places.name.right(), at.y + 10.0),
            ),
        );
        if with_aliases {
            let place = Rect::from_min_max(
                Pos2::new(places.name.left(), middle),
                Pos2::new(places.name.right(), middle + 22.0),
            );
            let layout = Layout::left_to_right(Align::Center);
            let mut child =
                ui.new_child(UiBuilder::new().id_salt(("aliases", item.version)).max_rect(place).layout(layout));
            child.set_clip_rect(child.clip_rect().intersect(place));
            child.spacing_mut().item_spacing.x = 4.0;
            aliases_that_fit(&mut child, &item.aliases);
        }
        let painter = ui.painter();
        for ((place, key), best) in places.metrics.iter().zip(self.keys).zip(self.best) {
            let at = Pos2::new(place.right(), middle);
            let is_best = *best == Some(item.version);
            let (text, color) = match metric_of(item, key) {
                Some(value) => (value_text(value), if is_best { theme.ok } else { theme.text }),
                None => ("–".to_owned(), theme.faint),
            };
            painter.text(at, Align2::RIGHT_CENTER, text, theme::mono(font_size::MONO), color);
        }
        if let Some(place) = places.created {
            let text = format::ago(item.created_at_millis, self.now);
            painter.text(
                Pos2::new(place.right(), middle),
                Align2::RIGHT_CENTER,
                text,
                theme::regular(12.5),
                theme.muted,
            );
        }
        if let Some(place) = places.bytes {
            let text = format::bytes(item.n_bytes);
            painter.text(
                Pos2::new(place.right(), middle),
                Align2::RIGHT_CENTER,
                text,
                theme::mono(font_size::MONO),
                theme.muted,
            );
        }
        for ((place, key), best) in places.metrics.iter().zip(self.keys).zip(self.best) {
            if *best == Some(item.version) {
                let response = ui.interact(*place, ui.id().with(("best", item.version, key)), Sense::hover());
                response.on_hover_text(format!("The best {} of these versions", metric_title(key)));
            }
        }
    }

    /// How far it has come, beside its name: in words where there is room, else as a dot.
    fn stage(&self, ui: &mut Ui, theme: &Theme, place: Rect) {
        let stage = self.item.stage;
        if stage == Stage::None || place.width() < 10.0 {
            return;
        }
        let layout = Layout::left_to_right(Align::Center);
        let mut child =
            ui.new_child(UiBuilder::new().id_salt(("stage", self.item.version)).max_rect(place).layout(layout));
        let word = stage_title(stage);
        let font = theme::medium(font_size::LABEL);
        let width = child.painter().layout_no_wrap(word.to_owned(), font, theme.text).size().x + 14.0;
        if width <= place.width() {
            stage_pill(&mut child, stage);
        } else {
            let response = widgets::dot(&mut child, stage_color(theme, stage));
            response.widget_info(|| WidgetInfo::labeled(WidgetType::Label, true, word));
            response.on_hover_text(word);
        }
    }

    fn menu(&self, ui: &mut Ui, acts: &mut Vec<Act>) {
        let item = self.item;
        ui.add_enabled_ui(self.may_change, |ui| {
            if !is_production(item) && widgets::menu_item(ui, ph::ARROW_FAT_LINE_UP, "Promote to production").clicked()
            {
                acts.push(promote(item));
            }
            if may_roll_out(item, self.items) && widgets::menu_item(ui, ph::ARROWS_SPLIT, "Roll out").clicked() {
                acts.push(Act::RollOut(item.version));
            }
            if is_production(item)
                && let Some(to) = self.back_to
                && widgets::menu_item(ui, ph::ARROW_COUNTER_CLOCKWISE, &format!("Roll back to version {to}")).clicked()
            {
                acts.push(Act::RollBack);
            }
            let mut others: Vec<&str> = self
                .items
                .iter()
                .flat_map(|other| &other.aliases)
                .map(String::as_str)
                .filter(|alias| *alias != PRODUCTION && !item.aliases.iter().any(|own| own == alias))
                .collect();
            others.sort_unstable();
            others.dedup();
            for alias in others {
                if widgets::menu_item(ui, ph::TAG, &format!("Move {alias} here")).clicked() {
                    acts.push(move_to(item, alias));
                }
            }
            if widgets::menu_item(ui, ph::PLUS, "New alias").clicked() {
                acts.push(Act::AskAlias(item.version));
            }
            for alias in &item.aliases {
                if widgets::menu_item(ui, ph::X, &format!("Remove {alias}")).clicked() {
                    acts.push(remove(item, alias));
                }
            }
        });
        ui.add_space(3.0);
        widgets::rule(ui);
        ui.add_space(3.0);
        ui.add_enabled_ui(self.may_change, |ui| {
            for (stage, icon) in [
                (Stage::Candidate, ph::HAND_PALM),
                (Stage::Approved, ph::CHECK_CIRCLE),
                (Stage::Rejected, ph::X_CIRCLE),
                (Stage::Archived, ph::ARCHIVE),
            ] {
                if item.stage != stage && widgets::menu_item(ui, icon, verb(stage)).clicked() {
                    acts.push(Act::AskStage(item.version, stage));
                }
            }
            if widgets::menu_item(ui, ph::TRASH, "Delete").clicked() {
                acts.push(Act::AskDelete(item.version));
            }
        });
        ui.add_space(3.0);
        widgets::rule(ui);
        ui.add_space(3.0);
        if widgets::menu_item(ui, ph::ARTICLE, "Card").clicked() {
            acts.push(Act::Aside(Some(Aside::Card(item.version))));
        }
        if widgets::menu_item(ui, ph::TABLE, "Predict a table").clicked() {
            acts.push(Act::Predict(item.version));
        }
        if widgets::menu_item(ui, ph::SEAL_CHECK, "Verify").clicked() {
            acts.push(Act::Verify(item.version));
        }
        if widgets::menu_item(ui, ph::EXPORT, "Export").clicked() {
            acts.push(Act::Export(item.version));
        }
        if let Some(run) = &item.run_id
            && widgets::menu_item(ui, ph::CHART_LINE, "Show its run").clicked()
        {
            acts.push(Act::Run(run.clone()));
        }
    }
}

/// As many aliases as there is room for, then how many more there are.
fn aliases_that_fit(ui: &mut Ui, aliases: &[String]) {
    let mut room = ui.available_width();
    for (at, alias) in aliases.iter().enumerate() {
        let width =
            ui.painter().layout_no_wrap(alias.clone(), theme::mono(font_size::LABEL), Color32::PLACEHOLDER).size().x
                + 18.0;
        let more = if at + 1 < aliases.len() { 36.0 } else { 0.0 };
        if at > 0 && width + more > room {
            let rest = aliases.get(at..).unwrap_or_default();
            widgets::tag(ui, &format!("+{}", rest.len())).on_hover_text(rest.join("\n"));
            return;
        }
        room -= width;
        alias_tag(ui, alias);
    }
}

/// Takes an alias away.
pub(super) fn remove(item: &ModelVersion, alias: &str) -> Act {
    let label = format!("Removed {alias} from {} version {}", item.model, item.version);
    Act::Move { alias: alias.to_owned(), version: None, label }
}

/// An alias: production in the colour of what is well, the others quiet.
pub(super) fn alias_tag(ui: &mut Ui, alias: &str) {
    if alias == PRODUCTION {
        let theme = Theme::of(ui);
        widgets::small_pill(ui, theme.ok, alias);
    } else {
        widgets::tag(ui, alias);
    }
}
