//! What the engine tells its owner: flat records of four numbers, so that a turn of the event loop costs one copy.

use std::collections::VecDeque;

use quinn_proto::{ConnectionError, TransportErrorCode};

/// The first number of a record. The second is the connection's handle; the meaning of `a` and `b` is given per kind.
/// `src/io/quic/native.ts` holds the same numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// The handshake is complete and confirmed: each side knows that the other took its certificate.
    Established = 1,
    /// A peer connected. `a`: 1 when the handshake is still going on (early data).
    Incoming = 2,
    /// The connection is over. `a`: a [`CloseKind`], `b`: the code.
    Closed = 3,
    /// The peer opened stream `a`. `b`: 1 when it did so in early data.
    Stream = 4,
    /// Stream `a` may have something to read.
    Readable = 5,
    /// Stream `a` takes bytes again.
    Writable = 6,
    /// Everything written to stream `a`, and its end, was acknowledged.
    Finished = 7,
    /// The peer wants nothing more of stream `a`; `b`: its code.
    Stopped = 8,
    /// Streams can be opened again. `a`: 1 when bidirectional.
    Available = 9,
    /// Datagrams (RFC 9221) are waiting.
    Datagram = 10,
    /// A session ticket is waiting.
    Ticket = 11,
    /// The peer's address changed.
    Address = 12,
    /// Foreign datagrams are waiting (no connection).
    Foreign = 13,
    /// Datagrams to virtual addresses are waiting (no connection).
    Virtual = 14,
    /// Lines for the key log are waiting (no connection).
    KeyLog = 15,
    /// An incoming connection failed before it was announced. `a`, `b` as for `Closed`.
    IncomingFailed = 16,
    /// The peer aborted its side of stream `a` with code `b`.
    StreamReset = 17,
    /// The server did not take the early data: all streams opened so far are lost and their numbers start again.
    EarlyRejected = 19,
    /// The handshake is done on this side and the peer is authenticated.
    Secured = 20,
    /// There is room for datagrams (RFC 9221) again.
    DatagramsUnblocked = 18,
}

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CloseKind {
    Local = 0,
    Application = 1,
    Timeout = 2,
    Reset = 3,
    Refused = 4,
    WrongRealm = 5,
    Expired = 6,
    WrongNode = 7,
    WrongAlpn = 8,
    Revoked = 9,
    Tls = 10,
    Transport = 11,
    Version = 12,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    pub kind: CloseKind,
    pub code: u64,
    pub reason: String,
    /// The peer said so; else this side found it.
    pub by_peer: bool,
}

impl Close {
    pub fn new(kind: CloseKind, reason: &str) -> Self {
        Self {
            kind,
            code: 0,
            reason: reason.to_owned(),
            by_peer: false,
        }
    }

    fn transport(code: TransportErrorCode, reason: String, by_peer: bool) -> Self {
        let code = u64::from(code);
        // RFC 9000 §20.1: 0x0100-0x01ff carry a TLS alert.
        let kind = match code {
            0x02 => CloseKind::Refused,
            0x100..=0x1ff => match code & 0xff {
                44 => CloseKind::Revoked,
                45 => CloseKind::Expired,
                48 => CloseKind::WrongRealm,
                49 => CloseKind::WrongNode,
                120 => CloseKind::WrongAlpn,
                _ => CloseKind::Tls,
            },
            _ => CloseKind::Transport,
        };
        Self {
            kind,
            code,
            reason,
            by_peer,
        }
    }
}

impl From<ConnectionError> for Close {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::VersionMismatch => Self::new(CloseKind::Version, "no common version of QUIC"),
            ConnectionError::TransportError(error) => Self::transport(error.code, error.reason, false),
            ConnectionError::ConnectionClosed(frame) => {
                let reason = String::from_utf8_lossy(&frame.reason).into_owned();
                Self::transport(frame.error_code, reason, true)
            }
            ConnectionError::ApplicationClosed(frame) => Self {
                kind: CloseKind::Application,
                code: frame.error_code.into_inner(),
                reason: String::from_utf8_lossy(&frame.reason).into_owned(),
                by_peer: true,
            },
            ConnectionError::Reset => Self::new(CloseKind::Reset, "the peer knows nothing of this connection"),
            ConnectionError::TimedOut => Self::new(CloseKind::Timeout, "the peer fell silent"),
            ConnectionError::LocallyClosed => Self::new(CloseKind::Local, ""),
            ConnectionError::CidsExhausted => Self::new(CloseKind::Refused, "connection ids exhausted"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    pub kind: Kind,
    pub connection: u64,
    pub a: u64,
    pub b: u64,
}

/// The events not yet fetched. The owner fetches all of them in every turn.
#[derive(Default)]
pub struct Events {
    queue: VecDeque<Event>,
}

/// Numbers in one record of [`Events::fill`].
pub const EVENT_WORDS: usize = 4;

impl Events {
    pub fn push(&mut self, kind: Kind, connection: u64, a: u64, b: u64) {
        self.queue.push_back(Event { kind, connection, a, b });
    }

    pub fn pop(&mut self) -> Option<Event> {
        self.queue.pop_front()
    }

    pub fn len(&self) -> usize {
        self.queue.len()
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Move as many records as fit into `into`; returns how many.
    pub fn fill(&mut self, into: &mut [f64]) -> usize {
        let mut count = 0;
        for record in into.chunks_exact_mut(EVENT_WORDS) {
            let Some(event) = self.queue.pop_front() else {
                break;
            };
            record[0] = f64::from(event.kind as u8);
            record[1] = event.connection as f64;
            record[2] = event.a as f64;
            record[3] = event.b as f64;
            count += 1;
        }
        if self.queue.is_empty() && self.queue.capacity() > 4096 {
            self.queue = VecDeque::new();
        }
        count
    }
}
