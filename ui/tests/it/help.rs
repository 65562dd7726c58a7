//! What every test of a screen needs.

use std::cell::RefCell;
use std::rc::Rc;

use athanor_protocol::api::Request;
use athanor_ui::{
    App,
    fake::{self, Fake, FakeHandle},
    pages::Go,
};
use egui_kittest::Harness;

/// An app on the fake engine, with a test's handle of both.
pub(crate) struct Screen {
    /// Draws it.
    pub(crate) harness: Harness<'static>,
    /// The app.
    pub(crate) app: Rc<RefCell<Option<App>>>,
    /// The engine.
    pub(crate) fake: FakeHandle,
}

impl Screen {
    /// An app of this size on light or dark ground; `before` sets the engine up.
    pub(crate) fn new(size: [f32; 2], dark: bool, before: impl FnOnce(&FakeHandle)) -> Self {
        let (client, handle) = Fake::new();
        handle.on(move |request| match request {
            athanor_protocol::api::Request::Hello(_) => {
                let mut hello = fake::hello();
                hello.settings.theme = if dark {
                    athanor_protocol::api::ThemeChoice::Dark
                } else {
                    athanor_protocol::api::ThemeChoice::Light
                };
                hello.settings.reduced_motion = true;
                Some(Ok(athanor_protocol::api::Reply::Hello(Box::new(hello))))
            }
            _ => None,
        });
        before(&handle);
        let app: Rc<RefCell<Option<App>>> = Rc::new(RefCell::new(None));
        let mut client: Option<Box<dyn athanor_protocol::api::Client>> = Some(Box::new(client));
        let inner = Rc::clone(&app);
        let harness = Harness::builder()
            .with_size(size)
            .with_theme(if dark { egui::Theme::Dark } else { egui::Theme::Light })
            .with_max_steps(60)
            .build_ui(move |ui| {
                let mut app = inner.borrow_mut();
                if app.is_none() {
                    *app = client.take().map(|client| App::new(ui.ctx(), client).with_clock(fake::now));
                    // Fonts and styles count from the next frame on.
                    ui.ctx().request_repaint();
                    return;
                }
                if let Some(app) = app.as_mut() {
                    // The whole window, as in a page: the harness leaves a margin around its own root.
                    let all = ui.ctx().content_rect();
                    ui.scope_builder(egui::UiBuilder::new().max_rect(all), |ui| {
                        ui.set_clip_rect(all);
                        app.ui(ui);
                    });
                }
            });
        let mut screen = Self { harness, app, fake: handle };
        screen.settle();
        screen
    }

    /// The usual window on dark ground.
    pub(crate) fn usual() -> Self {
        Self::new([1280.0, 820.0], true, |_| {})
    }

    /// Goes somewhere.
    pub(crate) fn go(&mut self, go: Go) {
        if let Some(app) = self.app.borrow_mut().as_mut() {
            app.go(go);
        }
        self.settle();
    }

    /// Draws until nothing changes any more, but not for ever: a spinner never rests.
    pub(crate) fn settle(&mut self) {
        self.harness.run_steps(6);
    }

    /// Whether a widget with this label is on the screen.
    pub(crate) fn has(&self, label: &str) -> bool {
        use egui_kittest::kittest::Queryable;
        self.harness.query_all_by_label(label).next().is_some()
    }

    /// Whether a widget whose label holds this text is on the screen.
    pub(crate) fn has_text(&self, text: &str) -> bool {
        use egui_kittest::kittest::Queryable;
        self.harness.query_all_by_label_contains(text).next().is_some()
    }

    /// Whether the one thing that was stopped is the one that was asked for: both bear the same token.
    pub(crate) fn stopped_what_was_asked(&self, token_of: impl Fn(&Request) -> Option<&str>) -> bool {
        let sent = self.fake.sent();
        let asked: Vec<&str> = sent.iter().filter_map(token_of).collect();
        let stopped = sent.iter().filter_map(|request| match request {
            Request::WorkCancel(ask) => Some(ask.token.as_str()),
            _ => None,
        });
        asked.len() == 1 && stopped.eq(asked)
    }

    /// Clicks the widget with this label.
    pub(crate) fn click(&mut self, label: &str) {
        use egui_kittest::kittest::Queryable;
        let found = self.harness.query_all_by_label(label).next();
        match found {
            Some(node) => node.click(),
            None => panic!("there is no {label:?} on the screen"),
        }
        self.settle();
    }

    /// Clicks the last of the widgets with this label: the one that is on top.
    pub(crate) fn click_last(&mut self, label: &str) {
        use egui_kittest::kittest::Queryable;
        let found = self.harness.query_all_by_label(label).last();
        match found {
            Some(node) => node.click(),
            None => panic!("there is no {label:?} on the screen"),
        }
        self.settle();
    }

    /// Puts text in the place of what a field with this label holds.
    pub(crate) fn type_into(&mut self, label: &str, text: &str) {
        use egui_kittest::kittest::Queryable;
        let role = egui::accesskit::Role::TextInput;
        let found = self.harness.query_all_by_role_and_label(role, label).last();
        match found {
            Some(node) => node.focus(),
            None => panic!("there is no field {label:?} on the screen"),
        }
        self.settle();
        self.harness.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::A);
        if text.is_empty() {
            self.harness.key_press(egui::Key::Delete);
        } else {
            self.harness.event(egui::Event::Text(text.to_owned()));
        }
        self.settle();
    }

    /// Opens the list with this name and chooses an entry.
    pub(crate) fn pick(&mut self, list: &str, entry: &str) {
        use egui_kittest::kittest::Queryable;
        let found = self.harness.query_all_by_role_and_label(egui::accesskit::Role::ComboBox, list).next();
        match found {
            Some(node) => node.click(),
            None => panic!("there is no list {list:?} on the screen"),
        }
        self.settle();
        self.click_last(entry);
    }

    /// Compares with the picture of this name in `tests/snapshots`.
    pub(crate) fn picture(&mut self, name: &str) {
        let options = egui_kittest::SnapshotOptions::new().threshold(1.2).max_failed_pixels(400);
        self.harness.snapshot_options(name, &options);
    }

    /// Writes what is seen to a file for people to look at, where `ATHANOR_PICTURES` names a folder.
    pub(crate) fn show(&mut self, name: &str) {
        if let Some(folder) = std::env::var_os("ATHANOR_PICTURES") {
            let picture = self.harness.render().expect("the screen can be drawn");
            picture
                .save(std::path::Path::new(&folder).join(format!("{name}.png")))
                .expect("the picture can be written");
        }
    }
}
