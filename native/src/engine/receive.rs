//! What comes in: datagrams for connections, new connections, foreign datagrams.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::BytesMut;
use quinn_proto::{ConnectionIdGenerator, DatagramEvent, EcnCodepoint, Incoming};

use super::Engine;
use crate::{
    connection::Connection,
    events::{Close, Kind},
    options::CONNECTIONS_MAX,
    packet::{address_key, is_loopback, Unpack},
    sink::Outgoing,
};

/// Stateless answers (Retry, refusals, resets) that wait to be sent, at most: floods must not grow it.
const RESPONSES_MAX: usize = 512;

impl Engine {
    /// Packed datagrams, see `packet.rs`. Returns how many there were.
    pub fn receive_packed(&mut self, packed: &[u8]) -> usize {
        let mut count = 0;
        let mut unpack = Unpack::new(packed);
        for datagram in &mut unpack {
            let address = self.for_socket(datagram.address);
            self.receive(address, None, datagram.ecn, BytesMut::from(datagram.payload));
            count += 1;
        }
        if unpack.broken {
            self.counters.malformed_batches += 1;
        }
        self.settle_all();
        count
    }

    /// One datagram. Call [`Engine::settle_all`] after a batch.
    pub fn receive(&mut self, from: SocketAddr, to: Option<IpAddr>, ecn: Option<EcnCodepoint>, data: BytesMut) {
        self.counters.datagrams_received += 1;
        self.counters.bytes_received += data.len() as u64;
        if self.is_foreign(from, &data) {
            self.counters.foreign_received += 1;
            if self.foreign.push(from, ecn, &data) {
                self.events.push(Kind::Foreign, 0, 0, 0);
            }
            return;
        }
        let remote = self.addresses.seen(from);
        self.scratch.clear();
        match self.endpoint.handle(self.now, remote, to, ecn, data, &mut self.scratch) {
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                let Some(&slot) = self.slot_of.get(handle.0) else {
                    return;
                };
                let connection_handle = self.handle(slot);
                if let Some(connection) = &mut self.slots[slot as usize].connection {
                    if let Some(proto) = &mut connection.proto {
                        self.tls.peers.enter(connection_handle);
                        proto.handle_event(event);
                        self.touch(slot);
                    }
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) => self.accept(incoming),
            Some(DatagramEvent::Response(transmit)) => self.respond(Outgoing::from(&transmit)),
            None => {}
        }
    }

    /// The network says that nobody listens at `address`. Only dials believe it: anybody can send such a message, and an
    /// established connection must not die of it.
    pub fn refused(&mut self, address: SocketAddr) {
        let remote = self.addresses.seen(address);
        for slot in 0..self.slots.len() as u32 {
            let handle = self.handle(slot);
            let now = self.now;
            if let Some(connection) = &mut self.slots[slot as usize].connection {
                if connection.refuse(now, remote, handle, &mut self.events) {
                    self.touch(slot);
                }
            }
        }
    }

    fn is_foreign(&self, from: SocketAddr, data: &[u8]) -> bool {
        let Some(&first) = data.first() else {
            return false;
        };
        // RFC 9443: STUN 0-3, ZRTP 16-19, DTLS 20-63: all without QUIC's fixed bit and long-header bit.
        if first & 0xc0 == 0 {
            return true;
        }
        // Channel data (64-79) looks like a short header; ours carries a connection id that we made.
        (0x40..0x50).contains(&first) && self.addresses.is_turn_server(from) && !self.is_own_connection_id(data)
    }

    fn is_own_connection_id(&self, data: &[u8]) -> bool {
        let length = self.connection_ids.cid_len();
        data.get(1..=length).is_some_and(|id| {
            let id = quinn_proto::ConnectionId::new(id);
            self.connection_ids.validate(&id).is_ok()
        })
    }

    fn accept(&mut self, incoming: Incoming) {
        self.counters.incoming += 1;
        self.scratch.clear();
        let options = &self.options;
        let address = address_key(incoming.remote_address(), &options.virtual_prefix);
        let from_address = self.handshakes_from.get(&address).copied().unwrap_or(0);
        // One host must not keep out the others.
        let full = self.live >= options.connections_max.min(CONNECTIONS_MAX)
            || self.handshakes >= options.handshakes_max
            || from_address >= options.handshakes_per_address_max;
        if full || !self.accepting {
            self.counters.incoming_refused += 1;
            let transmit = self.endpoint.refuse(incoming, &mut self.scratch);
            return self.respond(Outgoing::from(&transmit));
        }
        // Half of an address's share is kept for those who prove that they are there: whoever only writes it as the
        // sender cannot keep its owner out.
        let doubtful = self.handshakes >= options.retry_from || from_address >= options.handshakes_per_address_max / 2;
        if doubtful && incoming.may_retry() && !incoming.remote_address_validated() {
            self.counters.incoming_retried += 1;
            if let Ok(transmit) = self.endpoint.retry(incoming, &mut self.scratch) {
                self.respond(Outgoing::from(&transmit));
            }
            return;
        }
        let slot = self.allocate();
        let handle = self.handle(slot);
        self.tls.peers.enter(handle);
        let remote = incoming.remote_address();
        let config = self.servers[usize::from(is_loopback(remote))].clone();
        match self
            .endpoint
            .accept(incoming, self.now, &mut self.scratch, Some(config))
        {
            Ok((proto_handle, proto)) => {
                self.handshakes += 1;
                *self.handshakes_from.entry(address).or_default() += 1;
                let until = self.now + Duration::from_millis(self.options.handshake_timeout_ms.into());
                self.adopt(slot, Connection::server(proto, proto_handle, address, until));
            }
            Err(error) => {
                if let Some(transmit) = &error.response {
                    self.respond(Outgoing::from(transmit));
                }
                let close = Close::from(error.cause);
                self.counters.incoming_failed += 1;
                self.events
                    .push(Kind::IncomingFailed, handle, close.kind as u64, close.code);
                self.slots[slot as usize].connection = Some(Box::new(Connection::failed(remote, close)));
            }
        }
    }

    /// Queue the answer that quinn-proto left in `scratch`.
    fn respond(&mut self, outgoing: Outgoing) {
        if self.responses.len() < RESPONSES_MAX {
            self.responses.push_back((outgoing, self.scratch.clone()));
        } else {
            self.counters.responses_dropped += 1;
        }
    }
}
