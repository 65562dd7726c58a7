//! The pieces that every page is made of. Each draws itself from [`crate::theme`] and tells assistive technology what it is.

mod bars;
mod basic;
mod button;
mod choice;
mod confirm;
mod dialog;
mod empty;
mod field;
mod fold;
mod grid;
mod interval;
mod lines;
mod live;
mod menu;
mod pill;
mod plot;
mod spark;
mod text;

pub use self::{
    bars::*, basic::*, button::*, choice::*, confirm::*, dialog::*, empty::*, field::*, fold::*, grid::*, interval::*,
    lines::*, live::*, menu::*, pill::*, plot::*, spark::*, text::*,
};
