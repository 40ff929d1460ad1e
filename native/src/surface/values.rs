//! What crosses the surface as objects, and how it becomes the engine's own.

use std::net::SocketAddr;

use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;

use crate::{
    node::{failure, NodeResult},
    options::Options,
    tls::Identity,
    trust::{NodeId, Trust},
};

#[napi(object)]
pub struct NativeIdentity {
    pub chain: Vec<Uint8Array>,
    pub private_key: Uint8Array,
}

#[napi(object)]
pub struct NativeTrust {
    pub authorities: Vec<Uint8Array>,
    pub revoked: Vec<Uint8Array>,
    pub revoked_serials: Vec<Uint8Array>,
    pub realm: Option<String>,
}

/// See `options.ts` for meanings, bounds and defaults.
#[napi(object)]
pub struct NativeOptions {
    pub alpn: Vec<String>,
    pub stream_window_bytes: Option<u32>,
    pub connection_window_bytes: Option<u32>,
    pub send_window_bytes: Option<u32>,
    pub bidirectional_streams_max: Option<u32>,
    pub unidirectional_streams_max: Option<u32>,
    pub datagram_buffer_bytes: Option<u32>,
    pub idle_timeout_ms: Option<u32>,
    pub keep_alive_ms: Option<u32>,
    pub bbr: Option<bool>,
    pub mtu_max: Option<u32>,
    pub loopback_mtu_max: Option<u32>,
    pub connections_max: Option<u32>,
    pub handshakes_max: Option<u32>,
    pub handshakes_per_address_max: Option<u32>,
    pub handshake_timeout_ms: Option<u32>,
    pub retry_from: Option<u32>,
    pub tickets_max: Option<u32>,
    pub foreign_buffer_bytes: Option<u32>,
    pub key_log: Option<bool>,
    pub reset_seed: Option<Uint8Array>,
    pub random_seed: Option<Uint8Array>,
    pub segmentation: Option<bool>,
}

#[napi(object)]
pub struct NativeAddress {
    pub host: String,
    pub port: u32,
}

#[napi(object)]
pub struct NativeClose {
    pub kind: u32,
    pub code: f64,
    pub reason: String,
    pub by_peer: bool,
    pub remote: NativeAddress,
}

pub fn identity(given: NativeIdentity) -> Identity {
    Identity {
        chain: given.chain.iter().map(|der| der.to_vec()).collect(),
        private_key: given.private_key.to_vec(),
    }
}

pub fn trust(given: NativeTrust) -> NodeResult<Trust> {
    let bytes = |list: &[Uint8Array]| list.iter().map(|der| der.to_vec()).collect::<Vec<_>>();
    let revoked = given
        .revoked
        .iter()
        .map(|id| node_id(id))
        .collect::<NodeResult<Vec<_>>>()?;
    Trust::new(&bytes(&given.authorities), &revoked, &bytes(&given.revoked_serials))
        .map(|trust| trust.in_realm(given.realm))
        .map_err(|message| failure("INVALID", message))
}

pub fn node_id(bytes: &[u8]) -> NodeResult<NodeId> {
    bytes
        .try_into()
        .map_err(|_| failure("INVALID", format!("a node id has 32 bytes, not {}", bytes.len())))
}

pub fn address(host: &str, port: u32) -> NodeResult<SocketAddr> {
    let ip = host
        .parse()
        .map_err(|_| failure("INVALID", format!("{host:?} is not an IP address")))?;
    let port = u16::try_from(port).map_err(|_| failure("INVALID", format!("{port} is not a port")))?;
    Ok(SocketAddr::new(ip, port))
}

pub fn native_address(address: SocketAddr) -> NativeAddress {
    NativeAddress {
        host: address.ip().to_canonical().to_string(),
        port: address.port().into(),
    }
}

pub fn options(given: &NativeOptions, ipv6_socket: bool) -> NodeResult<Options> {
    let base = Options::default();
    let seed = |bytes: &Option<Uint8Array>| bytes.as_ref().map(|bytes| node_id(bytes)).transpose();
    let small = |value: Option<u32>, or: u16| value.map_or(or, |value| value.clamp(1200, 65_527) as u16);
    Ok(Options {
        stream_window: given.stream_window_bytes.unwrap_or(base.stream_window),
        connection_window: given.connection_window_bytes.unwrap_or(base.connection_window),
        send_window: given.send_window_bytes.unwrap_or(base.send_window),
        bidirectional_streams_max: given
            .bidirectional_streams_max
            .unwrap_or(base.bidirectional_streams_max),
        unidirectional_streams_max: given
            .unidirectional_streams_max
            .unwrap_or(base.unidirectional_streams_max),
        datagram_buffer: given.datagram_buffer_bytes.unwrap_or(base.datagram_buffer),
        idle_timeout_ms: given.idle_timeout_ms.unwrap_or(base.idle_timeout_ms),
        keep_alive_ms: given.keep_alive_ms.unwrap_or(base.keep_alive_ms),
        bbr: given.bbr.unwrap_or(base.bbr),
        mtu_max: small(given.mtu_max, base.mtu_max),
        loopback_mtu_max: small(given.loopback_mtu_max, base.loopback_mtu_max),
        connections_max: given.connections_max.unwrap_or(base.connections_max),
        handshakes_max: given.handshakes_max.unwrap_or(base.handshakes_max),
        handshakes_per_address_max: given
            .handshakes_per_address_max
            .unwrap_or(base.handshakes_per_address_max),
        handshake_timeout_ms: given.handshake_timeout_ms.unwrap_or(base.handshake_timeout_ms),
        retry_from: given.retry_from.unwrap_or(base.retry_from),
        tickets_max: given.tickets_max.unwrap_or(base.tickets_max),
        foreign_buffer: given.foreign_buffer_bytes.unwrap_or(base.foreign_buffer),
        virtual_prefix: base.virtual_prefix,
        key_log: given.key_log.unwrap_or(base.key_log),
        ipv6_socket,
        reset_seed: seed(&given.reset_seed)?,
        random_seed: seed(&given.random_seed)?,
        segmentation: given.segmentation.unwrap_or(base.segmentation),
    })
}
