//! Modes: what a run trades against, and how a run is read back.

pub mod access;
pub mod live;
pub mod paper;
pub mod record;
pub mod replay;
pub mod sim;
pub mod survey;
