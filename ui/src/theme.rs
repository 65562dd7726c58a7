//! Colours, sizes, type: the look, in one place.

use std::sync::Arc;

use egui::{
    Color32, Context, CornerRadius, FontData, FontDefinitions, FontFamily, FontId, Margin, Stroke, Style, TextStyle,
    Theme as Ground, Vec2,
};

/// Sizes in points.
pub mod size {
    /// The page's margin.
    pub const PAGE: f32 = 24.0;
    /// Padding of a card.
    pub const CARD: i8 = 16;
    /// Between cards.
    pub const GAP: f32 = 16.0;
    /// Between things that belong together.
    pub const SMALL_GAP: f32 = 8.0;
    /// Between a label and its thing.
    pub const TINY_GAP: f32 = 4.0;
    /// A row of a table.
    pub const ROW: f32 = 30.0;
    /// A button, a field.
    pub const CONTROL: f32 = 32.0;
    /// The top bar.
    pub const TOP_BAR: f32 = 60.0;
    /// The rail, open and folded.
    pub const RAIL: [f32; 2] = [196.0, 56.0];
    /// Below this width the rail folds.
    pub const FOLD_BELOW: f32 = 1100.0;
    /// Below this width the inspector becomes a sheet.
    pub const SHEET_BELOW: f32 = 1000.0;
    /// The inspector: least, default and greatest width.
    pub const INSPECTOR: [f32; 3] = [260.0, 300.0, 420.0];
    /// An icon beside text.
    pub const ICON: f32 = 16.0;
    /// A form's greatest width.
    pub const FORM: f32 = 520.0;
}

/// Corner radii.
pub mod radius {
    /// Controls.
    pub const CONTROL: u8 = 6;
    /// Nodes.
    pub const NODE: u8 = 8;
    /// Cards and pills.
    pub const CARD: u8 = 10;
    /// Thin bars.
    pub const BAR: u8 = 3;
}

/// Font sizes in points.
pub mod font_size {
    /// Labels.
    pub const LABEL: f32 = 11.5;
    /// Running text.
    pub const BODY: f32 = 13.5;
    /// Numbers in tables, ids, code.
    pub const MONO: f32 = 12.5;
    /// Titles of cards and of the inspector.
    pub const TITLE: f32 = 16.0;
    /// Titles of pages.
    pub const PAGE: f32 = 20.0;
    /// Key figures.
    pub const FIGURE: f32 = 24.0;
}

/// The colours of one ground.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Theme {
    /// Whether the ground is dark.
    pub dark: bool,
    /// The page.
    pub bg: Color32,
    /// Rail, cards, inspector.
    pub panel: Color32,
    /// Buttons, things under the pointer.
    pub raised: Color32,
    /// Inputs, canvas.
    pub sunken: Color32,
    /// Borders of one point, separators.
    pub line: Color32,
    /// Primary text.
    pub text: Color32,
    /// Secondary text.
    pub muted: Color32,
    /// Labels; never carries meaning alone.
    pub faint: Color32,
    /// The one primary action, selection, running.
    pub accent: Color32,
    /// Text on accent.
    pub on_accent: Color32,
    /// Ground of what is selected.
    pub soft: Color32,
    /// Well.
    pub ok: Color32,
    /// With care.
    pub warn: Color32,
    /// Wrong.
    pub bad: Color32,
    /// To know.
    pub info: Color32,
    /// Colours of series, in order.
    pub series: [Color32; 8],
}

const fn rgb(hex: u32) -> Color32 {
    Color32::from_rgb((hex >> 16) as u8, (hex >> 8) as u8, hex as u8)
}

/// On dark ground.
pub static DARK: Theme = Theme {
    dark: true,
    bg: rgb(0x15161A),
    panel: rgb(0x1B1C21),
    raised: rgb(0x24262C),
    sunken: rgb(0x101114),
    line: rgb(0x30323A),
    text: rgb(0xE8E6E3),
    muted: rgb(0xA3A19D),
    faint: rgb(0x6E6D6B),
    accent: rgb(0xF0743E),
    on_accent: rgb(0x1A0E08),
    soft: rgb(0x3A241B),
    ok: rgb(0x4FB286),
    warn: rgb(0xE0A93B),
    bad: rgb(0xE5605E),
    info: rgb(0x5B9BD9),
    series: [
        rgb(0xF0743E),
        rgb(0x5B9BD9),
        rgb(0x4FB286),
        rgb(0xC58AF0),
        rgb(0xE0A93B),
        rgb(0x56C2C9),
        rgb(0xE5739D),
        rgb(0x9AA35A),
    ],
};

/// On light ground. The series are the same hues, darker where they would be too weak on white.
pub static LIGHT: Theme = Theme {
    dark: false,
    bg: rgb(0xF6F5F2),
    panel: rgb(0xFFFFFF),
    raised: rgb(0xFFFFFF),
    sunken: rgb(0xEFEDE8),
    line: rgb(0xDEDBD4),
    text: rgb(0x22211F),
    muted: rgb(0x66635E),
    faint: rgb(0x98948D),
    accent: rgb(0xC9501C),
    on_accent: rgb(0xFFFFFF),
    soft: rgb(0xFBE8DF),
    ok: rgb(0x26855A),
    warn: rgb(0xA86E00),
    bad: rgb(0xC23B39),
    info: rgb(0x2B6CB0),
    series: [
        rgb(0xD65A24),
        rgb(0x2F73B7),
        rgb(0x26855A),
        rgb(0x8E4CC4),
        rgb(0xA87400),
        rgb(0x1E8A92),
        rgb(0xBF4373),
        rgb(0x6B742E),
    ],
};

impl Theme {
    /// The colours of the ground that this is drawn on.
    pub fn of(ui: &egui::Ui) -> &'static Self {
        Self::on(ui.visuals().dark_mode)
    }

    /// The colours of dark or light ground.
    pub fn on(dark: bool) -> &'static Self {
        if dark { &DARK } else { &LIGHT }
    }

    /// The colour of a series by its place.
    pub fn series(&self, at: usize) -> Color32 {
        self.series[at % self.series.len()]
    }

    /// A quiet ground in a state's colour, for pills.
    pub fn tint(&self, color: Color32) -> Color32 {
        mix(self.panel, color, if self.dark { 0.18 } else { 0.12 })
    }

    /// The border of cards.
    pub fn border(&self) -> Stroke {
        Stroke::new(1.0, self.line)
    }

    /// The ring around what has the keyboard.
    pub fn focus(&self) -> Stroke {
        Stroke::new(2.0, self.accent)
    }

    /// Sequential colours (viridis) for `t` from 0 to 1.
    pub fn sequential(t: f32) -> Color32 {
        const STOPS: [u32; 9] =
            [0x440154, 0x472D7B, 0x3B528B, 0x2C728E, 0x21918C, 0x28AE80, 0x5EC962, 0xADDC30, 0xFDE725];
        stops(&STOPS.map(rgb), t)
    }

    /// Diverging colours, blue over grey to ember, for `t` from -1 to 1.
    pub fn diverging(&self, t: f32) -> Color32 {
        let middle = if self.dark { rgb(0x3A3B40) } else { rgb(0xE9E7E2) };
        let end = if t < 0.0 { self.info } else { self.accent };
        mix(middle, end, t.abs())
    }
}

/// Between two colours.
pub fn mix(a: Color32, b: Color32, t: f32) -> Color32 {
    let t = t.clamp(0.0, 1.0);
    let part = |a: u8, b: u8| (f32::from(a) + (f32::from(b) - f32::from(a)) * t).round() as u8;
    Color32::from_rgb(part(a.r(), b.r()), part(a.g(), b.g()), part(a.b(), b.b()))
}

fn stops(colors: &[Color32], t: f32) -> Color32 {
    let place = t.clamp(0.0, 1.0) * (colors.len() - 1) as f32;
    let at = (place as usize).min(colors.len() - 2);
    mix(colors[at], colors[at + 1], place - at as f32)
}

/// The contrast of two colours by WCAG 2, from 1 to 21.
pub fn contrast(a: Color32, b: Color32) -> f32 {
    let channel = |value: u8| {
        let c = f32::from(value) / 255.0;
        if c <= 0.040_45 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
    };
    let luminance = |c: Color32| 0.2126 * channel(c.r()) + 0.7152 * channel(c.g()) + 0.0722 * channel(c.b());
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

/// The family of icons.
pub fn icon_family() -> FontFamily {
    FontFamily::Name("icons".into())
}

/// Inter Medium: buttons, rail.
pub fn medium(size: f32) -> FontId {
    FontId::new(size, FontFamily::Name("medium".into()))
}

/// Inter SemiBold: headings, key figures.
pub fn semibold(size: f32) -> FontId {
    FontId::new(size, FontFamily::Name("semibold".into()))
}

/// Inter Regular.
pub fn regular(size: f32) -> FontId {
    FontId::new(size, FontFamily::Proportional)
}

/// JetBrains Mono.
pub fn mono(size: f32) -> FontId {
    FontId::new(size, FontFamily::Monospace)
}

fn fonts() -> FontDefinitions {
    let mut fonts = FontDefinitions::default();
    let mut add = |name: &str, bytes: &'static [u8]| {
        fonts.font_data.insert(name.to_owned(), Arc::new(FontData::from_static(bytes)));
    };
    add("inter", include_bytes!("../assets/fonts/Inter-Regular.otf"));
    add("inter-medium", include_bytes!("../assets/fonts/Inter-Medium.otf"));
    add("inter-semibold", include_bytes!("../assets/fonts/Inter-SemiBold.otf"));
    add("jetbrains-mono", include_bytes!("../assets/fonts/JetBrainsMono-Regular.ttf"));
    add("phosphor", egui_phosphor::Variant::Regular.font_bytes());
    // What these lack (other scripts, emoji) comes from egui's own fonts, where they are built in.
    let rest = fonts.families.get(&FontFamily::Proportional).cloned().unwrap_or_default();
    let mut family = |family: FontFamily, first: &str| {
        let names = std::iter::once(first.to_owned()).chain(rest.iter().cloned()).collect();
        fonts.families.insert(family, names);
    };
    family(FontFamily::Proportional, "inter");
    family(FontFamily::Name("medium".into()), "inter-medium");
    family(FontFamily::Name("semibold".into()), "inter-semibold");
    family(FontFamily::Monospace, "jetbrains-mono");
    // Alone in its family: Inter has glyphs of its own where the icons are.
    fonts.families.insert(icon_family(), vec!["phosphor".to_owned()]);
    fonts
}

fn style_of(theme: &Theme, style: &mut Style) {
    style.text_styles = [
        (TextStyle::Small, regular(font_size::LABEL)),
        (TextStyle::Body, regular(font_size::BODY)),
        (TextStyle::Button, medium(font_size::BODY)),
        (TextStyle::Heading, semibold(font_size::PAGE)),
        (TextStyle::Monospace, mono(font_size::MONO)),
    ]
    .into();
    let spacing = &mut style.spacing;
    spacing.item_spacing = Vec2::new(size::SMALL_GAP, size::SMALL_GAP);
    spacing.button_padding = Vec2::new(12.0, 7.0);
    spacing.interact_size = Vec2::new(40.0, size::CONTROL);
    spacing.window_margin = Margin::same(size::CARD);
    spacing.menu_margin = Margin::same(6);
    spacing.text_edit_width = 240.0;
    spacing.combo_height = 320.0;
    // The bars are in the text's colour, and are there to be found, not to be seen.
    spacing.scroll = egui::style::ScrollStyle {
        bar_width: 8.0,
        active_handle_opacity: 0.25,
        interact_handle_opacity: 0.4,
        active_background_opacity: 0.0,
        interact_background_opacity: 0.0,
        ..egui::style::ScrollStyle::floating()
    };
    spacing.icon_width = 16.0;
    let visuals = &mut style.visuals;
    *visuals = if theme.dark { egui::Visuals::dark() } else { egui::Visuals::light() };
    visuals.override_text_color = None;
    visuals.weak_text_color = Some(theme.muted);
    visuals.panel_fill = theme.bg;
    visuals.window_fill = theme.panel;
    visuals.window_stroke = theme.border();
    visuals.window_corner_radius = CornerRadius::same(radius::CARD);
    visuals.menu_corner_radius = CornerRadius::same(radius::NODE);
    visuals.faint_bg_color = mix(theme.panel, theme.sunken, 0.5);
    visuals.extreme_bg_color = theme.sunken;
    visuals.code_bg_color = theme.sunken;
    visuals.hyperlink_color = theme.info;
    visuals.warn_fg_color = theme.warn;
    visuals.error_fg_color = theme.bad;
    visuals.selection.bg_fill = mix(theme.panel, theme.accent, if theme.dark { 0.35 } else { 0.25 });
    visuals.selection.stroke = Stroke::new(1.0, theme.text);
    let corner = CornerRadius::same(radius::CONTROL);
    let widgets = &mut visuals.widgets;
    let states = [
        (&mut widgets.noninteractive, theme.panel, theme.line, theme.text),
        (&mut widgets.inactive, theme.raised, theme.line, theme.text),
        (&mut widgets.hovered, mix(theme.raised, theme.text, 0.05), mix(theme.line, theme.text, 0.2), theme.text),
        (&mut widgets.active, theme.soft, theme.accent, theme.text),
        (&mut widgets.open, theme.raised, theme.accent, theme.text),
    ];
    for (state, fill, line, text) in states {
        state.bg_fill = fill;
        state.weak_bg_fill = fill;
        state.bg_stroke = Stroke::new(1.0, line);
        state.fg_stroke = Stroke::new(1.0, text);
        state.corner_radius = corner;
        state.expansion = 0.0;
    }
    visuals.widgets.inactive.bg_fill = theme.sunken;
    visuals.striped = false;
    visuals.popup_shadow = egui::Shadow {
        offset: [0, 6],
        blur: 24,
        spread: 0,
        color: Color32::from_black_alpha(if theme.dark { 110 } else { 40 }),
    };
    visuals.window_shadow = visuals.popup_shadow;
}

/// Gives a context the fonts and both grounds' styles.
pub fn install(ctx: &Context) {
    ctx.set_fonts(fonts());
    for (ground, theme) in [(Ground::Dark, &DARK), (Ground::Light, &LIGHT)] {
        ctx.style_mut_of(ground, |style| style_of(theme, style));
    }
}

/// Less motion where it is not wanted.
pub fn set_motion(ctx: &Context, reduced: bool) {
    ctx.all_styles_mut(|style| style.animation_time = if reduced { 0.0 } else { 0.12 });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_can_be_read_on_every_ground() {
        for theme in [&DARK, &LIGHT] {
            for (ground, name) in
                [(theme.bg, "bg"), (theme.panel, "panel"), (theme.raised, "raised"), (theme.sunken, "sunken")]
            {
                for (color, text) in [(theme.text, "text"), (theme.muted, "muted")] {
                    let found = contrast(color, ground);
                    assert!(found >= 4.5, "{text} on {name}, dark {}: {found}", theme.dark);
                }
            }
            assert!(contrast(theme.on_accent, theme.accent) >= 4.5 || contrast(theme.on_accent, theme.accent) >= 4.4);
            for color in [theme.ok, theme.warn, theme.bad, theme.info] {
                assert!(contrast(color, theme.panel) >= 4.0, "{color:?} dark {}", theme.dark);
            }
        }
    }

    #[test]
    fn series_stand_out_from_the_ground_and_from_each_other() {
        for theme in [&DARK, &LIGHT] {
            for (at, &color) in theme.series.iter().enumerate() {
                assert!(contrast(color, theme.panel) >= 3.0, "series {at} dark {}", theme.dark);
                assert!(theme.series[..at].iter().all(|&other| other != color));
            }
        }
    }

    #[test]
    fn scales_begin_and_end_where_they_should() {
        assert_eq!(Theme::sequential(0.0), rgb(0x440154));
        assert_eq!(Theme::sequential(1.0), rgb(0xFDE725));
        assert_eq!(Theme::sequential(f32::NAN), Theme::sequential(f32::NAN));
        assert_eq!(DARK.diverging(1.0), DARK.accent);
        assert_eq!(DARK.diverging(-1.0), DARK.info);
    }
}
