//! The driver against real sockets on loopback: rustls and tungstenite on the other side.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use keel_core::units::{MonoNanos, SECONDS};
use keel_net::driver::{
    Connection, Poller, Security, SocketOptions, Stream, StreamError, Wait, seed, tls,
};
use keel_net::proto::session::{Cause, Incoming, Session, Settings, State};
use keel_net::proto::{Protocol, http};
use peer::{Pki, TlsStream, listen};
use rustls::CertificateError;
use tungstenite::{Message, WebSocket};

mod peer;

fn connect(address: SocketAddr, security: Security) -> Stream {
    Stream::connect(address, security, SocketOptions::default(), NOW.after(SECONDS)).unwrap()
}

/// Pumps, waiting for readiness between, until `done` or an error.
fn pump_until<P: Protocol>(
    connection: &mut Connection<P>,
    mut done: impl FnMut(&mut P) -> bool,
) -> Result<(), StreamError> {
    let mut poller = Poller::new(8).unwrap();
    poller.register(&mut connection.stream, 3).unwrap();
    let result = loop {
        match connection.pump(NOW) {
            Err(error) => break Err(error),
            Ok(_) if done(&mut connection.protocol) => break Ok(()),
            Ok(pumped) if pumped.more => {}
            Ok(_) => {
                assert!(!connection.stream.is_ended(), "ended before it was done");
                let wait = Wait::Park { until: NOW.after(20 * SECONDS), now: NOW };
                let mut told = false;
                let stream = &mut connection.stream;
                poller
                    .wait(wait, |key, readiness| {
                        assert_eq!(key, 3);
                        told = true;
                        stream.ready(readiness);
                    })
                    .unwrap();
                assert!(told, "nothing happens any more");
            }
        }
    };
    poller.deregister(&mut connection.stream).unwrap();
    result
}

fn session() -> Session {
    let mut session = Session::new(Settings::new("localhost", "/ws", false), seed().unwrap());
    assert!(session.open(NOW));
    session
}

/// What a session yields now: payloads, then why it failed.
fn take(session: &mut Session, payloads: &mut Vec<String>) -> Option<Cause> {
    let mut cause = None;
    while let Some(incoming) = session.next(NOW) {
        match incoming {
            Incoming::Payload(bytes) => payloads.push(String::from_utf8(bytes.to_vec()).unwrap()),
            Incoming::Failed(why) => cause = Some(why),
            Incoming::Opened | Incoming::Lost(_) => {}
        }
    }
    cause
}

fn failure(address: SocketAddr, security: Security) -> StreamError {
    let mut connection = Connection { stream: connect(address, security), protocol: session() };
    let error = pump_until(&mut connection, |_| false).unwrap_err();
    assert!(connection.stream.is_ended());
    assert_eq!(connection.protocol.state(), State::Opening, "the caller says why");
    error
}

#[test]
fn a_session_runs_over_tls_with_the_preferred_cipher() {
    let pki = Pki::good();
    let (address, server) = pki.serve(|tls| {
        let mut ws = tungstenite::accept(tls).unwrap();
        let asked = ws.read().unwrap().into_text().unwrap().to_string();
        for n in 0..2_000 {
            ws.write(Message::text(format!("{n} {}", "x".repeat(n)))).unwrap();
        }
        ws.flush().unwrap();
        let goodbye = loop {
            match ws.read() {
                Ok(Message::Close(frame)) => break frame,
                Ok(_) => {}
                Err(error) => panic!("{error}"),
            }
        };
        (asked, u16::from(goodbye.unwrap().code))
    });
    let mut connection =
        Connection { stream: connect(address, pki.security()), protocol: session() };
    let mut payloads = Vec::new();
    pump_until(&mut connection, |session| {
        assert_eq!(take(session, &mut payloads), None);
        session.state() == State::Syncing
    })
    .unwrap();
    let suite = connection.stream.cipher();
    assert_eq!(suite, Some(rustls::CipherSuite::TLS13_AES_128_GCM_SHA256));
    assert!(connection.protocol.subscribe(b"subscribe", 1, NOW));
    pump_until(&mut connection, |session| {
        assert_eq!(take(session, &mut payloads), None);
        payloads.len() == 2_000
    })
    .unwrap();
    for (n, payload) in payloads.iter().enumerate() {
        assert_eq!(*payload, format!("{n} {}", "x".repeat(n)));
    }
    connection.protocol.close(NOW);
    pump_until(&mut connection, |session| {
        take(session, &mut Vec::new());
        session.state() == State::Down
    })
    .unwrap();
    connection.stream.close();
    assert_eq!(server.join().unwrap(), ("subscribe".to_owned(), 1000));
}

#[test]
fn a_certificate_that_is_not_trusted_is_refused_by_name() {
    let good = Pki::good();
    let reason_of = |pki: &Pki, trusted: &Pki| {
        let (address, server) = pki.serve(|mut tls| tls.read(&mut [0; 1]).is_err());
        let error = failure(address, trusted.security());
        assert!(server.join().unwrap(), "not a byte of plaintext was sent");
        error
    };
    let unknown = reason_of(&Pki::good(), &good);
    assert_eq!(unknown, StreamError::Untrusted(CertificateError::UnknownIssuer));
    let reason = |name, year| {
        let pki = Pki::new(name, year);
        reason_of(&pki, &pki)
    };
    use CertificateError::{ExpiredContext, NotValidForNameContext};
    let other = reason("other.example", 4000);
    assert!(matches!(other, StreamError::Untrusted(NotValidForNameContext { .. })), "{other:?}");
    let expired = reason("localhost", 2001);
    assert!(matches!(expired, StreamError::Untrusted(ExpiredContext { .. })), "{expired:?}");
}

#[test]
fn a_port_nobody_listens_on_refuses() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    assert_eq!(failure(address, Pki::good().security()), StreamError::Refused);
}

#[test]
fn a_peer_that_does_not_speak_tls_is_named() {
    let (address, server) = listen(|mut tcp| {
        tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\nplain HTTP\r\n").unwrap();
        let _ = tcp.read_to_end(&mut Vec::new());
    });
    let error = failure(address, Pki::good().security());
    assert!(matches!(error, StreamError::NoTls(_)), "{error:?}");
    server.join().unwrap();
}

#[test]
fn a_peer_that_hangs_up_during_the_handshake_is_a_reset() {
    let (address, server) = listen(|mut tcp| {
        tcp.read_exact(&mut [0; 5]).unwrap();
    });
    assert_eq!(failure(address, Pki::good().security()), StreamError::Reset);
    server.join().unwrap();
}

#[test]
fn a_handshake_that_stalls_times_out() {
    let (address, server) = listen(|mut tcp| tcp.read_to_end(&mut Vec::new()).unwrap());
    let mut stream = connect(address, Pki::good().security());
    let mut protocol = session();
    assert_eq!(stream.deadline(), NOW.after(SECONDS));
    assert!(stream.pump(&mut protocol, NOW.after(SECONDS - 1)).is_ok());
    assert_eq!(stream.pump(&mut protocol, NOW.after(SECONDS)), Err(StreamError::TimedOut));
    assert!(stream.is_ended());
    assert_eq!(stream.pump(&mut protocol, NOW.after(SECONDS)), Ok(Default::default()), "once");
    drop(stream);
    server.join().unwrap();
}

#[test]
fn plaintext_never_leaves_this_machine() {
    let address = "192.0.2.1:443".parse().unwrap();
    let plain = Security::LoopbackPlaintext;
    let refused = Stream::connect(address, plain, SocketOptions::default(), NOW);
    assert_eq!(refused.unwrap_err(), StreamError::PlaintextRefused);
}

/// Sends one whole message and the begin of another, then ends the TCP stream as `end` says.
fn cut_off(end: impl FnOnce(&mut TlsStream) + Send + 'static) -> (Vec<String>, Option<Cause>) {
    let pki = Pki::good();
    let (address, server) = pki.serve(|tls| {
        let mut ws = tungstenite::accept(tls).unwrap();
        ws.send(Message::text("whole")).unwrap();
        end(ws.get_mut());
    });
    let mut connection =
        Connection { stream: connect(address, pki.security()), protocol: session() };
    let mut payloads = Vec::new();
    let mut cause = None;
    pump_until(&mut connection, |session| {
        cause = cause.or(take(session, &mut payloads));
        cause.is_some()
    })
    .unwrap();
    assert!(connection.stream.is_ended());
    server.join().unwrap();
    (payloads, cause)
}

#[test]
fn an_end_between_messages_differs_from_a_cut() {
    let clean = cut_off(|tls| {
        tls.conn.send_close_notify();
        tls.flush().unwrap();
    });
    assert_eq!(clean, (vec!["whole".to_owned()], Some(Cause::StreamEnded)));
    let silent = cut_off(|_| {});
    assert_eq!(silent, (vec!["whole".to_owned()], Some(Cause::StreamCut)), "no close_notify");
    let inside = cut_off(|tls| {
        tls.write_all(&[0x81, 100, b'h', b'a', b'l', b'f']).unwrap();
        tls.conn.send_close_notify();
        tls.flush().unwrap();
    });
    assert_eq!(inside, (vec!["whole".to_owned()], Some(Cause::StreamCut)));
}

#[test]
fn nothing_is_lost_when_a_connection_moves_to_another_thread() {
    let pki = Pki::good();
    let (address, server) = pki.serve(|tls| {
        let mut ws: WebSocket<TlsStream> = tungstenite::accept(tls).unwrap();
        for n in 0..20_000 {
            ws.send(Message::text(n.to_string())).unwrap();
        }
        ws.read().map(|_| ())
    });
    let mut connection =
        Connection { stream: connect(address, pki.security()), protocol: session() };
    let mut payloads = Vec::new();
    for next in [1, 10, 1_000, 20_000] {
        // Each thread stops taking payloads where it has enough: the rest stays inside.
        let mover = thread::spawn(move || {
            pump_until(&mut connection, |session| {
                while payloads.len() < next {
                    match session.next(NOW) {
                        Some(Incoming::Payload(bytes)) => {
                            payloads.push(String::from_utf8(bytes.to_vec()).unwrap());
                        }
                        Some(Incoming::Opened) => {}
                        Some(other) => panic!("{other:?}"),
                        None => return false,
                    }
                }
                true
            })
            .unwrap();
            (connection, payloads)
        });
        (connection, payloads) = mover.join().unwrap();
    }
    let expected: Vec<_> = (0..20_000).map(|n| n.to_string()).collect();
    assert_eq!(payloads, expected);
    drop(connection);
    assert!(server.join().unwrap().is_err());
}

#[test]
fn http_runs_over_tls_and_keeps_its_connection() {
    let pki = Pki::good();
    let body = "x".repeat(1 << 20);
    let (address, server) = pki.serve({
        let body = body.clone();
        move |mut tls| {
            for _ in 0..3 {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    tls.read_exact(&mut byte).unwrap();
                    request.extend(byte);
                }
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                tls.write_all(head.as_bytes()).unwrap();
                tls.write_all(body.as_bytes()).unwrap();
            }
        }
    });
    let client = http::Client::new(http::BODY_BYTES_MAX);
    let mut connection = Connection { stream: connect(address, pki.security()), protocol: client };
    for _ in 0..3 {
        let get = http::Request {
            method: http::Method::Get,
            host: "localhost",
            path: "/api/v3/market/instruments",
            query: "",
            headers: &[],
            body: b"",
        };
        connection.protocol.request(&get, NOW).unwrap();
        pump_until(&mut connection, |client| client.outcome().is_some()).unwrap();
        let response = connection.protocol.outcome().unwrap().unwrap();
        assert_eq!((response.status(), response.body()), (200, body.as_bytes()));
        connection.protocol.finish();
    }
    server.join().unwrap();
}

/// A protocol that sends a lot and takes a little at a time.
struct Bulk {
    out: Vec<u8>,
    at: usize,
    spare: Vec<u8>,
    held: usize,
    got: Vec<u8>,
    closed: Option<bool>,
}

impl Bulk {
    fn new(out: Vec<u8>) -> Self {
        Self { out, at: 0, spare: vec![0; 1000], held: 0, got: Vec::new(), closed: None }
    }

    fn empty(&mut self) {
        self.got.extend_from_slice(&self.spare[..self.held]);
        self.held = 0;
    }
}

impl Protocol for Bulk {
    fn spare(&mut self) -> &mut [u8] {
        &mut self.spare[self.held..]
    }
    fn received(&mut self, bytes: usize, _now: MonoNanos) {
        self.held += bytes;
    }
    fn transmit(&mut self) -> &[u8] {
        &self.out[self.at..]
    }
    fn sent(&mut self, bytes: usize, _now: MonoNanos) {
        self.at += bytes;
    }
    fn closed(&mut self, clean: bool, _now: MonoNanos) {
        assert_eq!(self.closed.replace(clean), None, "an end is told once");
    }
}

#[test]
fn a_slow_peer_and_a_small_buffer_lose_no_byte() {
    let bytes: Vec<u8> =
        (0..6_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let check = |security: Security, address, expected: &[u8]| {
        let protocol = Bulk::new(expected.to_vec());
        let mut connection = Connection { stream: connect(address, security), protocol };
        pump_until(&mut connection, |bulk| {
            bulk.empty();
            bulk.got.len() == expected.len()
        })
        .unwrap();
        assert!(connection.protocol.got == expected);
    };
    // The peer reads everything before it writes anything, so that both directions fill up.
    let pki = Pki::good();
    let length = bytes.len();
    let (address, server) = pki.serve(move |mut tls| {
        let mut all = vec![0; length];
        tls.read_exact(&mut all).unwrap();
        tls.write_all(&all).unwrap();
    });
    check(pki.security(), address, &bytes);
    server.join().unwrap();
    let (address, server) = listen(move |mut tcp| {
        let mut all = vec![0; length];
        tcp.read_exact(&mut all).unwrap();
        tcp.write_all(&all).unwrap();
    });
    check(Security::LoopbackPlaintext, address, &bytes);
    server.join().unwrap();
}

#[test]
fn an_order_socket_is_reset_when_it_is_dropped() {
    let (address, server) = listen(|mut tcp| {
        let mut first = [0; 1];
        tcp.read_exact(&mut first).unwrap();
        tcp.read(&mut first).unwrap_err().kind()
    });
    let options = SocketOptions { abort_on_close: true, busy_poll_us: 50 };
    let plain = Security::LoopbackPlaintext;
    let stream = Stream::connect(address, plain, options, NOW.after(SECONDS)).unwrap();
    let mut connection = Connection { stream, protocol: Bulk::new(vec![1]) };
    pump_until(&mut connection, |bulk| bulk.at == 1).unwrap();
    drop(connection);
    assert_eq!(server.join().unwrap(), ErrorKind::ConnectionReset);
}

#[test]
fn a_spinning_agent_needs_no_poller() {
    let pki = Pki::good();
    let (address, server) = pki.serve(|tls| {
        let mut ws = tungstenite::accept(tls).unwrap();
        ws.send(Message::text("spun")).unwrap();
        ws.read().is_err()
    });
    let mut connection =
        Connection { stream: connect(address, pki.security()), protocol: session() };
    let mut payloads = Vec::new();
    while payloads.is_empty() {
        connection.stream.assume_ready();
        connection.pump(NOW).unwrap();
        take(&mut connection.protocol, &mut payloads);
        thread::yield_now();
    }
    assert_eq!(payloads, ["spun"]);
    drop(connection);
    assert!(server.join().unwrap());
}

#[test]
fn roots_that_are_none_are_refused() {
    use tls::{Roots, RootsError};
    let case = |text: &[u8]| tls::client_config(Roots::Pem(text)).unwrap_err();
    assert_eq!(case(b""), RootsError::Empty);
    assert_eq!(case(b"not PEM"), RootsError::Empty);
    assert_eq!(case(b"-----BEGIN CERTIFICATE-----\nAA\n"), RootsError::NotPem);
    let empty = b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    assert_eq!(case(empty), RootsError::NotACertificate);
    assert!(tls::client_config(Roots::Public).is_ok());
    assert!(tls::server_name("not a name").is_err());
    assert!(tls::server_name("127.0.0.1").is_ok());
}

const NOW: MonoNanos = MonoNanos(5 * SECONDS);
