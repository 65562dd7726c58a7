//! The frame around the pages: rail, top bar, palette, messages, connection, undo.

use athanor_protocol::{
    api::{Client, Event, Link, RunList, ThemeChoice},
    run::RunStatus,
};
use egui::{
    Align, CentralPanel, Frame, Key, KeyboardShortcut, Layout, Margin, Modifiers, Panel, RichText, Sense, Ui, Vec2,
};

use crate::{
    desk::{Desk, Remote, SettingsState},
    format,
    icons::{self, ph},
    pages::{
        Command, Cx, Go, Page, Route, compute::ComputePage, data::DataPage, endpoints::EndpointsPage, home::HomePage,
        models::ModelsPage, runs::RunsPage, settings::SettingsPage, workflow::WorkflowPage,
    },
    palette::Palette,
    theme::{self, Theme, font_size, mix, radius, size},
    toasts::{ToastAsk, Toasts},
    undo::UndoStack,
    widgets,
};

const PALETTE: KeyboardShortcut = KeyboardShortcut::new(Modifiers::COMMAND, Key::K);
const UNDO: KeyboardShortcut = KeyboardShortcut::new(Modifiers::COMMAND, Key::Z);
const REDO: KeyboardShortcut = KeyboardShortcut::new(Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::Z);
const REDO_TOO: KeyboardShortcut = KeyboardShortcut::new(Modifiers::COMMAND, Key::Y);

/// The whole app.
pub struct App {
    desk: Desk,
    toasts: Toasts,
    undo: UndoStack,
    palette: Palette,
    route: Route,
    pages: Vec<(Route, Box<dyn Page>)>,
    at_work: Remote<RunList>,
    went_home: bool,
    hovering_files: bool,
    login: String,
    /// A key was tried: where nobody is logged in after that, it was refused.
    login_tried: bool,
    applied: Option<(ThemeChoice, u32, bool)>,
    clock_millis: fn() -> i64,
}

/// The wall clock in milliseconds since the Unix epoch.
#[cfg(not(target_arch = "wasm32"))]
fn wall_clock() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(target_arch = "wasm32")]
fn wall_clock() -> i64 {
    js_sys::Date::now() as i64
}

impl App {
    /// An app that reaches its engine through `client`.
    pub fn new(ctx: &egui::Context, client: Box<dyn Client>) -> Self {
        theme::install(ctx);
        Self {
            desk: Desk::new(client),
            toasts: Toasts::default(),
            undo: UndoStack::default(),
            palette: Palette::default(),
            route: Route::Home,
            pages: vec![
                (Route::Home, Box::new(HomePage::default())),
                (Route::Data, Box::new(DataPage::default())),
                (Route::Workflow, Box::new(WorkflowPage::default())),
                (Route::Runs, Box::new(RunsPage::default())),
                (Route::Models, Box::new(ModelsPage::default())),
                (Route::Endpoints, Box::new(EndpointsPage::default())),
                (Route::Compute, Box::new(ComputePage::default())),
                (Route::Settings, Box::new(SettingsPage::default())),
            ],
            at_work: Remote::default(),
            went_home: false,
            hovering_files: false,
            login: String::new(),
            login_tried: false,
            applied: None,
            clock_millis: wall_clock,
        }
    }

    /// Another wall clock, so that tests are exact.
    #[must_use]
    pub fn with_clock(mut self, clock_millis: fn() -> i64) -> Self {
        self.clock_millis = clock_millis;
        self
    }

    /// The place that is seen.
    pub fn route(&self) -> Route {
        self.route
    }

    /// Goes somewhere, as a click on the rail would.
    pub fn go(&mut self, go: Go) {
        let mut went = vec![go];
        self.follow(&mut went);
    }

    /// The connection, for tests.
    pub fn desk(&self) -> &Desk {
        &self.desk
    }

    /// The messages on the screen, for tests.
    pub fn messages(&self) -> Vec<String> {
        self.toasts.texts().map(str::to_owned).collect()
    }

    /// Draws a frame.
    pub fn ui(&mut self, ui: &mut Ui) {
        self.take_in(ui);
        match self.desk.link() {
            Link::LoggedOut => self.login_ui(ui),
            Link::Connecting if self.desk.hello().is_none() => self.connecting_ui(ui),
            _ => self.frame_ui(ui),
        }
        if self.toasts.ui(ui) == ToastAsk::Undo {
            self.undo_or_redo(false);
        }
        // Answers and events wake the app themselves; this is for a client that cannot.
        if self.desk.busy() || self.desk.settings_state() == SettingsState::Saving {
            ui.ctx().request_repaint_after_secs(0.25);
        }
    }

    fn take_in(&mut self, ui: &Ui) {
        let now = ui.input(|input| input.time);
        let (events, failures) = self.desk.poll(now, (self.clock_millis)());
        for failure in failures {
            self.toasts.failure(&failure);
        }
        if *self.desk.link() == Link::Up {
            self.login_tried = false;
        }
        if self.desk.workspace().is_some() {
            let active =
                RunList { status: vec![RunStatus::Queued, RunStatus::Running], limit: 50, ..RunList::default() };
            if self.at_work.keep(&mut self.desk, &active)
                && let Some(page) = self.at_work.value()
            {
                for row in &page.items {
                    self.desk.note_running(&row.summary);
                }
            }
        }
        let mut went = vec![];
        for event in events {
            match &event {
                Event::FilesHover { over } => self.hovering_files = *over,
                Event::FilesDropped { .. } => {
                    self.hovering_files = false;
                    if self.desk.workspace().is_some() && self.route != Route::Data {
                        went.push(Go::To(Route::Data));
                    }
                }
                Event::WorkspaceChanged { .. } => {
                    self.undo.clear();
                    self.at_work.clear();
                }
                Event::Lagged {} => {
                    self.at_work.invalidate();
                    self.desk.refresh_hello();
                }
                _ => {}
            }
            self.each_page(&mut went, |page, cx| page.event(&event, cx));
        }
        self.each_page(&mut went, |page, cx| page.tick(cx));
        self.follow(&mut went);
        if self.desk.workspace().is_none() && self.desk.hello().is_some() && self.route.needs_workspace() {
            self.route = Route::Home;
        }
        self.apply_settings(ui);
        self.went_home = true;
    }

    fn each_page(&mut self, went: &mut Vec<Go>, mut with: impl FnMut(&mut dyn Page, &mut Cx<'_>)) {
        let Self { desk, toasts, undo, pages, .. } = self;
        for (_, page) in pages {
            let mut cx = Cx { desk, toasts, undo, go: went, theme: &theme::LIGHT };
            with(page.as_mut(), &mut cx);
        }
    }

    fn apply_settings(&mut self, ui: &Ui) {
        let settings = self.desk.settings();
        let wanted = (settings.theme, (settings.scale * 100.0).round() as u32, settings.reduced_motion);
        if self.desk.hello().is_none() || self.applied == Some(wanted) {
            return;
        }
        self.applied = Some(wanted);
        let ctx = ui.ctx();
        ctx.set_theme(match settings.theme {
            ThemeChoice::System => egui::ThemePreference::System,
            ThemeChoice::Dark => egui::ThemePreference::Dark,
            ThemeChoice::Light => egui::ThemePreference::Light,
        });
        ctx.set_zoom_factor(settings.scale.clamp(0.7, 2.0));
        theme::set_motion(ctx, settings.reduced_motion);
    }

    fn follow(&mut self, went: &mut Vec<Go>) {
        // A page that opens something may go on from there; three steps are more than any needs.
        for _ in 0..3 {
            if went.is_empty() {
                return;
            }
            for go in std::mem::take(went) {
                self.route = go.route();
                let Self { desk, toasts, undo, pages, .. } = self;
                let mut cx = Cx { desk, toasts, undo, go: went, theme: &theme::LIGHT };
                if let Some((_, page)) = pages.iter_mut().find(|(route, _)| *route == go.route()) {
                    page.open(&go, &mut cx);
                }
            }
        }
    }

    fn with_page<R>(
        &mut self,
        dark: bool,
        went: &mut Vec<Go>,
        with: impl FnOnce(&mut dyn Page, &mut Cx<'_>) -> R,
    ) -> Option<R> {
        let Self { desk, toasts, undo, pages, route, .. } = self;
        let (_, page) = pages.iter_mut().find(|(at, _)| at == route)?;
        let mut cx = Cx { desk, toasts, undo, go: went, theme: Theme::on(dark) };
        Some(with(page.as_mut(), &mut cx))
    }

    fn undo_or_redo(&mut self, redo: bool) {
        let mut went = vec![];
        if self.with_page(false, &mut went, |page, cx| page.undo(redo, cx)) == Some(true) {
            return self.follow(&mut went);
        }
        let step = if redo { self.undo.redo() } else { self.undo.undo() };
        match step {
            Some(step) => {
                let requests = if redo { &step.redo } else { &step.undo };
                for request in requests {
                    self.desk.tell(request.clone());
                }
                let verb = if redo { "Done again" } else { "Undone" };
                self.toasts.info(format!("{verb}: {}", step.label));
            }
            None => self.toasts.info(if redo { "There is nothing to redo" } else { "There is nothing to undo" }),
        }
    }

    fn frame_ui(&mut self, ui: &mut Ui) {
        let dark = ui.visuals().dark_mode;
        let theme = Theme::on(dark);
        let mut went = vec![];
        self.shortcuts(ui, &mut went);
        let folded = ui.available_width() < size::FOLD_BELOW;
        let rail = Panel::left("rail")
            .exact_size(size::RAIL[usize::from(folded)])
            .resizable(false)
            .frame(Frame::new().fill(theme.panel).inner_margin(Margin::symmetric(12, 14)));
        rail.show(ui, |ui| self.rail_ui(ui, folded, &mut went));
        Panel::top("top-bar")
            .exact_size(size::TOP_BAR)
            .frame(Frame::new().fill(theme.bg).inner_margin(Margin::symmetric(size::PAGE as i8, 0)))
            .show(ui, |ui| self.top_ui(ui, dark, &mut went));
        let away = match self.desk.link() {
            Link::Down { reason } => Some(("Trying to reach it again", reason.clone())),
            _ if self.desk.hangs() => Some(("Waiting for it", String::new())),
            _ => None,
        };
        if let Some((doing, reason)) = away {
            Panel::top("connection")
                .frame(Frame::new().fill(theme.tint(theme.bad)).inner_margin(Margin::symmetric(size::PAGE as i8, 8)))
                .show(ui, |ui| {
                    ui.horizontal_wrapped(|ui| {
                        ui.label(icons::text(ph::PLUGS, 16.0).color(theme.bad));
                        let what = format!("The engine does not answer. {doing}; nothing that you typed is lost.");
                        ui.label(RichText::new(what).color(theme.text));
                        if !reason.is_empty() {
                            ui.label(RichText::new(reason).color(theme.muted));
                        }
                    });
                });
            ui.ctx().request_repaint_after_secs(1.0);
        }
        CentralPanel::default().frame(Frame::new().fill(theme.bg)).show(ui, |ui| {
            self.with_page(dark, &mut went, |page, cx| page.ui(ui, cx));
        });
        self.drop_hint(ui, theme);
        if self.palette.is_open() {
            let mut commands = self.global_commands();
            let own = self.with_page(dark, &mut went, |page, cx| page.commands(cx)).unwrap_or_default();
            commands.splice(0..0, own);
            if let Some(id) = self.palette.ui(ui, &commands) {
                self.run_command(&id, dark, &mut went);
            }
        }
        self.follow(&mut went);
    }

    fn shortcuts(&mut self, ui: &Ui, went: &mut Vec<Go>) {
        if ui.input_mut(|input| input.consume_shortcut(&PALETTE)) {
            self.palette.toggle();
        }
        // A text field has an undo of its own.
        if !ui.ctx().egui_wants_keyboard_input() {
            let redo = ui.input_mut(|input| input.consume_shortcut(&REDO) || input.consume_shortcut(&REDO_TOO));
            let undo = !redo && ui.input_mut(|input| input.consume_shortcut(&UNDO));
            if undo || redo {
                self.undo_or_redo(redo);
            }
        }
        let numbers = [Key::Num1, Key::Num2, Key::Num3, Key::Num4, Key::Num5, Key::Num6, Key::Num7, Key::Num8];
        for (key, route) in numbers.into_iter().zip(Route::ALL) {
            if ui.input_mut(|input| input.consume_shortcut(&KeyboardShortcut::new(Modifiers::COMMAND, key))) {
                self.visit(route, went);
            }
        }
    }

    fn visit(&mut self, route: Route, went: &mut Vec<Go>) {
        if route.needs_workspace() && self.desk.workspace().is_none() {
            self.toasts.info("Open a workspace first");
            went.push(Go::To(Route::Home));
        } else {
            went.push(Go::To(route));
        }
    }

    fn global_commands(&self) -> Vec<Command> {
        const KEYS: [&str; 8] = ["Ctrl 1", "Ctrl 2", "Ctrl 3", "Ctrl 4", "Ctrl 5", "Ctrl 6", "Ctrl 7", "Ctrl 8"];
        let mut commands: Vec<Command> = Route::ALL
            .into_iter()
            .zip(KEYS)
            .map(|(route, keys)| {
                Command::new(format!("go.{}", route.title()), format!("Go to {}", route.title()), route.icon(), keys)
            })
            .collect();
        commands.push(Command::new("app.undo", "Undo", ph::ARROW_U_UP_LEFT, "Ctrl Z"));
        commands.push(Command::new("app.redo", "Redo", ph::ARROW_U_UP_RIGHT, "Ctrl Shift Z"));
        commands.push(Command::new("theme.light", "Use the light theme", ph::SUN, ""));
        commands.push(Command::new("theme.dark", "Use the dark theme", ph::MOON, ""));
        commands.push(Command::new("theme.system", "Use the system's theme", ph::CIRCLE_HALF, ""));
        if !self.desk.is_desktop() {
            commands.push(Command::new("app.log_out", "Log out", ph::SIGN_OUT, ""));
        }
        commands
    }

    fn run_command(&mut self, id: &str, dark: bool, went: &mut Vec<Go>) {
        let set = |desk: &mut Desk, choice| desk.change_settings(|settings| settings.theme = choice);
        match id {
            "app.undo" => self.undo_or_redo(false),
            "app.redo" => self.undo_or_redo(true),
            "app.log_out" => self.desk.log_out(),
            "theme.light" => set(&mut self.desk, ThemeChoice::Light),
            "theme.dark" => set(&mut self.desk, ThemeChoice::Dark),
            "theme.system" => set(&mut self.desk, ThemeChoice::System),
            other => match Route::ALL.into_iter().find(|route| other.strip_prefix("go.") == Some(route.title())) {
                Some(route) => self.visit(route, went),
                None => {
                    self.with_page(dark, went, |page, cx| page.run(other, cx));
                }
            },
        }
    }

    fn rail_ui(&mut self, ui: &mut Ui, folded: bool, went: &mut Vec<Go>) {
        let theme = Theme::of(ui);
        ui.spacing_mut().item_spacing.y = 2.0;
        ui.horizontal(|ui| {
            ui.set_height(32.0);
            ui.add_space(if folded { 3.0 } else { 2.0 });
            ui.label(icons::text(ph::FLAME, 22.0).color(theme.accent));
            if !folded {
                ui.label(RichText::new("Athanor").font(theme::semibold(font_size::TITLE)).color(theme.text));
            }
        });
        ui.add_space(14.0);
        let open = self.desk.workspace().is_some() || self.desk.hello().is_none();
        for route in Route::ALL.into_iter().filter(|route| *route != Route::Settings) {
            if rail_item(ui, route, self.route == route, folded, open || !route.needs_workspace()) {
                self.visit(route, went);
            }
        }
        ui.with_layout(Layout::bottom_up(Align::Min), |ui| {
            ui.spacing_mut().item_spacing.y = 2.0;
            if rail_item(ui, Route::Settings, self.route == Route::Settings, folded, true) {
                self.visit(Route::Settings, went);
            }
            ui.add_space(6.0);
            self.work_ui(ui, folded, went);
        });
    }

    fn work_ui(&mut self, ui: &mut Ui, folded: bool, went: &mut Vec<Go>) {
        let theme = Theme::of(ui);
        let n = self.desk.running().count();
        let Some(first) = self.desk.running().last() else {
            if !folded && let Some(open) = self.desk.workspace() {
                ui.add(
                    egui::Label::new(RichText::new(&open.name).size(font_size::LABEL).color(theme.muted)).truncate(),
                )
                .on_hover_text(&open.path);
            }
            return;
        };
        let (share, note) = match first.current() {
            Some(step) if step.total > 0 => (Some(step.done as f32 / step.total as f32), step.note.clone()),
            Some(step) => (None, step.note.clone()),
            None => (None, first.summary.status.as_str().to_owned()),
        };
        let id = first.summary.id.clone();
        let what = format::plural(n as u64, "run");
        let width = ui.available_width();
        // Of its own height: the rail is laid out from the bottom.
        let height = if folded { 4.0 } else { 24.0 };
        let inner = ui
            .allocate_ui_with_layout(Vec2::new(width, height), Layout::top_down(Align::Min), |ui| {
                widgets::progress(ui, share, width);
                if !folded {
                    let text = if note.is_empty() { what.clone() } else { format!("{what}, {note}") };
                    ui.add(egui::Label::new(RichText::new(text).size(font_size::LABEL).color(theme.muted)).truncate());
                }
            })
            .response;
        let inner = inner.interact(Sense::click()).on_hover_text(format!("{what} at work: show the newest"));
        if inner.clicked() {
            went.push(Go::Run(id));
        }
    }

    fn top_ui(&mut self, ui: &mut Ui, dark: bool, went: &mut Vec<Go>) {
        let theme = Theme::on(dark);
        let Some((title, fact)) = self.with_page(dark, went, |page, cx| (page.title(), page.fact(cx))) else { return };
        let rect = ui.max_rect();
        ui.painter().hline(rect.x_range().expand(size::PAGE), rect.bottom() - 0.5, theme.border());
        ui.horizontal_centered(|ui| {
            let wide = ui.available_width() > 760.0;
            let title_width = ui.available_width() * if wide { 0.4 } else { 0.34 };
            ui.allocate_ui_with_layout(
                Vec2::new(title_width, size::TOP_BAR),
                Layout::left_to_right(Align::Center),
                |ui| {
                    let text = RichText::new(title).font(theme::semibold(font_size::PAGE)).color(theme.text);
                    ui.add(egui::Label::new(text).truncate());
                    if wide {
                        ui.add(egui::Label::new(RichText::new(fact).color(theme.muted)).truncate());
                    }
                },
            );
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                self.with_page(dark, went, |page, cx| page.actions(ui, cx));
                let width = ui.available_width().min(242.0);
                if width > 150.0 {
                    if search_button(ui, width) {
                        self.palette.toggle();
                    }
                } else if widgets::icon_button(ui, ph::MAGNIFYING_GLASS, "Search or run a command (Ctrl K)").clicked() {
                    self.palette.toggle();
                }
            });
        });
    }

    fn drop_hint(&self, ui: &Ui, theme: &Theme) {
        let over = self.hovering_files || ui.input(|input| !input.raw.hovered_files.is_empty());
        if !over {
            return;
        }
        let rect = ui.ctx().content_rect().shrink(12.0);
        let painter = ui.ctx().layer_painter(egui::LayerId::new(egui::Order::Foreground, egui::Id::new("drop-hint")));
        painter.rect(
            rect,
            radius::CARD,
            theme.soft.gamma_multiply(0.85),
            egui::Stroke::new(2.0, theme.accent),
            egui::StrokeKind::Inside,
        );
        let text = "Drop a table to open it";
        painter.text(rect.center(), egui::Align2::CENTER_CENTER, text, theme::semibold(font_size::PAGE), theme.text);
    }

    fn connecting_ui(&mut self, ui: &mut Ui) {
        let theme = Theme::of(ui);
        CentralPanel::default().frame(Frame::new().fill(theme.bg)).show(ui, |ui| {
            ui.vertical_centered(|ui| {
                ui.add_space(ui.available_height() * 0.4);
                ui.label(icons::text(ph::FLAME, 40.0).color(theme.accent));
                ui.label(RichText::new("Starting the engine").color(theme.muted));
            });
        });
        ui.ctx().request_repaint_after_secs(0.1);
    }

    fn login_ui(&mut self, ui: &mut Ui) {
        let theme = Theme::of(ui);
        CentralPanel::default().frame(Frame::new().fill(theme.bg)).show(ui, |ui| {
            ui.vertical_centered(|ui| {
                ui.add_space((ui.available_height() * 0.28).max(24.0));
                ui.scope(|ui| {
                    ui.set_max_width(380.0);
                    widgets::card(ui, |ui| {
                        ui.horizontal(|ui| {
                            ui.label(icons::text(ph::FLAME, 24.0).color(theme.accent));
                            ui.label(RichText::new("Athanor").font(theme::semibold(font_size::PAGE)).color(theme.text));
                        });
                        widgets::muted(ui, "Log in with an API key of this workspace.");
                        ui.add_space(size::SMALL_GAP);
                        let response = widgets::field(ui, "API key", "", None, |ui| {
                            widgets::line_edit(ui, "API key", &mut self.login, "ath_…", true)
                        });
                        let enter = response.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
                        ui.add_space(size::SMALL_GAP);
                        let clicked = widgets::primary(ui, ph::SIGN_IN, "Log in").clicked();
                        if (enter || clicked) && !self.login.trim().is_empty() {
                            let key = std::mem::take(&mut self.login);
                            self.login_tried = true;
                            self.desk.log_in(key.trim());
                        }
                        if self.login_tried && self.login.is_empty() {
                            let why = "this key is unknown here, revoked or expired";
                            widgets::note(ui, crate::toasts::Tone::Bad, why);
                        }
                        let how = "Keys are made on the Endpoints page or with the command 'athanor keys create'; one \
                                   of the scope 'admin' may change things, any other may look.";
                        ui.label(RichText::new(how).size(font_size::LABEL).color(theme.muted));
                    });
                });
            });
        });
    }
}

fn rail_item(ui: &mut Ui, route: Route, on: bool, folded: bool, enabled: bool) -> bool {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(Vec2::new(ui.available_width(), 34.0), Sense::click());
    response.widget_info(|| egui::WidgetInfo::selected(egui::WidgetType::Button, enabled, on, route.title()));
    if on {
        ui.painter().rect_filled(rect, radius::CONTROL, theme.soft);
    } else if response.hovered() && enabled {
        ui.painter().rect_filled(rect, radius::CONTROL, mix(theme.panel, theme.text, 0.06));
    }
    let ink = match (on, enabled) {
        (true, _) => theme.text,
        (false, true) => theme.muted,
        (false, false) => theme.faint,
    };
    let icon_ink = if on { theme.accent } else { ink };
    let middle = rect.center().y;
    let icon_x = if folded { rect.center().x } else { rect.left() + 20.0 };
    icons::paint(ui, egui::pos2(icon_x, middle), route.icon(), 17.0, icon_ink);
    if !folded {
        let at = egui::pos2(rect.left() + 40.0, middle);
        ui.painter().text(at, egui::Align2::LEFT_CENTER, route.title(), theme::medium(font_size::BODY), ink);
    }
    widgets::focus_ring(ui, &response, rect);
    let response = response.on_hover_cursor(egui::CursorIcon::PointingHand);
    let response = if folded { response.on_hover_text(route.title()) } else { response };
    response.clicked()
}

fn search_button(ui: &mut Ui, width: f32) -> bool {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(Vec2::new(width, size::CONTROL + 2.0), Sense::click());
    let name = "Search or run a command";
    response.widget_info(|| egui::WidgetInfo::labeled(egui::WidgetType::Button, true, name));
    let line = if response.hovered() { mix(theme.line, theme.text, 0.2) } else { theme.line };
    ui.painter().rect(rect, radius::CONTROL, theme.sunken, egui::Stroke::new(1.0, line), egui::StrokeKind::Inside);
    icons::paint(ui, egui::pos2(rect.left() + 18.0, rect.center().y), ph::MAGNIFYING_GLASS, 14.0, theme.muted);
    let ink = theme.muted;
    let font = theme::regular(12.5);
    let painter = ui.painter().with_clip_rect(rect.shrink2(Vec2::new(8.0, 0.0)));
    if width > 220.0 {
        painter.text(
            egui::pos2(rect.left() + 34.0, rect.center().y),
            egui::Align2::LEFT_CENTER,
            name,
            font.clone(),
            ink,
        );
    } else {
        painter.text(
            egui::pos2(rect.left() + 34.0, rect.center().y),
            egui::Align2::LEFT_CENTER,
            "Search",
            font.clone(),
            ink,
        );
    }
    painter.text(egui::pos2(rect.right() - 10.0, rect.center().y), egui::Align2::RIGHT_CENTER, "Ctrl K", font, ink);
    widgets::focus_ring(ui, &response, rect);
    response.on_hover_cursor(egui::CursorIcon::PointingHand).clicked()
}
