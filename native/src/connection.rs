//! One connection: its state beside quinn-proto's, and what the owner can do with it.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Instant,
};

use bytes::{Buf, Bytes, BytesMut};
use quinn_proto::{
    ConnectionHandle, Dir, Event, ReadError, ReadableError, Side, StreamEvent, StreamId, VarInt, WriteError,
};
use rustls::pki_types::CertificateDer;

mod calls;

pub use calls::WRITE_HEADER;

use crate::{
    engine::{EngineError, NO_HANDLE},
    events::{Close, CloseKind, Events, Kind},
    tickets::DialStore,
};

/// Bytes of a batched write that the stream did not take.
#[derive(Default)]
struct Rest {
    data: BytesMut,
    finish: bool,
}

pub struct Connection {
    pub(crate) proto: Option<quinn_proto::Connection>,
    pub(crate) proto_handle: ConnectionHandle,
    pub(crate) dirty: bool,
    pub(crate) scheduled: Option<Instant>,
    pub(crate) released: bool,
    /// An incoming connection whose handshake is going on.
    pub(crate) handshaking: bool,
    /// It counts among the engine's handshakes, and among those of this address.
    pub(crate) counted: Option<IpAddr>,
    /// When its handshake has to be complete.
    handshake_until: Option<Instant>,
    side: Side,
    remote: SocketAddr,
    announced: bool,
    established: bool,
    offered_early: bool,
    datagrams_told: bool,
    tickets_told: usize,
    store: Option<Arc<DialStore>>,
    rests: HashMap<u64, Rest>,
    /// How many streams were opened here, and by the peer: unidirectional, bidirectional.
    opened: [u64; 2],
    accepted: [u64; 2],
    closed: Option<Close>,
}

/// How a read ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadEnd {
    /// More may come; an event tells.
    Open,
    /// The last byte was read.
    Finished,
    /// The peer aborted the stream.
    Reset(u64),
    /// The buffer is full and more is there.
    Full,
    /// The stream does not exist (any more).
    Unknown,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    pub rtt_ms: f64,
    pub min_rtt_ms: f64,
    pub congestion_window: u64,
    pub mtu: u16,
    pub packets_sent: u64,
    pub packets_lost: u64,
    pub bytes_lost: u64,
    pub congestion_events: u64,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    pub datagrams_sent: u64,
    pub datagrams_received: u64,
}

fn varint(value: u64) -> Result<VarInt, EngineError> {
    VarInt::from_u64(value).map_err(|_| EngineError::Invalid(format!("{value} is not below 2^62")))
}

fn dir_index(dir: Dir) -> usize {
    usize::from(dir == Dir::Bi)
}

impl Connection {
    fn new(
        proto: Option<quinn_proto::Connection>,
        proto_handle: ConnectionHandle,
        side: Side,
        remote: SocketAddr,
    ) -> Self {
        Self {
            proto,
            proto_handle,
            dirty: false,
            scheduled: None,
            released: false,
            handshaking: false,
            counted: None,
            handshake_until: None,
            side,
            remote,
            announced: false,
            established: false,
            offered_early: false,
            datagrams_told: false,
            tickets_told: 0,
            store: None,
            rests: HashMap::new(),
            opened: [0; 2],
            accepted: [0; 2],
            closed: None,
        }
    }

    pub(crate) fn client(proto: quinn_proto::Connection, handle: ConnectionHandle, store: Arc<DialStore>) -> Self {
        let remote = proto.remote_address();
        let offered_early = proto.has_0rtt();
        Self {
            announced: true,
            offered_early,
            store: Some(store),
            ..Self::new(Some(proto), handle, Side::Client, remote)
        }
    }

    pub(crate) fn server(
        proto: quinn_proto::Connection,
        handle: ConnectionHandle,
        counted: IpAddr,
        handshake_until: Instant,
    ) -> Self {
        let remote = proto.remote_address();
        Self {
            handshaking: true,
            counted: Some(counted),
            handshake_until: Some(handshake_until),
            ..Self::new(Some(proto), handle, Side::Server, remote)
        }
    }

    /// An incoming connection that failed with its first packet.
    pub(crate) fn failed(remote: SocketAddr, close: Close) -> Self {
        Self {
            closed: Some(close),
            ..Self::new(None, NO_HANDLE, Side::Server, remote)
        }
    }

    pub(crate) fn close(&mut self, now: Instant, code: u64, reason: &[u8]) {
        if self.closed.is_some() {
            return;
        }
        if let (Some(proto), Ok(code)) = (&mut self.proto, varint(code)) {
            proto.close(now, code, Bytes::copy_from_slice(reason));
        }
        self.closed = Some(Close {
            code,
            ..Close::new(CloseKind::Local, "")
        });
        self.handshaking = false;
        self.rests = HashMap::new();
    }

    /// An incoming connection that ended before it was announced.
    pub(crate) fn has_failed(&self) -> bool {
        self.closed.is_some() && !self.announced
    }

    /// Nobody listens at `remote`; `true` when that ends this connection.
    pub(crate) fn refuse(&mut self, now: Instant, remote: SocketAddr, handle: u64, events: &mut Events) -> bool {
        let dialling = self.side.is_client() && self.remote == remote && self.closed.is_none();
        if !dialling || !self.proto.as_ref().is_some_and(quinn_proto::Connection::is_handshaking) {
            return false;
        }
        self.close(now, 0, b"");
        let close = Close::new(CloseKind::Refused, "nobody listens at the port");
        events.push(Kind::Closed, handle, close.kind as u64, 0);
        self.closed = Some(close);
        true
    }

    /// When something is to be done if nothing arrives: quinn-proto's timer, or the end of the handshake's time.
    pub(crate) fn poll_timeout(&mut self) -> Option<Instant> {
        let due = self.proto.as_mut()?.poll_timeout();
        let until = self.handshake_until.filter(|_| self.handshaking);
        due.into_iter().chain(until).min()
    }

    /// End a handshake whose time is over; `true` when it was. Idle time-outs do not bound one: a peer without a
    /// certificate may go on sending.
    pub(crate) fn expire(&mut self, now: Instant, handle: u64, events: &mut Events) -> bool {
        if !self.handshaking || self.handshake_until.is_none_or(|until| until > now) {
            return false;
        }
        self.close(now, 0, b"");
        let close = Close::new(CloseKind::Timeout, "the handshake took too long");
        let kind = if self.announced {
            Kind::Closed
        } else {
            Kind::IncomingFailed
        };
        events.push(kind, handle, close.kind as u64, 0);
        self.closed = Some(close);
        true
    }

    pub(crate) fn poll_events(&mut self, handle: u64, events: &mut Events) {
        let Some(mut proto) = self.proto.take() else {
            return;
        };
        while let Some(event) = proto.poll() {
            // Once told that it is over, the owner wants to hear nothing more. (A loss comes last of all.)
            if self.closed.is_none() {
                self.on_event(handle, event, &mut proto, events);
            }
        }
        if self.closed.is_none() {
            self.check_progress(handle, &proto, events);
        }
        self.proto = Some(proto);
    }

    fn check_progress(&mut self, handle: u64, proto: &quinn_proto::Connection, events: &mut Events) {
        // A client is only sure that the server took its certificate when HANDSHAKE_DONE has come.
        if !self.established
            && self.side.is_client()
            && !proto.is_handshaking()
            && proto.stats().frame_rx.handshake_done > 0
        {
            self.established = true;
            events.push(Kind::Established, handle, 0, 0);
        }
        let remote = proto.remote_address();
        if remote != self.remote {
            self.remote = remote;
            if self.announced {
                events.push(Kind::Address, handle, 0, 0);
            }
        }
        if let Some(store) = &self.store {
            let waiting = store.waiting();
            if waiting > self.tickets_told {
                events.push(Kind::Ticket, handle, 0, 0);
            }
            self.tickets_told = waiting;
        }
    }

    fn on_event(&mut self, handle: u64, event: Event, proto: &mut quinn_proto::Connection, events: &mut Events) {
        match event {
            Event::HandshakeDataReady => {}
            Event::Connected => self.on_connected(handle, proto, events),
            Event::ConnectionLost { reason } => {
                let close = Close::from(reason);
                let kind = if self.announced {
                    Kind::Closed
                } else {
                    Kind::IncomingFailed
                };
                events.push(kind, handle, close.kind as u64, close.code);
                self.closed = Some(close);
                self.handshaking = false;
                self.rests = HashMap::new();
            }
            Event::DatagramReceived => {
                if !self.datagrams_told {
                    self.datagrams_told = true;
                    events.push(Kind::Datagram, handle, 0, 0);
                }
            }
            Event::DatagramsUnblocked => events.push(Kind::DatagramsUnblocked, handle, 0, 0),
            Event::Stream(event) => self.on_stream_event(handle, event, proto, events),
        }
    }

    fn on_connected(&mut self, handle: u64, proto: &quinn_proto::Connection, events: &mut Events) {
        if self.side.is_server() {
            self.handshaking = false;
            self.established = true;
            if !self.announced {
                self.announced = true;
                events.push(Kind::Incoming, handle, 0, 0);
            }
            events.push(Kind::Secured, handle, 0, 0);
            events.push(Kind::Established, handle, 0, 0);
        } else {
            if self.offered_early && !proto.accepted_0rtt() {
                // quinn-proto forgot the streams: their numbers will be used again.
                self.rests = HashMap::new();
                self.opened = [0; 2];
                events.push(Kind::EarlyRejected, handle, 0, 0);
            }
            events.push(Kind::Secured, handle, 0, 0);
        }
    }

    fn on_stream_event(
        &mut self,
        handle: u64,
        event: StreamEvent,
        proto: &mut quinn_proto::Connection,
        events: &mut Events,
    ) {
        match event {
            StreamEvent::Opened { dir } => {
                let early = proto.is_handshaking();
                while let Some(id) = proto.streams().accept(dir) {
                    if !self.announced {
                        self.announced = true;
                        events.push(Kind::Incoming, handle, u64::from(early), 0);
                    }
                    self.accepted[dir_index(dir)] = id.index() + 1;
                    events.push(Kind::Stream, handle, VarInt::from(id).into_inner(), u64::from(early));
                }
            }
            StreamEvent::Readable { id } => {
                let number = VarInt::from(id).into_inner();
                match proto.recv_stream(id).received_reset() {
                    Ok(Some(code)) => events.push(Kind::StreamReset, handle, number, code.into_inner()),
                    _ => events.push(Kind::Readable, handle, number, 0),
                }
            }
            StreamEvent::Writable { id } => {
                let number = VarInt::from(id).into_inner();
                if self.write_rest(proto, id) {
                    events.push(Kind::Writable, handle, number, 0);
                }
            }
            StreamEvent::Finished { id } => events.push(Kind::Finished, handle, VarInt::from(id).into_inner(), 0),
            StreamEvent::Stopped { id, error_code } => {
                let number = VarInt::from(id).into_inner();
                self.rests.remove(&number);
                // RFC 9000 §3.5: a stopped stream is reset, with the peer's code.
                let _ = proto.send_stream(id).reset(error_code);
                events.push(Kind::Stopped, handle, number, error_code.into_inner());
            }
            StreamEvent::Available { dir } => {
                events.push(Kind::Available, handle, dir_index(dir) as u64, 0);
            }
        }
    }

    /// Write what is left of a batched write; `true` when nothing is left and the stream is still open.
    fn write_rest(&mut self, proto: &mut quinn_proto::Connection, id: StreamId) -> bool {
        let number = VarInt::from(id).into_inner();
        let Some(rest) = self.rests.get_mut(&number) else {
            return true;
        };
        let mut stream = proto.send_stream(id);
        while !rest.data.is_empty() {
            match stream.write(&rest.data) {
                Ok(count) => rest.data.advance(count),
                Err(WriteError::Blocked) => return false,
                Err(_) => {
                    self.rests.remove(&number);
                    return false;
                }
            }
        }
        let finish = rest.finish;
        self.rests.remove(&number);
        if finish {
            let _ = stream.finish();
        }
        !finish
    }

    fn id(&self, number: u64) -> Option<StreamId> {
        let id = StreamId::from(VarInt::from_u64(number).ok()?);
        let counts = if id.initiator() == self.side {
            &self.opened
        } else {
            &self.accepted
        };
        // quinn-proto prepares state for streams that the peer may open; using one before the peer did breaks the
        // protocol.
        (id.index() < counts[dir_index(id.dir())]).then_some(id)
    }

    fn readable_id(&self, number: u64) -> Option<StreamId> {
        self.id(number)
            .filter(|id| id.dir() == Dir::Bi || id.initiator() != self.side)
    }

    fn writable_id(&self, number: u64) -> Option<StreamId> {
        self.id(number)
            .filter(|id| id.dir() == Dir::Bi || id.initiator() == self.side)
    }

    fn read(&mut self, number: u64, out: &mut [u8]) -> (usize, ReadEnd, bool) {
        let Some(id) = self.readable_id(number) else {
            return (0, ReadEnd::Unknown, false);
        };
        let Some(proto) = &mut self.proto else {
            return (0, ReadEnd::Unknown, false);
        };
        let mut stream = proto.recv_stream(id);
        let mut chunks = match stream.read(true) {
            Ok(chunks) => chunks,
            Err(ReadableError::ClosedStream | ReadableError::IllegalOrderedRead) => {
                return (0, ReadEnd::Unknown, false)
            }
        };
        let mut count = 0;
        let end = loop {
            if count == out.len() {
                break ReadEnd::Full;
            }
            match chunks.next(out.len() - count) {
                Ok(Some(chunk)) => {
                    out[count..count + chunk.bytes.len()].copy_from_slice(&chunk.bytes);
                    count += chunk.bytes.len();
                }
                Ok(None) => break ReadEnd::Finished,
                Err(ReadError::Blocked) => break ReadEnd::Open,
                Err(ReadError::Reset(code)) => break ReadEnd::Reset(code.into_inner()),
            }
        };
        let transmit = chunks.finalize().should_transmit();
        (count, end, transmit)
    }

    /// As much as the stream takes now.
    fn write(&mut self, number: u64, data: &[u8]) -> usize {
        let (Some(id), Some(proto)) = (self.writable_id(number), &mut self.proto) else {
            return 0;
        };
        if self.rests.contains_key(&number) {
            return 0;
        }
        let mut stream = proto.send_stream(id);
        let mut count = 0;
        while count < data.len() {
            // Only a write that is refused makes quinn-proto tell when the stream takes bytes again.
            match stream.write(&data[count..]) {
                Ok(taken) => count += taken,
                Err(_) => break,
            }
        }
        count
    }

    /// All of it: what the stream does not take is kept. `true` when the stream is (now) blocked.
    fn write_all(&mut self, number: u64, data: &[u8]) -> bool {
        let (Some(id), Some(proto)) = (self.writable_id(number), &mut self.proto) else {
            return false;
        };
        if let Some(rest) = self.rests.get_mut(&number) {
            if !rest.finish {
                rest.data.extend_from_slice(data);
            }
            return true;
        }
        let mut stream = proto.send_stream(id);
        let mut count = 0;
        while count < data.len() {
            match stream.write(&data[count..]) {
                Ok(taken) => count += taken,
                Err(WriteError::Blocked) => {
                    let rest = self.rests.entry(number).or_default();
                    rest.data.extend_from_slice(&data[count..]);
                    return true;
                }
                Err(_) => return false,
            }
        }
        false
    }

    fn peer_chain(&self) -> Option<Vec<CertificateDer<'static>>> {
        let identity = self.proto.as_ref()?.crypto_session().peer_identity()?;
        identity.downcast().ok().map(|chain| *chain)
    }
}
