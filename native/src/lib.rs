//! The QUIC engine of Macula: quinn-proto behind a small sans-IO surface, with a batched UDP socket for Node.

pub mod connection;
pub mod engine;
pub mod events;
mod icmp;
pub mod keys;
#[cfg(feature = "node")]
mod node;
pub mod options;
pub mod packet;
#[cfg(feature = "node")]
mod poll;
pub mod sink;
pub mod socket;
#[cfg(feature = "node")]
mod surface;
pub mod tickets;
pub mod tls;
pub mod trust;
