//! The page Home: the front door. Workspaces, where the user was, and the guided start.

mod answer;
mod guide;
mod now;
mod places;
mod steps;

use athanor_protocol::api::Event;
use egui::{RichText, Ui};

use self::{guide::Guide, now::Now, places::Places};
use super::{Command, Cx, Go, Page, scrolled};
use crate::{
    icons::{self, ph},
    theme::{self, Theme, font_size, size},
    widgets,
};

/// The content's greatest width.
const MOST_WIDTH: f32 = 1120.0;
/// Width of the column at the right.
const SIDE: f32 = 340.0;
/// Below this width the columns stand under each other.
const ONE_COLUMN_BELOW: f32 = 780.0;
/// Whether the guided start is hidden.
const HIDDEN: &str = "home.guide";

/// The page Home.
#[derive(Default)]
pub struct HomePage {
    places: Places,
    guide: Guide,
    now: Now,
    /// Files that were dropped while no workspace was open: they wait for one.
    dropped: Vec<String>,
}

impl HomePage {
    /// Files were dropped before there was a workspace: one is made for them, named after the first.
    fn drop_files(&mut self, paths: &[String], cx: &mut Cx<'_>) {
        self.dropped = paths.to_vec();
        if self.places.is_opening() {
            return;
        }
        let Some(first) = paths.first() else { return };
        let folder = cx.desk.hello().map(|hello| hello.default_folder.clone()).unwrap_or_default();
        self.places.open(cx.desk, &places::join(&folder, &places::name_for(first)), true);
    }

    fn sample(&mut self, cx: &mut Cx<'_>) {
        cx.desk.remember(HIDDEN, "shown");
        self.places.sample(cx.desk);
    }

    /// Nothing is open yet: one thing to do, the others beside it.
    fn welcome_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        let theme = Theme::of(ui);
        ui.add_space((ui.ctx().content_rect().height() * 0.04).clamp(0.0, 48.0));
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 10.0;
            ui.label(icons::text(ph::FLAME, 34.0).color(theme.accent));
            ui.label(
                RichText::new("Welcome to Athanor").font(theme::semibold(font_size::FIGURE + 4.0)).color(theme.text),
            );
        });
        let text = "From a table to a model that answers, on your own machine. Nothing leaves it.";
        ui.label(RichText::new(text).size(font_size::TITLE - 1.0).color(theme.muted));
        ui.add_space(size::SMALL_GAP);
        let wide = ui.available_width() >= ONE_COLUMN_BELOW;
        columns(
            ui,
            wide,
            self,
            cx,
            |page, ui, cx| {
                widgets::card(ui, |ui| {
                    ui.spacing_mut().item_spacing.y = size::SMALL_GAP;
                    widgets::inspector_title(ui, "Your first model, in two minutes", "");
                    let text = "The sample workspace has real tables and a workflow for each. \
                                The guided start takes you through one of them, to an endpoint that answers.";
                    ui.add(egui::Label::new(RichText::new(text).color(theme.muted)).wrap());
                    ui.add_space(size::TINY_GAP);
                    for (at, line) in ["Open a real table", "Train a model", "Publish it", "Ask it"].iter().enumerate()
                    {
                        widgets::tight(ui, |ui| {
                            let number = RichText::new((at + 1).to_string())
                                .font(theme::mono(font_size::MONO))
                                .color(theme.accent);
                            ui.label(number);
                            ui.label(RichText::new(*line).color(theme.text));
                        });
                    }
                    ui.add_space(size::SMALL_GAP);
                    let may = !page.places.is_opening();
                    ui.add_enabled_ui(may, |ui| {
                        if widgets::primary(ui, ph::FLAME, "Open the sample workspace").clicked() {
                            page.sample(cx);
                        }
                    });
                    if !page.places.has_form() {
                        page.places.state_ui(ui, cx.desk);
                    }
                });
            },
            |page, ui, cx| page.workspaces_ui(ui, cx, "Your workspaces"),
        );
    }

    fn workspaces_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>, title: &str) {
        widgets::card(ui, |ui| {
            widgets::heading(ui, title, "");
            ui.add_space(size::TINY_GAP);
            ui.horizontal_wrapped(|ui| {
                ui.add_enabled_ui(!self.places.is_opening(), |ui| {
                    if widgets::secondary(ui, ph::FOLDER_PLUS, "New workspace").clicked() {
                        self.places.make(cx.desk);
                    }
                    if widgets::secondary(ui, ph::FOLDER_OPEN, "Open folder").clicked() {
                        self.places.choose(cx.desk);
                    }
                });
            });
            ui.add_space(size::TINY_GAP);
            self.places.recent_ui(ui, cx.desk);
        });
    }

    fn open_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        self.now.keep(cx.desk);
        let hidden = cx.desk.remembered(HIDDEN) == Some("hidden");
        if !hidden {
            self.guide.keep(cx.desk);
        }
        let wide = ui.available_width() >= ONE_COLUMN_BELOW;
        columns(
            ui,
            wide,
            self,
            cx,
            |page, ui, cx| {
                if hidden {
                    page.workspace_ui(ui, cx);
                    page.continue_card(ui, cx);
                } else {
                    page.guide_ui(ui, cx);
                }
            },
            |page, ui, cx| {
                if !hidden {
                    page.workspace_ui(ui, cx);
                    if page.now.has_work(cx.desk) {
                        page.continue_card(ui, cx);
                    }
                }
                page.workspaces_ui(ui, cx, "Other workspaces");
                if hidden && widgets::link(ui, "Show the guided start").clicked() {
                    cx.desk.remember(HIDDEN, "shown");
                }
            },
        );
    }

    fn workspace_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        let Some(open) = cx.desk.workspace().cloned() else { return };
        widgets::card(ui, |ui| {
            ui.spacing_mut().item_spacing.y = size::SMALL_GAP;
            now::title_ui(ui, &open.name, &open.path, open.read_only);
            self.now.figures_ui(ui, cx);
            self.now.error_ui(ui);
            if !self.places.has_form() {
                self.places.state_ui(ui, cx.desk);
            }
        });
    }

    fn continue_card(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        widgets::card(ui, |ui| {
            widgets::heading(ui, "Where you were", "");
            ui.add_space(size::TINY_GAP);
            if self.now.has_work(cx.desk) {
                self.now.continue_ui(ui, cx);
            } else {
                widgets::muted(ui, "Nothing yet. Open a table, and make a workflow of it.");
                ui.add_space(size::TINY_GAP);
                if widgets::primary(ui, ph::TABLE, "Open a table").clicked() {
                    cx.go.push(super::Go::To(super::Route::Data));
                }
            }
        });
    }

    fn guide_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        widgets::card(ui, |ui| {
            steps::ends(
                ui,
                |ui| widgets::inspector_title(ui, "Your first model", ""),
                |ui| {
                    if widgets::quiet(ui, ph::EYE_SLASH, "Hide").on_hover_text("Hide the guided start").clicked() {
                        cx.desk.remember(HIDDEN, "hidden");
                    }
                },
            );
            widgets::muted(ui, "Four steps, with a real table, to an endpoint that answers.");
            ui.add_space(size::SMALL_GAP);
            if let Some(failure) = self.guide.error().cloned() {
                if widgets::failure(ui, &failure) {
                    self.guide.retry();
                }
                return;
            }
            if !self.guide.is_known() {
                ui.add_space(size::GAP);
                widgets::loading(ui, "Looking at the workspace");
                return;
            }
            if steps::show(ui, &mut self.guide, cx) == Some(steps::Asked::Sample) {
                self.sample(cx);
            }
            if self.guide.next().is_none() {
                ui.add_space(size::SMALL_GAP);
                steps::finished(ui, cx);
            }
        });
        if self.guide.is_live() {
            ui.ctx().request_repaint_after_secs(0.25);
        }
    }
}

/// The main column and the one at its side, or both under each other.
fn columns(
    ui: &mut Ui,
    wide: bool,
    page: &mut HomePage,
    cx: &mut Cx<'_>,
    main: impl FnOnce(&mut HomePage, &mut Ui, &mut Cx<'_>),
    side: impl FnOnce(&mut HomePage, &mut Ui, &mut Cx<'_>),
) {
    if !wide {
        main(page, ui, cx);
        side(page, ui, cx);
        return;
    }
    ui.horizontal_top(|ui| {
        ui.spacing_mut().item_spacing.x = size::GAP;
        let width = ui.available_width() - SIDE - size::GAP;
        ui.allocate_ui(egui::vec2(width, 0.0), |ui| {
            ui.vertical(|ui| {
                ui.set_width(width);
                ui.spacing_mut().item_spacing.y = size::GAP;
                main(page, ui, cx);
            });
        });
        ui.vertical(|ui| {
            ui.set_width(SIDE);
            ui.spacing_mut().item_spacing.y = size::GAP;
            side(page, ui, cx);
        });
    });
}

impl Page for HomePage {
    fn title(&self) -> String {
        "Home".to_owned()
    }

    fn fact(&self, cx: &Cx<'_>) -> String {
        cx.desk.workspace().map(|open| open.name.clone()).unwrap_or_default()
    }

    fn ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        self.places.form_ui(ui, cx.desk);
        scrolled(ui, "home", |ui| {
            let room = ui.available_width();
            let width = room.min(MOST_WIDTH);
            ui.horizontal_top(|ui| {
                ui.spacing_mut().item_spacing.x = 0.0;
                ui.add_space(((room - width) / 2.0).floor());
                ui.vertical(|ui| {
                    ui.set_width(width);
                    ui.spacing_mut().item_spacing.y = size::GAP;
                    if cx.desk.hello().is_none() {
                        widgets::loading(ui, "Waiting for the engine");
                    } else if cx.desk.workspace().is_none() {
                        self.welcome_ui(ui, cx);
                    } else {
                        self.open_ui(ui, cx);
                    }
                });
            });
        });
    }

    fn event(&mut self, event: &Event, cx: &mut Cx<'_>) {
        if let Event::FilesDropped { paths } = event
            && cx.desk.hello().is_some()
            && cx.desk.workspace().is_none()
        {
            self.drop_files(paths, cx);
        }
        self.guide.event(event);
        self.now.event(event);
    }

    fn tick(&mut self, cx: &mut Cx<'_>) {
        self.places.tick(cx);
        self.guide.tick(cx);
        if !self.dropped.is_empty() && cx.desk.workspace().is_some() {
            cx.go.push(Go::Files(std::mem::take(&mut self.dropped)));
        }
    }

    fn commands(&self, _cx: &Cx<'_>) -> Vec<Command> {
        vec![
            Command::new("home.new", "New workspace", ph::FOLDER_PLUS, ""),
            Command::new("home.open", "Open a workspace folder", ph::FOLDER_OPEN, ""),
            Command::new("home.sample", "Open the sample workspace", ph::FLAME, ""),
            Command::new("home.guide", "Show or hide the guided start", ph::EYE, ""),
        ]
    }

    fn run(&mut self, command: &str, cx: &mut Cx<'_>) {
        match command {
            "home.new" => self.places.make(cx.desk),
            "home.open" => self.places.choose(cx.desk),
            "home.sample" => self.sample(cx),
            "home.guide" => {
                let hidden = cx.desk.remembered(HIDDEN) == Some("hidden");
                cx.desk.remember(HIDDEN, if hidden { "shown" } else { "hidden" });
            }
            _ => {}
        }
    }
}
