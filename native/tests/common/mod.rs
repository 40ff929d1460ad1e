//! Two engines on virtual time and a network between them that delays, loses and garbles.

#![allow(dead_code)]

use std::net::SocketAddr;

use macula_native::{
    engine::Engine,
    events::{Event, Kind},
    options::Options,
    packet::{pack, Unpack},
    sink::PackedSink,
    tls::Identity,
    trust::{node_id, NodeId, Trust},
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PublicKeyData};

pub const DAY_MS: f64 = 86_400_000.0;
/// 2026-11-01T00:00:00Z
pub const EPOCH_MS: f64 = 1_793_491_200_000.0;
pub const ALPN: &[u8] = b"macula/1.0";

pub fn client_address() -> SocketAddr {
    "192.0.2.1:1000".parse().unwrap()
}

pub fn server_address() -> SocketAddr {
    "192.0.2.2:4433".parse().unwrap()
}

pub struct Realm {
    issuer: Issuer<'static, KeyPair>,
    der: Vec<u8>,
}

pub struct Node {
    pub chain: Vec<Vec<u8>>,
    pub key: Vec<u8>,
    pub id: NodeId,
}

impl Realm {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2030, 1, 1);
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self {
            issuer: Issuer::new(params, key),
            der,
        }
    }

    /// A node whose certificate ends with 2026.
    pub fn node(&self) -> Node {
        self.node_of("realm")
    }

    pub fn node_of(&self, realm: &str) -> Node {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 12, 31);
        let spki = key.subject_public_key_info();
        let id: NodeId = ring::digest::digest(&ring::digest::SHA256, &spki)
            .as_ref()
            .try_into()
            .unwrap();
        let uri = format!("macula:{realm}/{}", base32(&id)).try_into().unwrap();
        params.subject_alt_names.push(rcgen::SanType::URI(uri));
        let der = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        Node {
            id: node_id(&der).unwrap(),
            chain: vec![der.to_vec()],
            key: key.serialize_der(),
        }
    }

    pub fn trust(&self, revoked: &[NodeId]) -> Trust {
        Trust::new(std::slice::from_ref(&self.der), revoked, &[]).unwrap()
    }
}

fn base32(bytes: &[u8]) -> String {
    let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    let group = |at: usize| usize::from_str_radix(&format!("{:0<5}", &bits[at..bits.len().min(at + 5)]), 2).unwrap();
    let letter = |at| char::from(b"abcdefghijklmnopqrstuvwxyz234567"[group(at)]);
    (0..bits.len()).step_by(5).map(letter).collect()
}

impl Node {
    pub fn identity(&self) -> Identity {
        Identity {
            chain: self.chain.clone(),
            private_key: self.key.clone(),
        }
    }
}

pub fn engine(node: &Node, trust: Trust, alpn: &[u8], options: Options) -> Engine {
    Engine::new(node.identity(), trust, vec![alpn.to_vec()], options, 0.0, EPOCH_MS).unwrap()
}

/// A datagram under way.
struct Flight {
    at_ms: f64,
    to_server: bool,
    from: SocketAddr,
    payload: Vec<u8>,
}

pub struct World {
    pub client: Engine,
    pub server: Engine,
    pub client_node: Node,
    pub server_node: Node,
    pub realm: Realm,
    pub now_ms: f64,
    pub delay_ms: f64,
    /// One datagram of this many is lost.
    pub lose_every: usize,
    /// How the server sees the client at the moment.
    pub client_address: SocketAddr,
    pub client_events: Vec<Event>,
    pub server_events: Vec<Event>,
    pub delivered: usize,
    count: usize,
    flights: Vec<Flight>,
}

impl World {
    pub fn new() -> Self {
        Self::with(Options::default(), Options::default())
    }

    pub fn with(client: Options, server: Options) -> Self {
        let realm = Realm::new();
        let (client_node, server_node) = (realm.node(), realm.node());
        Self {
            client: engine(&client_node, realm.trust(&[]), ALPN, client),
            server: engine(&server_node, realm.trust(&[]), ALPN, server),
            client_node,
            server_node,
            realm,
            now_ms: 0.0,
            delay_ms: 10.0,
            lose_every: usize::MAX,
            client_address: client_address(),
            client_events: Vec::new(),
            server_events: Vec::new(),
            delivered: 0,
            count: 0,
            flights: Vec::new(),
        }
    }

    pub fn dial(&mut self) -> u64 {
        let id = self.server_node.id;
        self.client.connect(server_address(), Some(id), ALPN, None).unwrap()
    }

    fn transmit(&mut self, from_client: bool) {
        let engine = if from_client {
            &mut self.client
        } else {
            &mut self.server
        };
        engine.set_now(self.now_ms);
        loop {
            let mut sink = PackedSink::new(60_000);
            let done = engine.flush(&mut sink);
            for datagram in Unpack::new(&sink.out) {
                self.count += 1;
                if self.count % self.lose_every == 0 {
                    continue;
                }
                // To an address that the client has left, nothing arrives.
                if !from_client && datagram.address != self.client_address {
                    continue;
                }
                self.flights.push(Flight {
                    at_ms: self.now_ms + self.delay_ms,
                    to_server: from_client,
                    from: if from_client {
                        self.client_address
                    } else {
                        server_address()
                    },
                    payload: datagram.payload.to_vec(),
                });
            }
            if done {
                break;
            }
        }
    }

    fn drain(&mut self) {
        while let Some(event) = self.client.events.pop() {
            self.client_events.push(event);
        }
        while let Some(event) = self.server.events.pop() {
            self.server_events.push(event);
        }
    }

    /// Everything that happens until `until_ms`.
    pub fn run_until(&mut self, until_ms: f64) {
        loop {
            self.transmit(true);
            self.transmit(false);
            self.drain();
            let next = [self.client.timeout(), self.server.timeout()]
                .into_iter()
                .flatten()
                .chain(self.flights.iter().map(|flight| flight.at_ms))
                .fold(f64::INFINITY, f64::min);
            if next > until_ms {
                self.now_ms = until_ms;
                self.client.set_now(until_ms);
                self.server.set_now(until_ms);
                return;
            }
            self.now_ms = self.now_ms.max(next);
            self.client.set_now(self.now_ms);
            self.server.set_now(self.now_ms);
            self.deliver();
            self.client.handle_timeouts();
            self.server.handle_timeouts();
            self.drain();
        }
    }

    fn deliver(&mut self) {
        let now = self.now_ms;
        let (due, later) = std::mem::take(&mut self.flights)
            .into_iter()
            .partition(|flight| flight.at_ms <= now);
        self.flights = later;
        for flight in due {
            let mut packed = Vec::new();
            pack(&mut packed, flight.from, None, &flight.payload);
            let engine = if flight.to_server {
                &mut self.server
            } else {
                &mut self.client
            };
            engine.receive_packed(&packed);
            self.delivered += 1;
        }
    }

    pub fn run(&mut self, for_ms: f64) {
        self.run_until(self.now_ms + for_ms);
    }

    /// A connection on both sides: client's handle, server's handle.
    pub fn connected(&mut self) -> (u64, u64) {
        let client = self.dial();
        self.run(100.0);
        (client, self.incoming())
    }

    pub fn incoming(&self) -> u64 {
        last(&self.server_events, Kind::Incoming)
            .expect("no incoming connection")
            .connection
    }
}

pub fn last(events: &[Event], kind: Kind) -> Option<Event> {
    events.iter().rev().find(|event| event.kind == kind).copied()
}

/// Everything that can be read of a stream now.
pub fn read_all(engine: &mut Engine, connection: u64, stream: u64) -> (Vec<u8>, macula_native::connection::ReadEnd) {
    let mut all = Vec::new();
    let mut buffer = [0; 5000];
    loop {
        let (count, end) = engine.read(connection, stream, &mut buffer).unwrap();
        all.extend_from_slice(&buffer[..count]);
        if end != macula_native::connection::ReadEnd::Full {
            return (all, end);
        }
    }
}
