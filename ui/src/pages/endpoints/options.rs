//! What the endpoint is to have when it starts: gRPC, TLS, certificates of clients, tokens. What is chosen is remembered;
//! what may hold a secret is not, and stays in the form until it is mended.

use athanor_protocol::{
    Failure,
    api::{
        ClientChoice, EndpointField, EndpointOptions, EndpointProblem, Pick, PickKind, ProblemKind, Settings,
        TlsChoice, TokenChoice,
    },
};
use egui::Ui;

use crate::{
    desk::{Desk, Ticket},
    pages::{
        Cx,
        paths::{path_field_with, take_pick},
    },
    theme::size,
    toasts::Tone,
    widgets,
};

/// Below this width fields stand below each other.
const TWO_COLUMNS: f32 = 720.0;

/// The form.
#[derive(Default)]
pub(super) struct Options {
    /// What was typed and must not be remembered.
    draft: Option<EndpointOptions>,
    /// Whether a start was tried: then what is missing is said too.
    tried: bool,
    /// What the engine said of a field.
    refused: Option<Failure>,
    pick: Option<(EndpointField, Ticket<Pick>)>,
}

/// The ways to a certificate, as they are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Off,
    Generated,
    Files,
}

/// A field of text: its place in the options, its words.
struct Text {
    field: EndpointField,
    name: &'static str,
    help: &'static str,
    hint: &'static str,
    is_path: bool,
}

const CERTIFICATE: Text = Text {
    field: EndpointField::Certificate,
    name: "Certificate file (PEM)",
    help: "The certificate first, then those between it and its authority",
    hint: "/etc/athanor/endpoint.crt",
    is_path: true,
};
const PRIVATE_KEY: Text = Text {
    field: EndpointField::PrivateKey,
    name: "Private key file (PEM)",
    help: "",
    hint: "/etc/athanor/endpoint.key",
    is_path: true,
};
const AUTHORITIES: Text = Text {
    field: EndpointField::ClientAuthorities,
    name: "Authorities of clients (PEM)",
    help: "The certificates of those who sign clients' certificates",
    hint: "/etc/athanor/clients-ca.crt",
    is_path: true,
};
const REVOCATIONS: Text = Text {
    field: EndpointField::ClientRevocations,
    name: "Lists of revoked certificates (PEM)",
    help: "May be left empty. Where it is named, every authority needs a list that is not out of date",
    hint: "none",
    is_path: true,
};
const ISSUER: Text = Text {
    field: EndpointField::TokenIssuer,
    name: "Issuer",
    help: "Who makes the tokens: the claim 'iss', letter by letter",
    hint: "https://id.example",
    is_path: false,
};
const AUDIENCE: Text = Text {
    field: EndpointField::TokenAudience,
    name: "Audience",
    help: "For whom a token must be: the claim 'aud'",
    hint: "models",
    is_path: false,
};
const KEYS: Text = Text {
    field: EndpointField::TokenKeys,
    name: "Public keys (JWKS), file or https address",
    help: "A file is read again when it changes, an address every ten minutes",
    hint: "https://id.example/keys",
    is_path: true,
};
const SCOPE_CLAIM: Text = Text {
    field: EndpointField::TokenScopeClaim,
    name: "Claim with what a token may do",
    help: "A text with spaces, or a list of texts",
    hint: "scope",
    is_path: false,
};
const SCOPE_PREFIX: Text = Text {
    field: EndpointField::TokenScopePrefix,
    name: "Prefix of 'predict', 'read' and 'admin'",
    help: "What stands before these words in the claim; may be left empty",
    hint: "nothing",
    is_path: false,
};

/// The text of a field, where there is one now.
fn text_of(options: &mut EndpointOptions, field: EndpointField) -> Option<&mut String> {
    use EndpointField as Field;
    match field {
        Field::Certificate | Field::PrivateKey => match &mut options.tls {
            TlsChoice::Files { certificate, key } => Some(if field == Field::Certificate { certificate } else { key }),
            TlsChoice::Off | TlsChoice::Generated => None,
        },
        Field::ClientAuthorities | Field::ClientRevocations => match &mut options.clients {
            ClientChoice::Required { authorities, revocations, .. } => {
                Some(if field == Field::ClientAuthorities { authorities } else { revocations })
            }
            ClientChoice::Off => None,
        },
        Field::TokenIssuer => options.tokens.as_mut().map(|tokens| &mut tokens.issuer),
        Field::TokenAudience => options.tokens.as_mut().map(|tokens| &mut tokens.audience),
        Field::TokenKeys => options.tokens.as_mut().map(|tokens| &mut tokens.keys),
        Field::TokenScopeClaim => options.tokens.as_mut().map(|tokens| &mut tokens.scope_claim),
        Field::TokenScopePrefix => options.tokens.as_mut().map(|tokens| &mut tokens.scope_prefix),
        Field::Clients => None,
    }
}

/// Some fields beside each other, where there is room.
fn texts_ui(ui: &mut Ui, texts: &[Text], mut add: impl FnMut(&mut Ui, &Text)) {
    let n = if ui.available_width() > TWO_COLUMNS { 2 } else { 1 };
    for row in texts.chunks(n) {
        widgets::columns(ui, n, |ui, at| {
            if let Some(text) = row.get(at) {
                add(ui, text);
            }
        });
    }
}

impl Options {
    /// What the form says, kept or not.
    pub(super) fn now(&self, desk: &Desk) -> EndpointOptions {
        self.draft.clone().unwrap_or_else(|| desk.settings().endpoint_options.clone())
    }

    /// A start is wanted: the first problem that stands against it.
    pub(super) fn check(&mut self, desk: &Desk) -> Option<EndpointProblem> {
        (self.tried, self.refused) = (true, None);
        self.now(desk).problems().into_iter().next()
    }

    /// The engine refused a start; true where that is about a field.
    pub(super) fn refuse(&mut self, failure: &Failure) -> bool {
        let is_field = EndpointField::of(failure).is_some();
        self.refused = Some(failure.clone()).filter(|_| is_field);
        is_field
    }

    /// It has started.
    pub(super) fn done(&mut self) {
        (self.tried, self.refused) = (false, None);
    }

    /// What is wrong with a field, as far as it should be said now.
    fn error(&self, problems: &[EndpointProblem], field: EndpointField) -> Option<String> {
        if let Some(refused) = self.refused.as_ref().filter(|failure| EndpointField::of(failure) == Some(field)) {
            let hint = refused.hint.as_ref().map(|hint| format!(". {}", widgets::sentence(hint))).unwrap_or_default();
            return Some(format!("{}{hint}", refused.message));
        }
        let is_said =
            |problem: &&EndpointProblem| problem.field == field && (self.tried || problem.kind != ProblemKind::Missing);
        problems.iter().find(is_said).map(|problem| problem.message.clone())
    }

    /// Draws the form.
    pub(super) fn ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        let before = self.now(cx.desk);
        let mut options = before.clone();
        self.take_pick(cx, &mut options);
        let problems = options.problems();
        let mut pressed = None;
        ui.add_space(size::TINY_GAP);
        ui.add_enabled_ui(cx.desk.may_change(), |ui| {
            grpc_ui(ui, &mut options);
            let mut texts = |ui: &mut Ui, texts: &[Text], options: &mut EndpointOptions| {
                // Fields that are not asked for leave no gap.
                if texts.iter().all(|text| text_of(options, text.field).is_none()) {
                    return;
                }
                texts_ui(ui, texts, |ui, text| {
                    let Some(value) = text_of(options, text.field) else { return };
                    let error = self.error(&problems, text.field);
                    if text.is_path {
                        let (choose, _) =
                            path_field_with(ui, cx.desk, text.name, text.help, error.as_deref(), value, text.hint);
                        pressed = pressed.or(choose.then_some((text.field, text.name)));
                    } else {
                        widgets::field(ui, text.name, text.help, error.as_deref(), |ui| {
                            widgets::line_edit(ui, text.name, value, text.hint, false)
                        });
                    }
                });
            };
            tls_ui(ui, &mut options);
            texts(ui, &[CERTIFICATE, PRIVATE_KEY], &mut options);
            if options.tls != TlsChoice::Off {
                clients_ui(ui, &mut options);
                texts(ui, &[AUTHORITIES, REVOCATIONS], &mut options);
                is_key_ui(ui, &mut options);
            }
            tokens_ui(ui, &mut options);
            texts(ui, &[ISSUER, AUDIENCE], &mut options);
            texts(ui, &[KEYS], &mut options);
            texts(ui, &[SCOPE_CLAIM, SCOPE_PREFIX], &mut options);
        });
        if let Some(problem) = self.error(&problems, EndpointField::Clients) {
            widgets::note(ui, Tone::Bad, &problem);
        }
        if let Some((field, name)) = pressed.filter(|_| self.pick.is_none()) {
            self.pick = Some((field, cx.desk.ask(pick_file(name))));
        }
        if options != before {
            self.refused = None;
            self.keep(cx, options);
        }
    }

    /// Remembers what may be remembered.
    fn keep(&mut self, cx: &mut Cx<'_>, options: EndpointOptions) {
        if options.problems().iter().any(|problem| problem.kind == ProblemKind::NotKept) {
            self.draft = Some(options);
            return;
        }
        self.draft = None;
        cx.desk.change_settings(|settings: &mut Settings| settings.endpoint_options = options);
    }

    fn take_pick(&mut self, cx: &mut Cx<'_>, options: &mut EndpointOptions) {
        let Some((field, ticket)) = self.pick else { return };
        let mut waiting = Some(ticket);
        let path = take_pick(cx, &mut waiting);
        self.pick = waiting.map(|ticket| (field, ticket));
        if let (Some(path), Some(value)) = (path, text_of(options, field)) {
            *value = path;
        }
    }
}

/// The system's dialog for a file with certificates or keys, whatever its ending is.
fn pick_file(name: &str) -> Pick {
    Pick {
        kind: PickKind::Open,
        title: name.to_owned(),
        filter_name: String::new(),
        extensions: vec![],
        file_name: String::new(),
        multiple: false,
    }
}

fn grpc_ui(ui: &mut Ui, options: &mut EndpointOptions) {
    ui.horizontal(|ui| {
        ui.set_min_height(size::CONTROL);
        let mut has_grpc = options.grpc_port.is_some();
        let help = "Open Inference Protocol over HTTP/2, for programs that ask often";
        if widgets::switch(ui, &mut has_grpc, "gRPC too").on_hover_text(help).changed() {
            options.grpc_port = has_grpc.then_some(0);
        }
        if let Some(port) = &mut options.grpc_port {
            widgets::muted(ui, "on port");
            let mut number = f64::from(*port);
            let field = widgets::number_field(ui, "Port for gRPC", &mut number, 0.0..=65535.0, "");
            if field.on_hover_text("0 takes one that is free").changed() {
                *port = number.round() as u16;
            }
        }
    });
}

fn tls_ui(ui: &mut Ui, options: &mut EndpointOptions) {
    ui.horizontal_wrapped(|ui| {
        widgets::muted(ui, "TLS");
        let mut way = match options.tls {
            TlsChoice::Off => Way::Off,
            TlsChoice::Generated => Way::Generated,
            TlsChoice::Files { .. } => Way::Files,
        };
        let ways = [(Way::Off, "Off"), (Way::Generated, "Made here"), (Way::Files, "From files")];
        if widgets::segments(ui, &mut way, &ways) {
            options.tls = match way {
                Way::Off => TlsChoice::Off,
                Way::Generated => TlsChoice::Generated,
                Way::Files => TlsChoice::Files { certificate: String::new(), key: String::new() },
            };
            if way == Way::Off {
                // Clients show certificates with TLS alone.
                options.clients = ClientChoice::Off;
            }
        }
        let words = match way {
            Way::Off => "enough for programs on this machine",
            Way::Generated => "a certificate signed by itself: clients are told to trust its file",
            Way::Files => "read again when the files change",
        };
        widgets::muted(ui, words);
    });
}

fn clients_ui(ui: &mut Ui, options: &mut EndpointOptions) {
    let mut on = options.clients != ClientChoice::Off;
    let help = "mTLS: a connection without a certificate by one of the authorities is not taken";
    if widgets::switch(ui, &mut on, "Clients must have a certificate").on_hover_text(help).changed() {
        let (authorities, revocations) = (String::new(), String::new());
        options.clients =
            if on { ClientChoice::Required { authorities, revocations, is_key: false } } else { ClientChoice::Off };
    }
}

fn is_key_ui(ui: &mut Ui, options: &mut EndpointOptions) {
    if let ClientChoice::Required { is_key, .. } = &mut options.clients {
        let help = "Off: a client needs a key besides. On: its certificate alone is enough to ask for predictions";
        widgets::switch(ui, is_key, "A certificate stands for a key that may predict").on_hover_text(help);
    }
}

fn tokens_ui(ui: &mut Ui, options: &mut EndpointOptions) {
    let mut on = options.tokens.is_some();
    let help = "JSON web tokens as OpenID Connect has them; keys are taken as well";
    if widgets::switch(ui, &mut on, "Tokens of an identity provider too").on_hover_text(help).changed() {
        options.tokens = on.then(TokenChoice::default);
    }
}
