//! The pieces that every page is made of. Each draws itself from [`crate::theme`] and tells assistive technology what it is.

mod basic;
mod button;
mod choice;
mod confirm;
mod empty;
mod field;
mod grid;
mod pill;
mod plot;
mod spark;
mod text;

pub use self::{
    basic::*, button::*, choice::*, confirm::*, empty::*, field::*, grid::*, pill::*, plot::*, spark::*, text::*,
};
