//! The open document: what it is now, what it was, and whether it is saved.

use std::rc::Rc;

use athanor_protocol::workflow::Workflow;

/// Most steps that can be undone.
const MOST: usize = 300;
/// Changes of the same thing within this many seconds are one step.
const MERGE_SECS: f64 = 1.2;

/// What a change touches: places alone need no new checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touch {
    /// Places and sizes on the canvas.
    Places,
    /// Anything.
    All,
}

struct Step {
    label: String,
    was: Rc<Workflow>,
}

/// The open document.
pub struct Document {
    /// The name that it is saved under; empty where it never was saved.
    pub name: String,
    /// The revision that it was opened or saved with; `None` where the engine has none.
    pub revision: Option<u64>,
    now: Rc<Workflow>,
    saved: Option<Rc<Workflow>>,
    undo: Vec<Step>,
    redo: Vec<Step>,
    merge: Option<(String, f64)>,
    version: u64,
    content: u64,
}

impl Document {
    /// A document as it was saved, or a new one (`saved` is `None`).
    pub fn new(name: &str, revision: Option<u64>, now: Workflow, saved: Option<Workflow>) -> Self {
        let now = Rc::new(now);
        let saved = saved.map(|saved| if saved == *now { Rc::clone(&now) } else { Rc::new(saved) });
        Self {
            name: name.to_owned(),
            revision,
            now,
            saved,
            undo: vec![],
            redo: vec![],
            merge: None,
            version: 1,
            content: 1,
        }
    }

    /// The document now.
    pub fn now(&self) -> &Workflow {
        &self.now
    }

    /// The document now, to keep.
    pub fn share(&self) -> Rc<Workflow> {
        Rc::clone(&self.now)
    }

    /// Grows with every change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Grows with every change of more than places.
    pub fn content(&self) -> u64 {
        self.content
    }

    /// Changes it. Changes with the same key in quick succession are undone together. False where nothing changed.
    pub fn edit(
        &mut self,
        label: &str,
        key: Option<&str>,
        touch: Touch,
        now_secs: f64,
        change: impl FnOnce(&mut Workflow),
    ) -> bool {
        let merges = key.is_some()
            && self.redo.is_empty()
            && !self.undo.is_empty()
            && self.merge.as_ref().is_some_and(|(last, at)| Some(last.as_str()) == key && now_secs - at < MERGE_SECS);
        if merges && touch == Touch::Places {
            // A drag of thousands of nodes changes them in place, frame by frame.
            change(Rc::make_mut(&mut self.now));
            self.merge = key.map(|key| (key.to_owned(), now_secs));
            self.touched(touch);
            return true;
        }
        let was = Rc::clone(&self.now);
        let mut next = (*was).clone();
        change(&mut next);
        if next == *was {
            return false;
        }
        self.now = Rc::new(next);
        if !merges {
            self.undo.push(Step { label: label.to_owned(), was });
            self.redo.clear();
            if self.undo.len() > MOST {
                self.undo.remove(0);
            }
        }
        self.merge = key.map(|key| (key.to_owned(), now_secs));
        self.touched(touch);
        true
    }

    fn touched(&mut self, touch: Touch) {
        self.version += 1;
        if touch == Touch::All {
            self.content += 1;
        }
    }

    /// The next change is a step of its own, whatever its key.
    pub fn end_merge(&mut self) {
        self.merge = None;
    }

    /// Takes the last step back; its label.
    pub fn undo(&mut self) -> Option<String> {
        let step = self.undo.pop()?;
        let was = std::mem::replace(&mut self.now, step.was);
        self.redo.push(Step { label: step.label.clone(), was });
        self.merge = None;
        self.touched(Touch::All);
        Some(step.label)
    }

    /// Does the last undone step again; its label.
    pub fn redo(&mut self) -> Option<String> {
        let step = self.redo.pop()?;
        let was = std::mem::replace(&mut self.now, step.was);
        self.undo.push(Step { label: step.label.clone(), was });
        self.merge = None;
        self.touched(Touch::All);
        Some(step.label)
    }

    /// Whether there is something to undo.
    pub fn can_undo(&self) -> bool {
        !self.undo.is_empty()
    }

    /// Whether there is something to redo.
    pub fn can_redo(&self) -> bool {
        !self.redo.is_empty()
    }

    /// Whether everything is saved.
    pub fn is_saved(&self) -> bool {
        self.saved.as_ref().is_some_and(|saved| Rc::ptr_eq(saved, &self.now) || **saved == *self.now)
    }

    /// Whether it was saved ever.
    pub fn was_saved(&self) -> bool {
        self.saved.is_some()
    }

    /// It was saved as it was when `what` was the document.
    pub fn mark_saved(&mut self, what: Rc<Workflow>, revision: u64) {
        self.saved = Some(what);
        self.revision = Some(revision);
    }

    /// Goes back to what was saved; can be undone.
    pub fn revert(&mut self) -> bool {
        let Some(saved) = self.saved.clone() else { return false };
        let was = std::mem::replace(&mut self.now, saved);
        self.undo.push(Step { label: "Discard changes".to_owned(), was });
        self.redo.clear();
        self.merge = None;
        self.touched(Touch::All);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(document: &Document) -> &str {
        &document.now().description
    }

    fn set(document: &mut Document, key: Option<&str>, at: f64, to: &str) -> bool {
        document.edit("Describe", key, Touch::All, at, |w| w.description = to.to_owned())
    }

    #[test]
    fn typing_is_one_step_and_a_pause_begins_the_next() {
        let mut document = Document::new("a", Some(1), Workflow::empty("a"), Some(Workflow::empty("a")));
        assert!(document.is_saved() && !document.can_undo());
        for (at, text) in [(0.0, "h"), (0.2, "he"), (0.4, "hey")] {
            assert!(set(&mut document, Some("d"), at, text));
        }
        assert!(set(&mut document, Some("d"), 9.0, "hey you"));
        assert!(!set(&mut document, Some("d"), 9.1, "hey you"));
        assert!(!document.is_saved());
        assert_eq!(document.undo().as_deref(), Some("Describe"));
        assert_eq!(named(&document), "hey");
        document.undo();
        assert_eq!((named(&document), document.can_undo()), ("", false));
        assert!(document.is_saved());
        document.redo();
        assert_eq!(named(&document), "hey");
        assert!(set(&mut document, Some("d"), 9.2, "other"));
        assert_eq!(document.redo(), None);
    }

    #[test]
    fn steps_are_bounded_and_places_need_no_checks() {
        let mut document = Document::new("a", None, Workflow::empty("a"), None);
        assert!(!document.is_saved() && !document.was_saved());
        for n in 0..2 * MOST {
            set(&mut document, None, n as f64, &n.to_string());
        }
        assert_eq!(document.undo.len(), MOST);
        let content = document.content();
        document.edit("Move", None, Touch::Places, 0.0, |w| w.name = "b".to_owned());
        assert_eq!(document.content(), content);
    }

    #[test]
    fn discarding_goes_back_to_what_was_saved_and_can_be_undone() {
        let mut document = Document::new("a", Some(1), Workflow::empty("a"), Some(Workflow::empty("a")));
        set(&mut document, None, 0.0, "x");
        assert!(document.revert() && document.is_saved());
        document.undo();
        assert_eq!(named(&document), "x");
        let now = document.share();
        document.mark_saved(now, 2);
        assert!(document.is_saved());
    }
}
