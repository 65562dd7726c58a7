//! Workspaces: make one, open one, the sample, and those that were open before.

use athanor_protocol::{
    Code, Failure,
    api::{Pick, PickKind, RecentWorkspace, WorkspaceForget, WorkspaceOpen, WorkspaceSample},
};
use egui::{Align2, CursorIcon, Pos2, Rect, RichText, Sense, Ui, Vec2, WidgetInfo, WidgetType};

use crate::{
    desk::{Desk, Ticket},
    format,
    icons::{self, ph},
    pages::Cx,
    theme::{self, Theme, font_size, mix, radius, size},
    widgets,
};

/// Height of a recent workspace.
const ITEM: f32 = 48.0;
/// Most recent workspaces that are shown.
const MOST: usize = 8;

/// What a folder is chosen for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    Opening,
    Making,
}

/// The form for a new workspace, or for the path of one.
#[derive(Debug, Clone)]
struct Form {
    what: For,
    name: String,
    folder: String,
}

/// What is on its way.
enum Opening {
    Open(Ticket<WorkspaceOpen>, String),
    Sample(Ticket<WorkspaceSample>),
}

/// Workspaces on the page.
#[derive(Default)]
pub struct Places {
    form: Option<Form>,
    picking: Option<(For, Ticket<Pick>)>,
    opening: Option<Opening>,
    since: f64,
    forgetting: Vec<(String, Ticket<WorkspaceForget>)>,
    failure: Option<(Failure, String)>,
}

/// A folder's path with a name behind it, in the folder's own way of writing.
pub fn join(folder: &str, name: &str) -> String {
    let separator = if folder.contains('\\') && !folder.contains('/') { '\\' } else { '/' };
    let trimmed = folder.trim().trim_end_matches(separator);
    format!("{trimmed}{separator}{}", name.trim())
}

/// A name for a workspace that a file of this path begins.
pub fn name_for(path: &str) -> String {
    let file = path.rsplit(['/', '\\']).find(|part| !part.is_empty()).unwrap_or_default();
    let name = file.split('.').find(|part| !part.is_empty()).unwrap_or_default().trim();
    if wrong_name(name).is_none() { name.to_owned() } else { "tables".to_owned() }
}

/// Why a folder cannot have this name.
fn wrong_name(name: &str) -> Option<&'static str> {
    let name = name.trim();
    if name.is_empty() {
        Some("it needs a name")
    } else if name.contains(['/', '\\', ':', '\0', '*', '?', '"', '<', '>', '|']) {
        Some("a folder's name has none of / \\ : * ? \" < > |")
    } else if name.starts_with('.') || name.ends_with('.') {
        Some("it must not begin or end with a dot")
    } else {
        None
    }
}

impl Places {
    /// Whether a workspace is being opened.
    pub fn is_opening(&self) -> bool {
        self.opening.is_some()
    }

    /// Opens the sample workspace.
    pub fn sample(&mut self, desk: &mut Desk) {
        self.failure = None;
        self.since = desk.now_secs();
        self.opening = Some(Opening::Sample(desk.ask(WorkspaceSample {})));
    }

    /// Opens a folder.
    pub fn open(&mut self, desk: &mut Desk, path: &str, create: bool) {
        self.failure = None;
        self.since = desk.now_secs();
        let ask = WorkspaceOpen { path: path.to_owned(), create };
        self.opening = Some(Opening::Open(desk.ask(ask), path.to_owned()));
    }

    /// Lets the user choose a folder to open.
    pub fn choose(&mut self, desk: &mut Desk) {
        self.pick(desk, For::Opening, "Open a workspace");
    }

    fn pick(&mut self, desk: &mut Desk, what: For, title: &str) {
        let ask = Pick {
            kind: PickKind::Folder,
            title: title.to_owned(),
            filter_name: String::new(),
            extensions: vec![],
            file_name: String::new(),
            multiple: false,
        };
        self.picking = Some((what, desk.ask(ask)));
    }

    /// Opens the form for a new workspace.
    pub fn make(&mut self, desk: &Desk) {
        let folder = desk.hello().map(|hello| hello.default_folder.clone()).unwrap_or_default();
        self.form = Some(Form { what: For::Making, name: String::new(), folder });
    }

    /// Goes on with what was begun.
    pub fn tick(&mut self, cx: &mut Cx<'_>) {
        if let Some((what, ticket)) = self.picking
            && let Some(result) = cx.desk.take(ticket)
        {
            self.picking = None;
            match (result, what) {
                (Ok(picked), For::Opening) => {
                    if let Some(path) = picked.paths.first() {
                        self.open(cx.desk, path, false);
                    }
                }
                (Ok(picked), For::Making) => {
                    if let (Some(path), Some(form)) = (picked.paths.into_iter().next(), &mut self.form) {
                        form.folder = path;
                    }
                }
                // Where there is no dialog a path can still be typed.
                (Err(failure), For::Opening) if failure.code == Code::Unsupported => {
                    let folder = cx.desk.hello().map(|hello| hello.default_folder.clone()).unwrap_or_default();
                    self.form = Some(Form { what: For::Opening, name: String::new(), folder });
                }
                (Err(failure), For::Making) if failure.code == Code::Unsupported => {
                    cx.toasts.info("There is no dialog here: type the folder");
                }
                (Err(failure), _) => cx.toasts.failure(&failure),
            }
        }
        match self.opening.take() {
            Some(Opening::Open(ticket, path)) => match cx.desk.take(ticket) {
                None => self.opening = Some(Opening::Open(ticket, path)),
                Some(Ok(_)) => self.opened(cx),
                Some(Err(failure)) => self.failure = Some((failure, path)),
            },
            Some(Opening::Sample(ticket)) => match cx.desk.take(ticket) {
                None => self.opening = Some(Opening::Sample(ticket)),
                Some(Ok(_)) => self.opened(cx),
                Some(Err(failure)) => self.failure = Some((failure, String::new())),
            },
            None => {}
        }
        let mut failed = vec![];
        let before = self.forgetting.len();
        self.forgetting.retain(|(_, ticket)| match cx.desk.take(*ticket) {
            None => true,
            Some(result) => {
                failed.extend(result.err());
                false
            }
        });
        if self.forgetting.len() != before {
            cx.desk.refresh_hello();
        }
        for failure in failed {
            cx.toasts.failure(&failure);
        }
    }

    fn opened(&mut self, cx: &mut Cx<'_>) {
        self.form = None;
        cx.desk.refresh_hello();
    }

    /// What is on its way, and what went wrong.
    pub fn state_ui(&mut self, ui: &mut Ui, desk: &mut Desk) {
        if self.opening.is_some() && desk.now_secs() - self.since > 0.25 {
            let what = match &self.opening {
                Some(Opening::Sample(_)) => "Making the sample workspace",
                _ => "Opening the workspace",
            };
            widgets::loading(ui, what);
        }
        if let Some((failure, path)) = self.failure.clone() {
            if widgets::failure(ui, &failure) {
                if path.is_empty() {
                    self.sample(desk);
                } else {
                    self.open(desk, &path, false);
                }
            }
            ui.horizontal(|ui| {
                let is_none = failure.code == Code::NotFound && !path.is_empty();
                if is_none && widgets::secondary(ui, ph::FOLDER_PLUS, "Make a workspace there").clicked() {
                    self.open(desk, &path, true);
                }
                if widgets::quiet(ui, ph::X, "Dismiss").clicked() {
                    self.failure = None;
                }
            });
        }
    }

    /// The list of those that were open before, without the one that is.
    pub fn recent_ui(&mut self, ui: &mut Ui, desk: &mut Desk) {
        let Some(hello) = desk.hello() else { return };
        let open = hello.workspace.as_ref().map(|open| open.path.clone());
        let now = desk.now_millis();
        let forgotten = |path: &str| self.forgetting.iter().any(|(gone, _)| gone == path);
        let recent: Vec<RecentWorkspace> = hello
            .recent
            .iter()
            .filter(|recent| Some(&recent.path) != open.as_ref() && !forgotten(&recent.path))
            .take(MOST)
            .cloned()
            .collect();
        if recent.is_empty() {
            widgets::muted(ui, "Workspaces that you open are listed here.");
            return;
        }
        ui.spacing_mut().item_spacing.y = 2.0;
        for place in recent {
            match item(ui, &place, now) {
                Some(Asked::Open) => self.open(desk, &place.path, false),
                Some(Asked::Forget) => {
                    let ticket = desk.ask(WorkspaceForget { path: place.path.clone() });
                    self.forgetting.push((place.path, ticket));
                }
                None => {}
            }
        }
    }

    /// The form, in its own small window.
    pub fn form_ui(&mut self, ui: &Ui, desk: &mut Desk) {
        let Some(mut form) = self.form.take() else { return };
        let mut keep = true;
        let making = form.what == For::Making;
        let modal =
            egui::Modal::new(egui::Id::new("workspace-form")).frame(widgets::modal_frame(ui)).show(ui.ctx(), |ui| {
                ui.set_width(size::FORM.min(ui.ctx().content_rect().width() - 64.0));
                let (title, fact) = if making {
                    ("New workspace", "A folder that holds tables, workflows, runs and models of one piece of work.")
                } else {
                    ("Open a workspace", "The path of its folder on the engine's machine.")
                };
                widgets::inspector_title(ui, title, fact);
                ui.add_space(size::SMALL_GAP);
                let mut enter = false;
                if making {
                    let typed = !form.name.is_empty();
                    let error = wrong_name(&form.name).filter(|_| typed);
                    let response = widgets::field(ui, "Name", "", error, |ui| {
                        widgets::line_edit(ui, "Name", &mut form.name, "churn", false)
                    });
                    enter = response.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
                    if !ui.memory(|memory| memory.focused().is_some()) && !enter {
                        response.request_focus();
                    }
                    ui.add_space(size::TINY_GAP);
                }
                widgets::field(ui, "Folder", "", None, |ui| {
                    ui.horizontal(|ui| {
                        let button = if making && desk.is_desktop() { 118.0 } else { 0.0 };
                        let width = ui.available_width() - button;
                        ui.allocate_ui(Vec2::new(width, size::CONTROL), |ui| {
                            let response =
                                widgets::line_edit(ui, "Folder", &mut form.folder, "/home/ada/Athanor", false);
                            enter |= response.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
                        });
                        if making && desk.is_desktop() && widgets::secondary(ui, ph::FOLDER_OPEN, "Choose").clicked() {
                            self.pick(desk, For::Making, "Where the workspace goes");
                        }
                    });
                });
                let path = if making { join(&form.folder, &form.name) } else { form.folder.trim().to_owned() };
                let may = !form.folder.trim().is_empty()
                    && (!making || wrong_name(&form.name).is_none())
                    && self.opening.is_none();
                if making && may {
                    ui.add_space(size::TINY_GAP);
                    ui.add(
                        egui::Label::new(RichText::new(&path).size(font_size::LABEL).color(Theme::of(ui).muted))
                            .truncate(),
                    );
                }
                ui.add_space(size::GAP);
                self.state_ui(ui, desk);
                ui.horizontal(|ui| {
                    let verb = if making { "Create workspace" } else { "Open workspace" };
                    let clicked = ui.add_enabled_ui(may, |ui| widgets::primary(ui, ph::CHECK, verb).clicked()).inner;
                    if may && (clicked || enter) {
                        self.open(desk, &path, making);
                    }
                    if widgets::button(ui, widgets::Kind::Secondary, None, "Cancel").clicked() {
                        keep = false;
                    }
                });
            });
        if keep && !modal.should_close() {
            self.form = Some(form);
        } else {
            self.failure = None;
        }
    }

    /// Whether the form is open: it shows failures itself.
    pub fn has_form(&self) -> bool {
        self.form.is_some()
    }
}

enum Asked {
    Open,
    Forget,
}

fn item(ui: &mut Ui, place: &RecentWorkspace, now: i64) -> Option<Asked> {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(Vec2::new(ui.available_width(), ITEM), Sense::click());
    response.widget_info(|| WidgetInfo::labeled(WidgetType::Button, place.exists, &place.name));
    let over = ui.rect_contains_pointer(rect);
    if over && place.exists {
        ui.painter().rect_filled(rect, radius::CONTROL, mix(theme.panel, theme.text, 0.05));
    }
    let ink = if place.exists { theme.muted } else { theme.faint };
    let icon = if place.exists { ph::FOLDER } else { ph::FOLDER_DASHED };
    icons::paint(ui, Pos2::new(rect.left() + 18.0, rect.center().y), icon, 18.0, ink);
    let forget = Rect::from_center_size(Pos2::new(rect.right() - 18.0, rect.center().y), Vec2::splat(28.0));
    let ago = if place.exists { format::ago(place.opened_at_millis, now) } else { "gone".to_owned() };
    let ago_ink = if place.exists { theme.muted } else { theme.warn };
    let galley = ui.painter().layout_no_wrap(ago, theme::regular(font_size::LABEL), ago_ink);
    let edge = if over { forget.left() - 4.0 } else { rect.right() - 10.0 };
    let ago_left = edge - galley.size().x;
    let room = Rect::from_min_max(Pos2::new(rect.left() + 38.0, rect.top()), Pos2::new(ago_left - 10.0, rect.bottom()));
    ui.painter().galley(Pos2::new(ago_left, rect.center().y - galley.size().y / 2.0), galley, ago_ink);
    let painter = ui.painter().with_clip_rect(room.intersect(ui.clip_rect()));
    let name_ink = if place.exists { theme.text } else { theme.muted };
    painter.text(
        Pos2::new(room.left(), rect.top() + 16.0),
        Align2::LEFT_CENTER,
        &place.name,
        theme::medium(font_size::BODY),
        name_ink,
    );
    painter.text(
        Pos2::new(room.left(), rect.top() + 34.0),
        Align2::LEFT_CENTER,
        &place.path,
        theme::regular(font_size::LABEL),
        theme.muted,
    );
    widgets::focus_ring(ui, &response, rect.shrink(2.0));
    if over || !place.exists {
        let clicked = ui
            .scope_builder(egui::UiBuilder::new().max_rect(forget), |ui| {
                over && widgets::icon_button(ui, ph::X, &format!("Forget {}", place.name)).clicked()
            })
            .inner;
        if clicked {
            return Some(Asked::Forget);
        }
    }
    let mut asked = None;
    response.context_menu(|ui| {
        if place.exists && ui.button("Open").clicked() {
            asked = Some(Asked::Open);
        }
        if ui.button("Copy path").clicked() {
            ui.ctx().copy_text(place.path.clone());
        }
        if ui.button("Forget").clicked() {
            asked = Some(Asked::Forget);
        }
    });
    if response.clicked() && place.exists {
        asked = Some(Asked::Open);
    }
    let cursor = if place.exists { CursorIcon::PointingHand } else { CursorIcon::Default };
    let text = if place.exists { place.path.clone() } else { format!("{} is not there any more", place.path) };
    response.on_hover_cursor(cursor).on_hover_text(text);
    asked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_and_a_name_become_a_path_as_that_system_writes_it() {
        for (folder, name, expect) in [
            ("/home/ada", "churn", "/home/ada/churn"),
            ("/home/ada/", " churn ", "/home/ada/churn"),
            ("C:\\Users\\ada", "churn", "C:\\Users\\ada\\churn"),
            ("/", "x", "/x"),
        ] {
            assert_eq!(join(folder, name), expect);
        }
    }

    #[test]
    fn a_workspace_is_named_after_the_file_that_begins_it() {
        for (path, expect) in [
            ("/data/wine.csv", "wine"),
            ("C:\\data\\Kunden 2026.tar.gz", "Kunden 2026"),
            (".hidden.csv", "hidden"),
            ("/data/a:b.csv", "tables"),
            ("", "tables"),
        ] {
            assert_eq!(name_for(path), expect, "{path}");
        }
    }

    #[test]
    fn names_that_no_folder_can_have_are_refused_with_a_reason() {
        for (name, good) in
            [("churn", true), ("Kunden 2026", true), ("", false), ("a/b", false), ("..", false), (".x", false)]
        {
            assert_eq!(wrong_name(name).is_none(), good, "{name}");
        }
    }
}
