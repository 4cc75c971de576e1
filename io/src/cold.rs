//! Cold: what is done off the hot threads.

pub mod daily;
