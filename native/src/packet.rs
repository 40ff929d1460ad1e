//! Datagrams packed into one buffer, as they cross the border to JavaScript:
//!
//! ```text
//! length u32 | family u8 (4 or 6) | ecn u8 | port u16 | address 16 bytes (IPv4 in the first 4) | payload
//! ```
//!
//! Integers are little-endian. Also the address forms: inside the engine an address has the form the socket uses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use quinn_proto::EcnCodepoint;

pub const HEADER: usize = 24;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    pub address: SocketAddr,
    pub ecn: Option<EcnCodepoint>,
    pub payload: &'a [u8],
}

/// Append one datagram to `out`.
pub fn pack(out: &mut Vec<u8>, address: SocketAddr, ecn: Option<EcnCodepoint>, payload: &[u8]) {
    let mut header = [0; HEADER];
    header[..4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    header[5] = ecn.map_or(0, |ecn| ecn as u8);
    header[6..8].copy_from_slice(&address.port().to_le_bytes());
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => {
            header[4] = 4;
            header[8..12].copy_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            header[4] = 6;
            header[8..24].copy_from_slice(&ip.octets());
        }
    }
    out.extend_from_slice(&header);
    out.extend_from_slice(payload);
}

/// Iterates over a packed buffer; stops at the first record that does not fit (`broken` tells).
pub struct Unpack<'a> {
    rest: &'a [u8],
    pub broken: bool,
}

impl<'a> Unpack<'a> {
    pub fn new(packed: &'a [u8]) -> Self {
        Self {
            rest: packed,
            broken: false,
        }
    }
}

impl<'a> Iterator for Unpack<'a> {
    type Item = Datagram<'a>;

    fn next(&mut self) -> Option<Datagram<'a>> {
        if self.rest.is_empty() || self.broken {
            return None;
        }
        self.broken = true;
        let (header, rest) = self.rest.split_at_checked(HEADER)?;
        let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let (payload, rest) = rest.split_at_checked(length)?;
        let port = u16::from_le_bytes([header[6], header[7]]);
        let ip = parse_ip(header[4], &header[8..24])?;
        self.rest = rest;
        self.broken = false;
        Some(Datagram {
            address: SocketAddr::new(ip, port),
            ecn: EcnCodepoint::from_bits(header[5]),
            payload,
        })
    }
}

fn parse_ip(family: u8, octets: &[u8]) -> Option<IpAddr> {
    match family {
        4 => Some(Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]).into()),
        6 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?).into()),
        _ => None,
    }
}

/// Datagrams waiting for the owner: bounded, the newest is dropped and counted when full.
pub struct PackedQueue {
    bytes: Vec<u8>,
    limit: usize,
    pub dropped: u64,
}

impl PackedQueue {
    pub fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            limit,
            dropped: 0,
        }
    }

    /// `true` when the queue was empty before, so that the owner needs to be told.
    pub fn push(&mut self, address: SocketAddr, ecn: Option<EcnCodepoint>, payload: &[u8]) -> bool {
        if self.bytes.len() + HEADER + payload.len() > self.limit {
            self.dropped += 1;
            return false;
        }
        let first = self.bytes.is_empty();
        pack(&mut self.bytes, address, ecn, payload);
        first
    }

    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}

/// IPv4 as the IPv6 socket of a dual-stack endpoint names it, and the other way round.
pub fn for_socket(address: SocketAddr, ipv6: bool) -> SocketAddr {
    match (address.ip(), ipv6) {
        (IpAddr::V4(ip), true) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        (IpAddr::V6(ip), false) => SocketAddr::new(IpAddr::V6(ip).to_canonical(), address.port()),
        _ => address,
    }
}

/// What counts as one address in limits: the host, and for IPv6 its /64, of which a host has all addresses. Addresses
/// with `own_prefix` are names that we gave to peers, each its own.
pub fn address_key(address: SocketAddr, own_prefix: &[u8; 8]) -> IpAddr {
    match address.ip().to_canonical() {
        IpAddr::V6(ip) if ip.octets()[..8] != *own_prefix => {
            IpAddr::V6((u128::from(ip) & !u128::from(u64::MAX)).into())
        }
        ip => ip,
    }
}

pub fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_datagrams_come_back() {
        let mut packed = Vec::new();
        let four: SocketAddr = "192.0.2.1:4433".parse().unwrap();
        let six: SocketAddr = "[2001:db8::1]:1".parse().unwrap();
        pack(&mut packed, four, None, b"one");
        pack(&mut packed, six, Some(EcnCodepoint::Ce), b"");
        let all: Vec<_> = Unpack::new(&packed).collect();
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].address, all[0].payload), (four, &b"one"[..]));
        assert_eq!((all[1].address, all[1].ecn), (six, Some(EcnCodepoint::Ce)));
    }

    #[test]
    fn a_lying_length_ends_the_batch() {
        let mut packed = Vec::new();
        pack(&mut packed, "192.0.2.1:1".parse().unwrap(), None, b"abc");
        packed[0] = 200;
        let mut unpack = Unpack::new(&packed);
        assert!(unpack.next().is_none());
        assert!(unpack.broken);
    }

    #[test]
    fn a_host_counts_as_one_address() {
        let prefix = [0xfd, 0, 0, 0, 0, 0, 0, 1];
        let key = |address: &str| address_key(address.parse().unwrap(), &prefix);
        assert_eq!(key("192.0.2.1:1"), key("[::ffff:192.0.2.1]:2"));
        assert_ne!(key("192.0.2.1:1"), key("192.0.2.2:1"));
        assert_ne!(key("[::ffff:192.0.2.1]:1"), key("[::ffff:192.0.2.2]:1"));
        assert_eq!(key("[2001:db8::1]:1"), key("[2001:db8::ffff:0:0:1]:1"));
        assert_ne!(key("[2001:db8::1]:1"), key("[2001:db8:0:1::1]:1"));
        assert_ne!(key("[fd00:0:0:1::1]:1"), key("[fd00:0:0:1::2]:1"));
    }

    #[test]
    fn a_full_queue_drops_and_counts() {
        let mut queue = PackedQueue::new(60);
        let from = "192.0.2.1:1".parse().unwrap();
        assert!(queue.push(from, None, b"abc"));
        assert!(!queue.push(from, None, b"abc"));
        assert!(!queue.push(from, None, b"abcdefghijklmnop"));
        assert_eq!(queue.dropped, 1);
        assert_eq!(queue.take().len(), 54);
    }
}
