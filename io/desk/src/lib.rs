//! What a person sees: console, metrics and reports. Reads only.
#![forbid(unsafe_code)]

pub mod console;
pub mod report;
pub mod status;
