//! Undo and redo of what the engine was told. Each step is the request that does it and the one that takes it back.

use athanor_protocol::api::Request;

/// Most steps that are kept.
const MOST: usize = 200;

/// A step.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What was done, for example `Promote wine:3 to production`.
    pub label: String,
    /// Takes it back.
    pub undo: Vec<Request>,
    /// Does it again.
    pub redo: Vec<Request>,
}

/// Steps that can be taken back and done again.
#[derive(Debug, Default)]
pub struct UndoStack {
    done: Vec<Step>,
    undone: Vec<Step>,
}

impl UndoStack {
    /// Notes a step that was done.
    pub fn push(&mut self, label: impl Into<String>, undo: Vec<Request>, redo: Vec<Request>) {
        self.done.push(Step { label: label.into(), undo, redo });
        self.undone.clear();
        if self.done.len() > MOST {
            self.done.remove(0);
        }
    }

    /// What takes the last step back.
    pub fn undo(&mut self) -> Option<Step> {
        let step = self.done.pop()?;
        self.undone.push(step.clone());
        Some(step)
    }

    /// What does the last undone step again.
    pub fn redo(&mut self) -> Option<Step> {
        let step = self.undone.pop()?;
        self.done.push(step.clone());
        Some(step)
    }

    /// What would be undone.
    pub fn next_undo(&self) -> Option<&str> {
        self.done.last().map(|step| step.label.as_str())
    }

    /// What would be redone.
    pub fn next_redo(&self) -> Option<&str> {
        self.undone.last().map(|step| step.label.as_str())
    }

    /// Forgets all, for another workspace.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_go_back_and_forth_and_a_new_one_ends_the_undone_ones() {
        let mut stack = UndoStack::default();
        assert_eq!(stack.undo(), None);
        for label in ["a", "b"] {
            stack.push(label, vec![], vec![]);
        }
        assert_eq!(stack.undo().map(|step| step.label).as_deref(), Some("b"));
        assert_eq!((stack.next_undo(), stack.next_redo()), (Some("a"), Some("b")));
        assert_eq!(stack.redo().map(|step| step.label).as_deref(), Some("b"));
        stack.undo();
        stack.push("c", vec![], vec![]);
        assert_eq!(stack.redo(), None);
        for n in 0..2 * MOST {
            stack.push(n.to_string(), vec![], vec![]);
        }
        assert_eq!(stack.done.len(), MOST);
    }
}
