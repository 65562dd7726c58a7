//! What is on the screen, for tests that drive the real window: a canvas has no elements that a driver could find.
//!
//! Reads what egui tells screen readers. It changes nothing, and where it was not asked for it is not there at all.

use std::sync::{Arc, Mutex, PoisonError};

use egui::{Context, FullOutput, Plugin, accesskit};
use serde::Serialize;

/// What is on the screen.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Screen {
    /// Frames that were drawn.
    pub frame: u64,
    /// Everything that a screen reader would find.
    pub widgets: Vec<Widget>,
}

/// Something on the screen.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Widget {
    /// What it is, for example `Button`.
    pub role: String,
    /// What it says.
    pub label: String,
    /// What it holds: typed text, a number.
    pub value: String,
    /// Whether it can be used.
    pub enabled: bool,
    /// Whether it is on, where it can be.
    pub on: Option<bool>,
    /// Whether it has the keyboard.
    pub focused: bool,
    /// Left, top, right and bottom, in the page's pixels.
    pub rect: [f64; 4],
}

/// Reads the screen after each frame.
#[derive(Clone, Default)]
pub struct Probe {
    screen: Arc<Mutex<Screen>>,
}

impl Probe {
    /// A probe that reads this context from now on.
    pub fn install(ctx: &Context) -> Self {
        let probe = Self::default();
        ctx.enable_accesskit();
        ctx.add_plugin(probe.clone());
        probe
    }

    /// What was on the screen in the last frame.
    pub fn screen(&self) -> Screen {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The same as JSON.
    pub fn json(&self) -> String {
        serde_json::to_string(&self.screen()).unwrap_or_default()
    }
}

impl Plugin for Probe {
    fn debug_name(&self) -> &'static str {
        "probe"
    }

    fn output_hook(&mut self, ctx: &Context, output: &mut FullOutput) {
        let Some(update) = &output.platform_output.accesskit_update else { return };
        let scale = f64::from(ctx.zoom_factor());
        let widgets = update.nodes.iter().filter_map(|(id, node)| widget(node, *id == update.focus, scale)).collect();
        let mut screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        screen.frame += 1;
        screen.widgets = widgets;
    }
}

fn widget(node: &accesskit::Node, focused: bool, scale: f64) -> Option<Widget> {
    let bounds = node.bounds()?;
    let value = node.value().map(str::to_owned).or_else(|| node.numeric_value().map(|value| value.to_string()));
    let (label, value) = (node.label().unwrap_or_default().to_owned(), value.unwrap_or_default());
    if label.is_empty() && value.is_empty() {
        return None;
    }
    Some(Widget {
        role: format!("{:?}", node.role()),
        label,
        value,
        enabled: !node.is_disabled(),
        on: node.toggled().map(|toggled| toggled == accesskit::Toggled::True).or_else(|| node.is_selected()),
        focused,
        rect: [bounds.x0, bounds.y0, bounds.x1, bounds.y1].map(|at| at * scale),
    })
}

#[cfg(test)]
mod tests {
    use egui::{Pos2, RawInput, Rect, Vec2};

    use super::*;

    #[test]
    fn the_screen_is_what_was_drawn() {
        let ctx = Context::default();
        let probe = Probe::install(&ctx);
        let mut text = "typed".to_owned();
        for _ in 0..2 {
            let screen = Rect::from_min_size(Pos2::ZERO, Vec2::new(400.0, 300.0));
            let input = RawInput { screen_rect: Some(screen), ..Default::default() };
            let mut output = ctx.run_ui(input, |ui| {
                let _ = ui.button("Run");
                ui.add_enabled_ui(false, |ui| ui.button("Stop"));
                ui.checkbox(&mut true, "Early stopping");
                ui.text_edit_singleline(&mut text);
            });
            // Nobody paints here.
            output.textures_delta.clear();
        }
        let screen = probe.screen();
        assert_eq!(screen.frame, 2);
        let find = |label: &str| screen.widgets.iter().find(|widget| widget.label == label).unwrap();
        let run = find("Run");
        assert!(run.enabled && run.role == "Button", "{run:?}");
        let [left, top, right, bottom] = run.rect;
        assert!(left >= 0.0 && left < right && right < 400.0 && top < bottom && bottom < 300.0, "{run:?}");
        assert!(!find("Stop").enabled);
        assert_eq!(find("Early stopping").on, Some(true));
        assert!(screen.widgets.iter().any(|widget| widget.value == "typed"), "{screen:?}");
        assert!(probe.json().contains(r#""label":"Run""#));
    }
}
