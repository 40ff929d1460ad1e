//! What the owner can do with connections and streams.

use bytes::Bytes;
use quinn_proto::{Dir, SendDatagramError, VarInt};
use rustls::pki_types::CertificateDer;
use std::net::SocketAddr;

use super::{dir_index, varint, ReadEnd, Stats};
use crate::{
    engine::{Engine, EngineError},
    events::Close,
    tickets::Ticket,
    trust::{key_id, node_id, public_key, Chain, NodeId},
};

/// The head of a record in a batch of writes: connection f64, stream f64, length u32, flags u32 (bit 0: finish; bit 1,
/// set here: the stream took not all of it, the rest is kept, and `Writable` follows).
pub const WRITE_HEADER: usize = 24;
const BLOCKED: u8 = 2;

impl Engine {
    /// `None`: the peer allows no more streams now; `Available` tells.
    pub fn open_stream(&mut self, handle: u64, bidirectional: bool, priority: i32) -> Result<Option<u64>, EngineError> {
        let slot = self.slot(handle)?;
        let connection = self.connection(handle)?;
        let dir = if bidirectional { Dir::Bi } else { Dir::Uni };
        let Some(proto) = &mut connection.proto else {
            return Ok(None);
        };
        let Some(id) = proto.streams().open(dir) else {
            return Ok(None);
        };
        connection.opened[dir_index(dir)] = id.index() + 1;
        if priority != 0 {
            let _ = proto.send_stream(id).set_priority(priority);
        }
        self.touch(slot);
        Ok(Some(VarInt::from(id).into_inner()))
    }

    pub fn read(&mut self, handle: u64, stream: u64, out: &mut [u8]) -> Result<(usize, ReadEnd), EngineError> {
        let slot = self.slot(handle)?;
        let (count, end, transmit) = self.connection(handle)?.read(stream, out);
        if transmit {
            self.touch(slot);
        }
        Ok((count, end))
    }

    pub fn write(&mut self, handle: u64, stream: u64, data: &[u8]) -> Result<usize, EngineError> {
        let slot = self.slot(handle)?;
        let count = self.connection(handle)?.write(stream, data);
        self.touch(slot);
        Ok(count)
    }

    /// A batch of writes to any streams, see [`WRITE_HEADER`]. Records of connections or streams that are gone are
    /// skipped: the owner was told, or will be.
    pub fn write_batch(&mut self, batch: &mut [u8]) {
        let mut rest = batch;
        while rest.len() >= WRITE_HEADER {
            let (header, after) = rest.split_at_mut(WRITE_HEADER);
            let number = |at: usize| {
                let bytes: [u8; 8] = header[at..at + 8].try_into().unwrap_or_default();
                f64::from_le_bytes(bytes) as u64
            };
            let word = |at: usize| {
                let bytes: [u8; 4] = header[at..at + 4].try_into().unwrap_or_default();
                u32::from_le_bytes(bytes)
            };
            let (handle, stream) = (number(0), number(8));
            let (length, flags) = (word(16) as usize, word(20));
            let Some((data, after)) = after.split_at_mut_checked(length) else {
                self.counters.malformed_batches += 1;
                return;
            };
            rest = after;
            let Ok(slot) = self.slot(handle) else {
                continue;
            };
            let Ok(connection) = self.connection(handle) else {
                continue;
            };
            if connection.write_all(stream, data) {
                header[20] |= BLOCKED;
            }
            if flags & 1 != 0 {
                let _ = self.finish(handle, stream);
            }
            self.touch(slot);
        }
        if !rest.is_empty() {
            self.counters.malformed_batches += 1;
        }
    }

    /// No more bytes; what was written still arrives.
    pub fn finish(&mut self, handle: u64, stream: u64) -> Result<(), EngineError> {
        let slot = self.slot(handle)?;
        let connection = self.connection(handle)?;
        if let Some(rest) = connection.rests.get_mut(&stream) {
            rest.finish = true;
        } else if let (Some(id), Some(proto)) = (connection.writable_id(stream), &mut connection.proto) {
            let _ = proto.send_stream(id).finish();
        }
        self.touch(slot);
        Ok(())
    }

    pub fn reset(&mut self, handle: u64, stream: u64, code: u64) -> Result<(), EngineError> {
        let code = varint(code)?;
        let slot = self.slot(handle)?;
        let connection = self.connection(handle)?;
        connection.rests.remove(&stream);
        if let (Some(id), Some(proto)) = (connection.writable_id(stream), &mut connection.proto) {
            let _ = proto.send_stream(id).reset(code);
        }
        self.touch(slot);
        Ok(())
    }

    pub fn stop(&mut self, handle: u64, stream: u64, code: u64) -> Result<(), EngineError> {
        let code = varint(code)?;
        let slot = self.slot(handle)?;
        let connection = self.connection(handle)?;
        if let (Some(id), Some(proto)) = (connection.readable_id(stream), &mut connection.proto) {
            let _ = proto.recv_stream(id).stop(code);
        }
        self.touch(slot);
        Ok(())
    }

    pub fn set_priority(&mut self, handle: u64, stream: u64, priority: i32) -> Result<(), EngineError> {
        let connection = self.connection(handle)?;
        if let (Some(id), Some(proto)) = (connection.writable_id(stream), &mut connection.proto) {
            let _ = proto.send_stream(id).set_priority(priority);
        }
        Ok(())
    }

    /// `false`: too large for the path, not supported by the peer, or the buffer is full.
    pub fn send_datagram(&mut self, handle: u64, data: &[u8]) -> Result<bool, EngineError> {
        let slot = self.slot(handle)?;
        let Some(proto) = &mut self.connection(handle)?.proto else {
            return Ok(false);
        };
        match proto.datagrams().send(Bytes::copy_from_slice(data), false) {
            Ok(()) => {
                self.touch(slot);
                Ok(true)
            }
            Err(
                SendDatagramError::Blocked(_)
                | SendDatagramError::TooLarge
                | SendDatagramError::Disabled
                | SendDatagramError::UnsupportedByPeer,
            ) => Ok(false),
        }
    }

    /// The next datagram (RFC 9221) that was received.
    pub fn receive_datagram(&mut self, handle: u64) -> Result<Option<Bytes>, EngineError> {
        let connection = self.connection(handle)?;
        let datagram = connection.proto.as_mut().and_then(|proto| proto.datagrams().recv());
        if datagram.is_none() {
            connection.datagrams_told = false;
        }
        Ok(datagram)
    }

    pub fn datagram_size_max(&mut self, handle: u64) -> Result<Option<usize>, EngineError> {
        let connection = self.connection(handle)?;
        Ok(connection.proto.as_mut().and_then(|proto| proto.datagrams().max_size()))
    }

    pub fn close(&mut self, handle: u64, code: u64, reason: &[u8]) -> Result<(), EngineError> {
        varint(code)?;
        let slot = self.slot(handle)?;
        let now = self.now;
        self.connection(handle)?.close(now, code, reason);
        self.touch(slot);
        Ok(())
    }

    /// The oldest ticket not yet taken.
    pub fn take_ticket(&mut self, handle: u64) -> Result<Option<Ticket>, EngineError> {
        let connection = self.connection(handle)?;
        let (Some(store), Some(chain)) = (&connection.store, connection.peer_chain()) else {
            return Ok(None);
        };
        let ticket = store.take().map(|value| Ticket::new(value, Chain::from(chain)));
        connection.tickets_told = store.waiting();
        Ok(ticket)
    }

    /// The peer's certificates, leaf first; nothing before they are known, or after the connection is gone.
    pub fn peer_chain(&mut self, handle: u64) -> Result<Vec<CertificateDer<'static>>, EngineError> {
        Ok(self.connection(handle)?.peer_chain().unwrap_or_default())
    }

    /// The peer's node id and SubjectPublicKeyInfo; nothing while `peer_chain` is empty.
    pub fn peer(&mut self, handle: u64) -> Result<Option<(NodeId, Vec<u8>)>, EngineError> {
        let chain = self.peer_chain(handle)?;
        let Some(key) = chain.first().and_then(public_key) else {
            return Ok(None);
        };
        Ok(Some((key_id(&key), key)))
    }

    pub fn peer_node_id(&mut self, handle: u64) -> Result<Option<NodeId>, EngineError> {
        let chain = self.peer_chain(handle)?;
        Ok(chain.first().and_then(node_id))
    }

    pub fn alpn(&mut self, handle: u64) -> Result<Option<Vec<u8>>, EngineError> {
        let connection = self.connection(handle)?;
        let data = connection
            .proto
            .as_ref()
            .and_then(|proto| proto.crypto_session().handshake_data());
        let data = data.and_then(|data| data.downcast::<quinn_proto::crypto::rustls::HandshakeData>().ok());
        Ok(data.and_then(|data| data.protocol))
    }

    pub fn remote_address(&mut self, handle: u64) -> Result<SocketAddr, EngineError> {
        Ok(self.connection(handle)?.remote)
    }

    /// Early data was offered, so that streams can be used at once.
    pub fn offers_early_data(&mut self, handle: u64) -> Result<bool, EngineError> {
        Ok(self.connection(handle)?.offered_early)
    }

    pub fn close_reason(&mut self, handle: u64) -> Result<Option<Close>, EngineError> {
        Ok(self.connection(handle)?.closed.clone())
    }

    pub fn stats(&mut self, handle: u64) -> Result<Stats, EngineError> {
        let Some(proto) = &self.connection(handle)?.proto else {
            return Ok(Stats::default());
        };
        let stats = proto.stats();
        Ok(Stats {
            rtt_ms: stats.path.rtt.as_secs_f64() * 1e3,
            min_rtt_ms: stats.path.min_rtt.as_secs_f64() * 1e3,
            congestion_window: stats.path.cwnd,
            mtu: stats.path.current_mtu,
            packets_sent: stats.path.sent_packets,
            packets_lost: stats.path.lost_packets,
            bytes_lost: stats.path.lost_bytes,
            congestion_events: stats.path.congestion_events,
            bytes_sent: stats.udp_tx.bytes,
            bytes_received: stats.udp_rx.bytes,
            datagrams_sent: stats.frame_tx.datagram,
            datagrams_received: stats.frame_rx.datagram,
        })
    }
}
