//! The endpoint: connections, their timers, what comes in and what goes out. Sans-IO; `now` is an argument.

use std::{
    cmp::Reverse,
    collections::{hash_map::Entry, BinaryHeap, HashMap, VecDeque},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use quinn_proto::{
    ClientConfig, ConnectionHandle, Endpoint, EndpointConfig, HashedConnectionIdGenerator, ServerConfig,
    TransportConfig,
};
use ring::{digest, hmac};

mod addresses;
mod receive;
mod send;
mod timers;

use self::addresses::Addresses;
use crate::{
    connection::Connection,
    events::{Events, Kind},
    options::{Options, CONNECTIONS_MAX},
    packet::{is_loopback, PackedQueue},
    sink::Outgoing,
    tickets::{DialStore, Ticket},
    tls::{Identity, Tls},
    trust::{dial_name, NodeId, Trust},
};

/// What a call can be refused for. Nothing of it harms the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineError {
    /// The handle names no connection (any more).
    Stale,
    /// A bound of this engine.
    Limit(&'static str),
    Invalid(String),
}

impl std::fmt::Display for EngineError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stale => f.write_str("no such connection"),
            Self::Limit(what) => write!(f, "too many {what}"),
            Self::Invalid(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for EngineError {}

/// Everything counted, in the order in which the owner gets it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    pub datagrams_received: u64,
    pub bytes_received: u64,
    pub datagrams_sent: u64,
    pub bytes_sent: u64,
    pub sends: u64,
    pub receives: u64,
    pub incoming: u64,
    pub incoming_refused: u64,
    pub incoming_retried: u64,
    pub incoming_failed: u64,
    pub foreign_received: u64,
    pub malformed_batches: u64,
    pub send_errors: u64,
    pub send_blocked: u64,
    pub responses_dropped: u64,
}

#[derive(Default)]
pub(crate) struct Slot {
    pub generation: u32,
    pub connection: Option<Box<Connection>>,
}

pub struct Engine {
    pub events: Events,
    pub counters: Counters,
    pub foreign: PackedQueue,
    pub virtual_out: PackedQueue,
    pub(crate) slots: Vec<Slot>,
    pub(crate) tls: Tls,
    pub(crate) now: Instant,
    endpoint: Endpoint,
    free: Vec<u32>,
    /// From quinn-proto's handle to our slot.
    slot_of: Vec<u32>,
    base: Instant,
    now_ms: f64,
    options: Options,
    /// For far peers, and for those on this machine.
    transports: [Arc<TransportConfig>; 2],
    servers: [Arc<ServerConfig>; 2],
    accepting: bool,
    timers: BinaryHeap<Reverse<(Instant, u32, u32)>>,
    dirty: VecDeque<u32>,
    responses: VecDeque<(Outgoing, Vec<u8>)>,
    blocked: Option<(Outgoing, Vec<u8>)>,
    scratch: Vec<u8>,
    addresses: Addresses,
    connection_ids: HashedConnectionIdGenerator,
    /// Connections that quinn-proto still knows.
    live: u32,
    /// Incoming connections whose handshake is going on.
    handshakes: u32,
    /// The same by address; no entry is 0.
    handshakes_from: HashMap<IpAddr, u32>,
    /// Something could not be sent; the owner waits for the socket.
    pub send_blocked: bool,
}

fn handle_of(slot: u32, generation: u32) -> u64 {
    u64::from(generation) << 20 | u64::from(slot)
}

impl Engine {
    /// `now` begins at `now_ms` (any origin, milliseconds, never going back), the wall clock at `unix_ms`.
    pub fn new(
        identity: Identity,
        trust: Trust,
        alpn: Vec<Vec<u8>>,
        options: Options,
        now_ms: f64,
        unix_ms: f64,
    ) -> Result<Self, EngineError> {
        let tls = Tls::new(identity, trust, alpn, options.tickets_max as usize, options.key_log)
            .map_err(EngineError::Invalid)?;
        let base = Instant::now();
        let seed = options.reset_seed.unwrap_or_else(random_seed);
        let cid_key = u64::from_le_bytes(derive(&seed, b"connection ids")[..8].try_into().unwrap_or_default());
        let mut config = EndpointConfig::new(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &derive(&seed, b"reset"))));
        config
            .cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(cid_key)))
            .max_udp_payload_size(65_527)
            .map_err(|error| EngineError::Invalid(error.to_string()))?
            // A set fixed bit tells QUIC from STUN and TURN (RFC 9443).
            .grease_quic_bit(false)
            .rng_seed(options.random_seed);
        let transports = [options.transport(false), options.transport(true)];
        let servers = server_configs(&tls, &transports, &options);
        let endpoint = Endpoint::new(Arc::new(config), Some(servers[0].clone()), true, None);
        let addresses = Addresses::new(options.virtual_prefix, options.ipv6_socket);
        let mut engine = Self {
            events: Events::default(),
            counters: Counters::default(),
            foreign: PackedQueue::new(options.foreign_buffer as usize),
            virtual_out: PackedQueue::new(options.foreign_buffer as usize),
            slots: Vec::new(),
            tls,
            now: base,
            endpoint,
            free: Vec::new(),
            slot_of: Vec::new(),
            base,
            now_ms: 0.0,
            options,
            transports,
            servers,
            accepting: true,
            timers: BinaryHeap::new(),
            dirty: VecDeque::new(),
            responses: VecDeque::new(),
            blocked: None,
            scratch: Vec::new(),
            addresses,
            connection_ids: HashedConnectionIdGenerator::from_key(cid_key),
            live: 0,
            handshakes: 0,
            handshakes_from: HashMap::new(),
            send_blocked: false,
        };
        engine.set_now(now_ms);
        engine.set_wall_clock(unix_ms);
        Ok(engine)
    }

    /// Time never goes back, and nonsense (NaN, infinite, absurdly far) leaves it where it is.
    pub fn set_now(&mut self, now_ms: f64) {
        if now_ms > self.now_ms && now_ms < 1e15 {
            self.now_ms = now_ms;
            self.now = self.base + Duration::from_nanos((now_ms * 1e6) as u64);
            self.tls.clock.advance(now_ms);
        }
    }

    pub fn set_wall_clock(&mut self, unix_ms: f64) {
        if unix_ms.is_finite() {
            self.tls.clock.set(unix_ms, self.now_ms);
        }
    }

    pub fn set_trust(&mut self, trust: Trust) {
        self.tls.verifier.set_trust(trust);
    }

    pub fn set_identity(&mut self, identity: Identity) -> Result<(), EngineError> {
        self.tls.set_identity(identity).map_err(EngineError::Invalid)?;
        self.servers = server_configs(&self.tls, &self.transports, &self.options);
        self.endpoint.set_server_config(Some(self.servers[0].clone()));
        Ok(())
    }

    /// Whether new incoming connections are taken; those that are there go on.
    pub fn set_accepting(&mut self, accepting: bool) {
        self.accepting = accepting;
    }

    /// Datagrams that look like TURN channel data are foreign when they come from `address`.
    pub fn set_turn_server(&mut self, address: SocketAddr, present: bool) -> Result<(), EngineError> {
        self.addresses.set_turn_server(address, present)
    }

    /// Send what goes to `virtual_address` to `real`, and take what comes from `real` as coming from there.
    pub fn map_address(&mut self, virtual_address: SocketAddr, real: Option<SocketAddr>) -> Result<(), EngineError> {
        self.addresses.map(virtual_address, real)
    }

    /// The form in which the socket wants `address`.
    pub fn for_socket(&self, address: SocketAddr) -> SocketAddr {
        self.addresses.for_socket(address)
    }

    /// Dial `remote`. Reports `Established` or `Closed` later.
    pub fn connect(
        &mut self,
        remote: SocketAddr,
        expected: Option<NodeId>,
        alpn: &[u8],
        ticket: Option<&Ticket>,
    ) -> Result<u64, EngineError> {
        if self.live >= self.options.connections_max.min(CONNECTIONS_MAX) {
            return Err(EngineError::Limit("connections"));
        }
        let remote = self.addresses.to_dial(remote);
        // A ticket of somebody else, or of somebody who was revoked since, leads to a full handshake, which tells why.
        let value = ticket
            .filter(|ticket| self.tls.verifier.check_server(&ticket.peer, expected.as_ref()).is_ok())
            .and_then(Ticket::take);
        let store = Arc::new(DialStore::new(value));
        let crypto = self.tls.client(alpn, store.clone()).map_err(EngineError::Invalid)?;
        let mut config = ClientConfig::new(crypto);
        config.transport_config(self.transports[usize::from(is_loopback(remote))].clone());
        let name = dial_name(expected.as_ref());
        let (handle, proto) = self
            .endpoint
            .connect(self.now, config, remote, &name)
            .map_err(|error| EngineError::Invalid(error.to_string()))?;
        let connection = Connection::client(proto, handle, store);
        let slot = self.allocate();
        self.adopt(slot, connection);
        Ok(self.handle(slot))
    }

    fn allocate(&mut self) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() as u32 - 1
        });
        let generation = &mut self.slots[slot as usize].generation;
        *generation = generation.wrapping_add(1).max(1);
        slot
    }

    fn handle(&self, slot: u32) -> u64 {
        handle_of(slot, self.slots[slot as usize].generation)
    }

    fn adopt(&mut self, slot: u32, connection: Connection) {
        let index = connection.proto_handle.0;
        if self.slot_of.len() <= index {
            self.slot_of.resize(index + 1, u32::MAX);
        }
        self.slot_of[index] = slot;
        self.slots[slot as usize].connection = Some(Box::new(connection));
        self.live += 1;
        self.touch(slot);
    }

    /// The slot of a handle; a stale or invented handle is an error.
    pub(crate) fn slot(&self, handle: u64) -> Result<u32, EngineError> {
        let slot = (handle & 0xf_ffff) as u32;
        match self.slots.get(slot as usize) {
            Some(Slot {
                generation,
                connection: Some(_),
            }) if handle_of(slot, *generation) == handle => Ok(slot),
            _ => Err(EngineError::Stale),
        }
    }

    pub(crate) fn connection(&mut self, handle: u64) -> Result<&mut Connection, EngineError> {
        let slot = self.slot(handle)?;
        self.slots[slot as usize]
            .connection
            .as_deref_mut()
            .ok_or(EngineError::Stale)
    }

    /// The connection has something to send or to tell.
    pub(crate) fn touch(&mut self, slot: u32) {
        if let Some(connection) = &mut self.slots[slot as usize].connection {
            if !connection.dirty {
                connection.dirty = true;
                self.dirty.push_back(slot);
            }
        }
    }

    /// Turn what the connections have to tell into events. After every batch of input.
    pub fn settle_all(&mut self) {
        for index in 0..self.dirty.len() {
            self.settle(self.dirty[index]);
        }
        if self.tls.key_lines.as_ref().is_some_and(|lines| !lines.is_empty()) {
            self.events.push(Kind::KeyLog, 0, 0, 0);
        }
    }

    fn settle(&mut self, slot: u32) {
        let handle = self.handle(slot);
        // Out of its slot while it is worked on: a pointer moves, and the borrow checker is content.
        let Some(mut connection) = self.slots[slot as usize].connection.take() else {
            return;
        };
        self.tls.peers.enter(handle);
        let mut drained = false;
        if let Some(proto) = &mut connection.proto {
            while let Some(event) = proto.poll_endpoint_events() {
                drained |= event.is_drained();
                if let Some(answer) = self.endpoint.handle_event(connection.proto_handle, event) {
                    proto.handle_event(answer);
                }
            }
        }
        let failed = connection.has_failed();
        connection.poll_events(handle, &mut self.events);
        self.counters.incoming_failed += u64::from(!failed && connection.has_failed());
        if !connection.handshaking {
            if let Some(address) = connection.counted.take() {
                self.leave_handshakes(address);
            }
        }
        if drained {
            self.live -= 1;
            self.slot_of[connection.proto_handle.0] = u32::MAX;
            connection.proto = None;
        }
        let gone = connection.proto.is_none() && connection.released;
        self.slots[slot as usize].connection = Some(connection);
        if gone {
            self.vacate(slot);
        }
    }

    fn leave_handshakes(&mut self, address: IpAddr) {
        self.handshakes -= 1;
        if let Entry::Occupied(mut count) = self.handshakes_from.entry(address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    fn vacate(&mut self, slot: u32) {
        self.tls.peers.forget(self.handle(slot));
        self.slots[slot as usize].connection = None;
        self.free.push(slot);
    }

    /// The owner is done with the connection. One that is still open is closed.
    pub fn release(&mut self, handle: u64) -> Result<(), EngineError> {
        let slot = self.slot(handle)?;
        let now = self.now;
        let connection = self.connection(handle)?;
        connection.close(now, 0, b"");
        connection.released = true;
        if connection.proto.is_none() {
            self.vacate(slot);
        } else {
            self.touch(slot);
        }
        Ok(())
    }

    pub fn connections(&self) -> u32 {
        self.live
    }

    pub fn handshakes(&self) -> u32 {
        self.handshakes
    }

    /// Something waits to be sent or told.
    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty() || !self.responses.is_empty() || self.blocked.is_some()
    }

    pub fn pop_key_line(&mut self) -> Option<String> {
        self.tls.key_lines.as_ref()?.pop()
    }

    /// Close every connection with the same code; for the end of an endpoint.
    pub fn close_all(&mut self, code: u64, reason: &[u8]) {
        self.accepting = false;
        for slot in 0..self.slots.len() as u32 {
            if let Some(connection) = &mut self.slots[slot as usize].connection {
                connection.close(self.now, code, reason);
                self.touch(slot);
            }
        }
    }
}

fn server_configs(tls: &Tls, transports: &[Arc<TransportConfig>; 2], options: &Options) -> [Arc<ServerConfig>; 2] {
    transports.each_ref().map(|transport| {
        let mut config = ServerConfig::with_crypto(tls.server());
        config
            .transport_config(transport.clone())
            .migration(true)
            .max_incoming(options.handshakes_max as usize + 1);
        Arc::new(config)
    })
}

fn derive(seed: &[u8; 32], purpose: &[u8]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(seed);
    context.update(purpose);
    context.finish().as_ref().try_into().unwrap_or(*seed)
}

fn random_seed() -> [u8; 32] {
    let mut seed = [0; 32];
    let random = ring::rand::SystemRandom::new();
    // Without randomness from the system no key could be made either.
    ring::rand::SecureRandom::fill(&random, &mut seed).expect("the system gives no random bytes");
    seed
}

/// quinn-proto's handle of a connection that never was.
pub(crate) const NO_HANDLE: ConnectionHandle = ConnectionHandle(usize::MAX);
