//! Load on `keel exchange`, from outside: the built program as a child process, real sockets, and
//! clients that do not wait for one another.
//!
//! Client and venue share the machine, so each one's use of it is measured besides.

pub mod child;
pub mod crowd;
pub mod orders;
mod socket;
