//! The engine's settings and the transport parameters made from them.

use std::{sync::Arc, time::Duration};

use quinn_proto::{
    congestion::{BbrConfig, CubicConfig},
    IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt,
};

/// Every bound of an engine. The TypeScript side documents and checks them; the clamps here keep the engine safe.
#[derive(Clone, Debug)]
pub struct Options {
    pub stream_window: u32,
    pub connection_window: u32,
    pub send_window: u32,
    pub bidirectional_streams_max: u32,
    pub unidirectional_streams_max: u32,
    pub datagram_buffer: u32,
    pub idle_timeout_ms: u32,
    pub keep_alive_ms: u32,
    pub bbr: bool,
    pub mtu_max: u16,
    pub loopback_mtu_max: u16,
    pub connections_max: u32,
    pub handshakes_max: u32,
    /// From one address, see [`address_key`](crate::packet::address_key).
    pub handshakes_per_address_max: u32,
    pub handshake_timeout_ms: u32,
    /// From this many handshakes on, a peer has to prove its address first.
    pub retry_from: u32,
    pub tickets_max: u32,
    /// Bytes of foreign datagrams, and of datagrams to virtual addresses, that wait for the owner.
    pub foreign_buffer: u32,
    /// The /64 in which virtual addresses lie.
    pub virtual_prefix: [u8; 8],
    pub key_log: bool,
    /// Datagrams from IPv4 appear as mapped IPv6 addresses (a dual-stack socket).
    pub ipv6_socket: bool,
    /// For connection ids and reset tokens that survive a restart; random when absent.
    pub reset_seed: Option<[u8; 32]>,
    /// For reproducible simulations only.
    pub random_seed: Option<[u8; 32]>,
    pub segmentation: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            stream_window: 4 << 20,
            connection_window: 16 << 20,
            send_window: 8 << 20,
            bidirectional_streams_max: 1024,
            unidirectional_streams_max: 1024,
            datagram_buffer: 1 << 20,
            idle_timeout_ms: 30_000,
            keep_alive_ms: 10_000,
            bbr: false,
            mtu_max: 1452,
            loopback_mtu_max: 32_768,
            connections_max: 16_384,
            handshakes_max: 1024,
            handshakes_per_address_max: 64,
            handshake_timeout_ms: 5_000,
            retry_from: 128,
            tickets_max: 4096,
            foreign_buffer: 1 << 20,
            virtual_prefix: [0xfd, 0, 0x6d, 0x61, 0x63, 0x75, 0x6c, 0x61],
            key_log: false,
            ipv6_socket: false,
            reset_seed: None,
            random_seed: None,
            segmentation: true,
        }
    }
}

/// More connections than a handle can number.
pub const CONNECTIONS_MAX: u32 = (1 << 20) - 1;

impl Options {
    pub fn transport(&self, loopback: bool) -> Arc<TransportConfig> {
        let mut config = TransportConfig::default();
        let mtu = if loopback { self.loopback_mtu_max } else { self.mtu_max };
        config
            .stream_receive_window(self.stream_window.into())
            .receive_window(self.connection_window.into())
            .send_window(self.send_window.into())
            .max_concurrent_bidi_streams(self.bidirectional_streams_max.into())
            .max_concurrent_uni_streams(self.unidirectional_streams_max.into())
            .datagram_receive_buffer_size((self.datagram_buffer > 0).then_some(self.datagram_buffer as usize))
            .datagram_send_buffer_size(self.datagram_buffer as usize)
            .max_idle_timeout(
                (self.idle_timeout_ms > 0).then(|| IdleTimeout::from(VarInt::from_u32(self.idle_timeout_ms))),
            )
            .keep_alive_interval((self.keep_alive_ms > 0).then(|| Duration::from_millis(self.keep_alive_ms.into())))
            .enable_segmentation_offload(self.segmentation);
        // Ten datagrams (RFC 9002 §7.2); fewer than one could never be sent.
        let window = 10 * u64::from(if loopback { mtu } else { 1_472 });
        if self.bbr {
            let mut bbr = BbrConfig::default();
            bbr.initial_window(window);
            config.congestion_controller_factory(Arc::new(bbr));
        } else {
            let mut cubic = CubicConfig::default();
            cubic.initial_window(window);
            config.congestion_controller_factory(Arc::new(cubic));
        }
        if loopback {
            // Every datagram passes on this machine, and probes of this size are dear: the receiver reads their padding
            // byte by byte (6 ms for a connection). Should one not pass, quinn-proto falls back to 1200 bytes.
            config.initial_mtu(mtu);
        }
        if mtu > 1200 {
            let mut discovery = MtuDiscoveryConfig::default();
            discovery.upper_bound(mtu);
            config.mtu_discovery_config(Some(discovery));
        } else {
            config.mtu_discovery_config(None);
        }
        Arc::new(config)
    }
}
