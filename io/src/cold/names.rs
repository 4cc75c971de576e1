//! Names: where a host is, looked up again while a run lasts.
//!
//! A venue's addresses change from one hour to the next. The look-up waits for the system, so it
//! has a thread of its own; an opening connection takes what was found last, and after a failure
//! the next of several.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::Duration;

/// The addresses of one host and port. Copies see the same.
#[derive(Clone, Debug)]
pub struct Addresses {
    place: Arc<Place>,
}

#[derive(Debug)]
struct Place {
    host: String,
    port: u16,
    /// Never empty.
    found: Mutex<Vec<SocketAddr>>,
}

impl Addresses {
    /// Looks `host`, a name or an address without brackets, up.
    ///
    /// # Errors
    /// What the system says, also when the name has no address.
    pub fn look_up(host: &str, port: u16) -> io::Result<Self> {
        let found = Mutex::new(addresses(host, port)?);
        Ok(Self { place: Arc::new(Place { host: host.to_owned(), port, found }) })
    }

    /// One address, which stays.
    pub fn fixed(address: SocketAddr) -> Self {
        let (host, port) = (address.ip().to_string(), address.port());
        Self { place: Arc::new(Place { host, port, found: Mutex::new(vec![address]) }) }
    }

    /// The address to try after so many failures in a row.
    ///
    /// # Panics
    /// When a thread panicked while it had them.
    pub fn pick(&self, failures: u32) -> SocketAddr {
        let found = self.place.found.lock().expect("nobody panics with it");
        found[failures as usize % found.len()]
    }

    /// True when every address is this machine's.
    ///
    /// # Panics
    /// As [`Addresses::pick`].
    pub fn are_here(&self) -> bool {
        let found = self.place.found.lock().expect("nobody panics with it");
        found.iter().all(|address| address.ip().is_loopback())
    }
}

impl Place {
    /// Takes what `look_up` finds; what was found last stays when it finds nothing.
    fn renew(&self, look_up: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>>) {
        if let (Ok(new), Ok(mut found)) = (look_up(&self.host, self.port), self.found.lock()) {
            *found = new;
        }
    }
}

/// Looks the names among `all` up again each minute, as long as anybody has a copy of one.
///
/// # Errors
/// The system refused a thread.
pub fn keep_fresh<'a>(all: impl IntoIterator<Item = &'a Addresses>) -> io::Result<()> {
    let name = |place: &Place| place.host.parse::<IpAddr>().is_err();
    let named = all.into_iter().filter(|addresses| name(&addresses.place));
    let mut places: Vec<Weak<Place>> = named.map(|named| Arc::downgrade(&named.place)).collect();
    if places.is_empty() {
        return Ok(());
    }
    thread::Builder::new().name("names".to_owned()).spawn(move || {
        while !places.is_empty() {
            thread::sleep(RENEW_EVERY);
            places.retain(|place| place.upgrade().map(|place| place.renew(addresses)).is_some());
        }
    })?;
    Ok(())
}

fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let found: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
    if found.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(found) }
}

/// Between two look-ups of a name.
const RENEW_EVERY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn each_failure_takes_the_next_address_and_a_look_up_that_fails_leaves_the_last_ones() {
        let addresses = Addresses::fixed(at(1));
        addresses.place.renew(|_, _| Ok(vec![at(2), at(3)]));
        assert_eq!([0, 1, 2].map(|failures| addresses.pick(failures)), [at(2), at(3), at(2)]);
        addresses.place.renew(|_, _| Err(io::ErrorKind::NotFound.into()));
        assert_eq!(addresses.clone().pick(1), at(3));
    }

    #[test]
    fn where_a_name_leads_is_this_machine_or_not() {
        assert!(Addresses::look_up("localhost", 1).expect("a name").are_here());
        assert!(!Addresses::look_up("192.0.2.1", 1).expect("an address").are_here());
        assert!(Addresses::look_up("", 1).is_err());
    }
}
