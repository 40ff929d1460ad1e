//! Where outgoing datagrams go: a socket, or a packed buffer.

use std::net::{IpAddr, SocketAddr};

use quinn_proto::{EcnCodepoint, Transmit};

use crate::packet::{pack, HEADER};

/// What a [`Transmit`] of quinn-proto says, as a value that can be kept.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing {
    pub destination: SocketAddr,
    pub ecn: Option<EcnCodepoint>,
    pub segment_size: Option<usize>,
    pub src_ip: Option<IpAddr>,
}

impl From<&Transmit> for Outgoing {
    fn from(transmit: &Transmit) -> Self {
        Self {
            destination: transmit.destination,
            ecn: transmit.ecn,
            segment_size: transmit.segment_size,
            src_ip: transmit.src_ip,
        }
    }
}

pub trait Sink {
    /// How many datagrams one [`Sink::send`] may carry.
    fn segments_max(&self) -> usize;
    /// `false`: no room at the moment; the engine keeps the datagrams and offers them again.
    fn send(&mut self, outgoing: &Outgoing, data: &[u8]) -> bool;
}

/// Packs datagrams into a buffer of at most `limit` bytes; one record per datagram.
pub struct PackedSink {
    pub out: Vec<u8>,
    limit: usize,
}

impl PackedSink {
    pub fn new(limit: usize) -> Self {
        Self { out: Vec::new(), limit }
    }
}

impl Sink for PackedSink {
    fn segments_max(&self) -> usize {
        1
    }

    fn send(&mut self, outgoing: &Outgoing, data: &[u8]) -> bool {
        // One datagram always fits an empty buffer, whatever the limit: else nothing would ever move.
        if !self.out.is_empty() && self.out.len() + HEADER + data.len() > self.limit {
            return false;
        }
        pack(&mut self.out, outgoing.destination, outgoing.ecn, data);
        true
    }
}
