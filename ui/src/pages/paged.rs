//! Lists that come page by page: what was loaded stays while it is asked for again.

use athanor_protocol::{
    Code, Failure,
    api::{
        AlertList, AlertPage, Ask, AuditList, AuditPage, KeyEntry, KeyList, KeyPage, Link, ModelList, ModelPage,
        ModelVersions, VersionPage,
    },
    monitor::Alert,
    registry::{AuditEntry, ModelSummary, ModelVersion},
};

use crate::desk::{Desk, Ticket};

/// A request whose answer is a page of a list.
pub trait Pages: Ask + PartialEq {
    /// What is listed.
    type Item;

    /// The same request for the page after this token.
    #[must_use]
    fn after(&self, token: Option<String>) -> Self;

    /// The page's items and the token of the next one.
    fn split(answer: Self::Answer) -> (Vec<Self::Item>, Option<String>);
}

macro_rules! pages {
    ($( $ask:ident => $page:ident of $item:ty ),+ $(,)?) => {
        $( impl Pages for $ask {
            type Item = $item;

            fn after(&self, token: Option<String>) -> Self {
                let mut next = self.clone();
                next.after = token;
                next
            }

            fn split(answer: $page) -> (Vec<$item>, Option<String>) {
                (answer.items, answer.next)
            }
        } )+
    };
}

pages! {
    ModelList => ModelPage of ModelSummary,
    ModelVersions => VersionPage of ModelVersion,
    KeyList => KeyPage of KeyEntry,
    AuditList => AuditPage of AuditEntry,
    AlertList => AlertPage of Alert,
}

/// A list that is kept up to date page by page.
pub struct Paged<R: Pages> {
    asked: Option<R>,
    ticket: Option<Ticket<R>>,
    items: Vec<R::Item>,
    next: Option<String>,
    /// What came since the list was asked for anew; it takes the place of `items` once it is as long.
    fresh: Option<Vec<R::Item>>,
    loaded: bool,
    stale: bool,
    error: Option<Failure>,
    asked_at: f64,
}

impl<R: Pages> Default for Paged<R> {
    fn default() -> Self {
        Self {
            asked: None,
            ticket: None,
            items: vec![],
            next: None,
            fresh: None,
            loaded: false,
            stale: false,
            error: None,
            asked_at: 0.0,
        }
    }
}

impl<R: Pages> Paged<R> {
    /// Keeps the list of this request at hand; call it every frame. True in the frame in which something came.
    pub fn keep(&mut self, desk: &mut Desk, request: &R) -> bool {
        if self.asked.as_ref() != Some(request) {
            *self = Self { asked: Some(request.clone()), stale: true, ..Self::default() };
        }
        let came = self.take(desk);
        if self.stale && self.ticket.is_none() && self.error.is_none() && *desk.link() != Link::LoggedOut {
            self.stale = false;
            self.fresh = Some(vec![]);
            self.send(desk, None);
        }
        came
    }

    fn send(&mut self, desk: &mut Desk, token: Option<String>) {
        if let Some(asked) = &self.asked {
            self.ticket = Some(desk.ask(asked.after(token)));
            self.asked_at = desk.now_secs();
        }
    }

    fn take(&mut self, desk: &mut Desk) -> bool {
        let Some(ticket) = self.ticket else { return false };
        let Some(result) = desk.take(ticket) else { return false };
        self.ticket = None;
        match result {
            Ok(answer) => {
                let (items, next) = R::split(answer);
                self.error = None;
                match &mut self.fresh {
                    Some(fresh) => {
                        fresh.extend(items);
                        if fresh.len() < self.items.len() && next.is_some() {
                            self.send(desk, next);
                        } else {
                            self.items = self.fresh.take().unwrap_or_default();
                            self.next = next;
                            self.loaded = true;
                        }
                    }
                    None => {
                        self.items.extend(items);
                        self.next = next;
                    }
                }
            }
            Err(failure) => {
                self.fresh = None;
                // An engine that was away has not refused.
                if failure.code == Code::Unavailable && *desk.link() != Link::Up {
                    self.stale = true;
                } else {
                    self.error = Some(failure);
                }
            }
        }
        true
    }

    /// What was loaded.
    pub fn items(&self) -> &[R::Item] {
        &self.items
    }

    /// Whether the first page came.
    pub fn is_loaded(&self) -> bool {
        self.loaded
    }

    /// Whether there is more to load.
    pub fn has_more(&self) -> bool {
        self.next.is_some()
    }

    /// Loads the next page.
    pub fn more(&mut self, desk: &mut Desk) {
        if self.ticket.is_none() && !self.stale && self.next.is_some() {
            let next = self.next.clone();
            self.send(desk, next);
        }
    }

    /// Why the last page did not come.
    pub fn error(&self) -> Option<&Failure> {
        self.error.as_ref()
    }

    /// Whether a page is on its way.
    pub fn busy(&self) -> bool {
        self.ticket.is_some()
    }

    /// Whether a page has been on its way for so long that people should see it.
    pub fn slow(&self, desk: &Desk) -> bool {
        self.busy() && desk.now_secs() - self.asked_at > 0.25
    }

    /// The list may be old; [`Paged::keep`] asks again.
    pub fn invalidate(&mut self) {
        self.stale = true;
        self.error = None;
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}
