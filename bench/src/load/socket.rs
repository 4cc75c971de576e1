//! One client's WebSocket: opened while it blocks, and from then on never blocking.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, SystemTime};

use keel_core::units::UnixNanos;
use keel_net::bitget::sign::{Credentials, Secret};
use keel_net::driver::tls::{Roots, client_config, server_name};
use rustls::ClientConnection;

use super::child::Venue;

/// A client's end of a WebSocket of the venue.
pub(super) struct Socket {
    stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
    out: Vec<u8>,
    sent: usize,
    inbound: Vec<u8>,
    read: usize,
    /// Whether the venue has ended it.
    pub(super) closed: bool,
}

impl Socket {
    /// Opens the socket at `path`, such as `/v3/ws/public`.
    pub(super) fn open(venue: &Venue, path: &str) -> io::Result<Self> {
        let authority = venue.authority("rest");
        let stream = TcpStream::connect(authority)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        let tls = match venue.ca()? {
            None => None,
            Some(pem) => {
                let config = client_config(Roots::Pem(&pem))
                    .map_err(|_| io::Error::other("ca.pem holds no certificate"))?;
                let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
                let name =
                    server_name(host).map_err(|_| io::Error::other("no name for a certificate"))?;
                Some(Box::new(ClientConnection::new(config, name).map_err(io::Error::other)?))
            }
        };
        let (out, inbound) = (Vec::new(), Vec::new());
        let mut socket = Self { stream, tls, out, sent: 0, inbound, read: 0, closed: false };
        // The key of RFC 6455 §1.3: nobody is to be convinced of anything here.
        let upgrade = format!(
            "GET {path} HTTP/1.1\r\nHost: {authority}\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        socket.out.extend_from_slice(upgrade.as_bytes());
        socket.flush()?;
        let head = loop {
            let found = socket.inbound.windows(4).position(|window| window == b"\r\n\r\n");
            if let Some(head) = found {
                break head;
            }
            socket.fill_or_fail()?;
        };
        if !socket.inbound.starts_with(b"HTTP/1.1 101 ") {
            return Err(io::Error::other("the venue does not upgrade"));
        }
        socket.read = head + 4;
        Ok(socket)
    }

    /// Opens the private socket and logs in with the venue's first account.
    pub(super) fn log_in(venue: &Venue) -> io::Result<Self> {
        let mut socket = Self::open(venue, "/v3/ws/private")?;
        let [secret, words] = ["secret", "passphrase"].map(|p| Secret::new(venue.key(p).into()));
        let credentials = Credentials::live(venue.key("key").into(), secret, words);
        let since = SystemTime::UNIX_EPOCH.elapsed().map_err(io::Error::other)?.as_nanos();
        let mut login = Vec::new();
        credentials.login(UnixNanos(i64::try_from(since).unwrap_or(i64::MAX)), &mut login);
        let answer = socket.ask(&login)?;
        match answer.windows(CODE_ZERO.len()).any(|window| window == CODE_ZERO) {
            true => Ok(socket),
            false => Err(io::Error::other(String::from_utf8_lossy(&answer).into_owned())),
        }
    }

    /// Sends a text and waits for the next message.
    pub(super) fn ask(&mut self, text: &[u8]) -> io::Result<Vec<u8>> {
        self.queue(text);
        self.flush()?;
        loop {
            if let Some(message) = self.next() {
                return Ok(message.to_vec());
            }
            self.fill_or_fail()?;
        }
    }

    /// From now on nothing blocks.
    pub(super) fn unblock(&mut self) -> io::Result<()> {
        self.stream.set_nonblocking(true)
    }

    /// Queues a text message in one masked frame. The mask is zero: nothing of this is secret.
    pub(super) fn queue(&mut self, text: &[u8]) {
        self.out.push(0x81);
        match text.len() {
            len @ 0..=125 => self.out.push(0x80 | len as u8),
            len => {
                self.out.push(0x80 | 126);
                let len = u16::try_from(len).expect("a request is below 64 KiB");
                self.out.extend_from_slice(&len.to_be_bytes());
            }
        }
        self.out.extend_from_slice(&[0; 4]);
        self.out.extend_from_slice(text);
    }

    /// Writes what is queued, as far as it goes.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        loop {
            let rest = &self.out[self.sent..];
            let taken = match &mut self.tls {
                None if rest.is_empty() => 0,
                None => calm(self.stream.write(rest))?.unwrap_or(0),
                Some(tls) => {
                    let taken = tls.writer().write(rest)?;
                    while tls.wants_write() {
                        if calm(tls.write_tls(&mut self.stream))?.is_none() {
                            break;
                        }
                    }
                    taken
                }
            };
            self.sent += taken;
            if taken == 0 {
                break;
            }
        }
        if self.sent == self.out.len() {
            self.out.clear();
            self.sent = 0;
        }
        Ok(())
    }

    /// Takes what the venue has sent.
    pub(super) fn fill(&mut self) -> io::Result<()> {
        if self.read > KEEP_READ {
            self.inbound.drain(..self.read);
            self.read = 0;
        }
        let mut buffer = [0; READ_BYTES];
        let Some(tls) = &mut self.tls else {
            return match calm(self.stream.read(&mut buffer)) {
                Ok(Some(0)) | Err(_) => {
                    self.closed = true;
                    Ok(())
                }
                Ok(Some(n)) => {
                    self.inbound.extend_from_slice(&buffer[..n]);
                    Ok(())
                }
                Ok(None) => Ok(()),
            };
        };
        match calm(tls.read_tls(&mut self.stream)) {
            Ok(Some(0)) | Err(_) => self.closed = true,
            Ok(Some(_)) => {
                tls.process_new_packets().map_err(io::Error::other)?;
            }
            Ok(None) => {}
        }
        while let Ok(Some(n @ 1..)) = calm(tls.reader().read(&mut buffer)) {
            self.inbound.extend_from_slice(&buffer[..n]);
        }
        // The handshake goes on when both sides have spoken.
        if tls.wants_write() {
            calm(tls.write_tls(&mut self.stream))?;
        }
        Ok(())
    }

    /// The next text message that is there; control frames are passed over. A close frame ends it.
    pub(super) fn next(&mut self) -> Option<&[u8]> {
        loop {
            let bytes = &self.inbound[self.read..];
            let (&first, &second) = (bytes.first()?, bytes.get(1)?);
            let (head, len) = match second {
                126 => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
                127 => {
                    let len = u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?);
                    (10, usize::try_from(len).ok()?)
                }
                len => (2, usize::from(len)),
            };
            let end = self.read + head + len;
            if self.inbound.len() < end {
                return None;
            }
            let start = self.read + head;
            self.read = end;
            match first {
                0x81 => return Some(&self.inbound[start..end]),
                0x88 => self.closed = true,
                _ => {}
            }
        }
    }

    fn fill_or_fail(&mut self) -> io::Result<()> {
        let before = self.inbound.len();
        self.fill()?;
        // A TLS record without plaintext is progress too, and comes seldom.
        match self.closed || (self.tls.is_none() && self.inbound.len() == before) {
            true => Err(io::Error::other("the venue does not answer")),
            false => Ok(()),
        }
    }
}

/// `None` when the call would have blocked.
fn calm(outcome: io::Result<usize>) -> io::Result<Option<usize>> {
    match outcome {
        Ok(n) => Ok(Some(n)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

const ANSWER_WITHIN: Duration = Duration::from_secs(20);
const CODE_ZERO: &[u8] = b"\"code\":0,";
const READ_BYTES: usize = 16 * 1024;
/// Read bytes that are kept before the rest is moved to the front.
const KEEP_READ: usize = 256 * 1024;

/// A request to place an order; `order` has its fields but symbol and client id.
pub(super) fn place(id: u64, client: &str, order: &str) -> String {
    format!(
        "{{\"op\":\"trade\",\"id\":\"{id}\",\"category\":\"usdt-futures\",\
         \"topic\":\"place-order\",\"args\":[{{\"symbol\":\"BTCUSDT\",\
         \"clientOid\":\"{client}\",{order}}}]}}"
    )
}

/// The fields of a buy that rests, at a price in tenths of a USDT.
pub(super) fn rests(price: u64) -> String {
    format!(
        "\"orderType\":\"limit\",\"timeInForce\":\"post_only\",\"side\":\"buy\",\
         \"qty\":\"0.0010\",\"price\":\"{}.{}\"",
        price / 10,
        price % 10
    )
}

/// The fields of an order that takes.
pub(super) fn takes(side: &str) -> String {
    format!("\"orderType\":\"market\",\"side\":\"{side}\",\"qty\":\"0.0010\"")
}

/// A request to cancel an order.
pub(super) fn cancel(id: u64, client: &str) -> String {
    format!(
        "{{\"op\":\"trade\",\"id\":\"{id}\",\"topic\":\"cancel-order\",\
         \"args\":[{{\"clientOid\":\"{client}\"}}]}}"
    )
}

/// The best bid of BTCUSDT in USDT.
pub(super) fn bid(venue: &Venue) -> io::Result<f64> {
    let state = venue.admin("GET", "/admin/state", "")?;
    let bid = state["contracts"][0]["bid"].as_str().and_then(|text| text.parse().ok());
    bid.ok_or_else(|| io::Error::other("the contract has no bid"))
}
