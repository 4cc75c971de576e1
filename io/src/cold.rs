//! Cold: what is done off the hot threads, from records that are durable.

pub mod csv;
pub mod daily;
pub mod door;
pub mod fit;
pub mod line;
pub mod names;
pub mod recorder;
pub mod rest;
pub mod tally;
