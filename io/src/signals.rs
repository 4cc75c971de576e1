//! Signals: the first interrupt asks for an ordered stop, the second ends the process.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

/// A flag that SIGINT and SIGTERM raise. A second one of them, once the flag is up, ends the
/// process at once with `second`: orders may then still rest, and the code says so.
///
/// # Errors
/// What the system says.
pub fn stop_flag(second: i32) -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order, or the first signal would already find the flag up.
        flag::register_conditional_shutdown(signal, second, Arc::clone(&stop))?;
        flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

/// Lets SIGINT, SIGTERM and SIGHUP pass: for a process that must outlive the one that these are
/// meant for.
///
/// # Errors
/// What the system says.
pub fn outlive() -> io::Result<()> {
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        flag::register(signal, Arc::new(AtomicBool::new(false)))?;
    }
    Ok(())
}
