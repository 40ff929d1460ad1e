//! Addresses as connections see them, and as the socket does.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, SocketAddr},
};

use super::EngineError;
use crate::packet::for_socket;

/// Of each kind, at the most.
const ADDRESSES_MAX: usize = 1 << 16;

/// Virtual addresses with the real ones behind them, and TURN servers.
pub(crate) struct Addresses {
    /// What virtual addresses begin with.
    virtual_prefix: [u8; 8],
    /// The socket takes IPv4 addresses mapped into IPv6.
    ipv6_socket: bool,
    virtual_to_real: HashMap<SocketAddr, SocketAddr>,
    real_to_virtual: HashMap<SocketAddr, SocketAddr>,
    turn_servers: HashSet<SocketAddr>,
}

impl Addresses {
    pub fn new(virtual_prefix: [u8; 8], ipv6_socket: bool) -> Self {
        Self {
            virtual_prefix,
            ipv6_socket,
            virtual_to_real: HashMap::new(),
            real_to_virtual: HashMap::new(),
            turn_servers: HashSet::new(),
        }
    }

    pub fn set_turn_server(&mut self, address: SocketAddr, present: bool) -> Result<(), EngineError> {
        let address = self.for_socket(address);
        if !present {
            self.turn_servers.remove(&address);
        } else if self.turn_servers.len() < ADDRESSES_MAX {
            self.turn_servers.insert(address);
        } else {
            return Err(EngineError::Limit("TURN servers"));
        }
        Ok(())
    }

    pub fn is_turn_server(&self, address: SocketAddr) -> bool {
        self.turn_servers.contains(&address)
    }

    pub fn map(&mut self, virtual_address: SocketAddr, real: Option<SocketAddr>) -> Result<(), EngineError> {
        if !self.is_virtual(virtual_address) {
            return Err(EngineError::Invalid(format!(
                "{virtual_address} is not a virtual address"
            )));
        }
        if let Some(old) = self.virtual_to_real.remove(&virtual_address) {
            self.real_to_virtual.remove(&old);
        }
        if let Some(real) = real {
            if self.virtual_to_real.len() >= ADDRESSES_MAX {
                return Err(EngineError::Limit("virtual addresses"));
            }
            let real = self.for_socket(real);
            if let Some(other) = self.real_to_virtual.insert(real, virtual_address) {
                self.virtual_to_real.remove(&other);
            }
            self.virtual_to_real.insert(virtual_address, real);
        }
        Ok(())
    }

    pub fn is_virtual(&self, address: SocketAddr) -> bool {
        matches!(address.ip(), IpAddr::V6(ip) if ip.octets()[..8] == self.virtual_prefix)
    }

    /// Where to send what goes to the virtual address.
    pub fn real(&self, virtual_address: SocketAddr) -> Option<SocketAddr> {
        self.virtual_to_real.get(&virtual_address).copied()
    }

    /// Where connections see the datagrams coming from that the socket got from `address`.
    pub fn seen(&self, address: SocketAddr) -> SocketAddr {
        self.real_to_virtual.get(&address).copied().unwrap_or(address)
    }

    /// The form in which a connection knows the address that it dials.
    pub fn to_dial(&self, address: SocketAddr) -> SocketAddr {
        if self.is_virtual(address) {
            address
        } else {
            self.for_socket(address)
        }
    }

    pub fn for_socket(&self, address: SocketAddr) -> SocketAddr {
        for_socket(address, self.ipv6_socket)
    }
}
