//! The Node-API surface: thin, typed, one method per thing that TypeScript can ask for.

use std::{net::SocketAddr, rc::Rc};

use napi::{
    bindgen_prelude::{Buffer, Float64ArraySlice, Function, Uint8Array, Uint8ArraySlice},
    Env, JsValue,
};
use napi_derive::napi;

use crate::{
    connection::{ReadEnd, Stats},
    engine::Engine,
    node::{failure, NodeError, NodeResult, Shared},
    options::Options,
    poll::Poll,
    socket::UdpSocket,
    tickets::Ticket,
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
pub struct NativeConnectionInfo {
    pub alpn: String,
    pub node_id: Buffer,
    pub remote: NativeAddress,
    pub early: bool,
}

#[napi(object)]
pub struct NativeClose {
    pub kind: u32,
    pub code: f64,
    pub reason: String,
    pub by_peer: bool,
    pub remote: NativeAddress,
}

#[napi]
pub struct NativeTicket {
    ticket: Ticket,
}

#[napi]
impl NativeTicket {
    /// Whose ticket it is.
    #[napi]
    pub fn node_id(&self) -> Buffer {
        let leaf = self.ticket.peer.first();
        leaf.and_then(crate::trust::node_id).unwrap_or_default().to_vec().into()
    }
}

#[napi]
pub struct NativeEngine {
    shared: Rc<Shared>,
}

fn identity(given: NativeIdentity) -> Identity {
    Identity {
        chain: given.chain.iter().map(|der| der.to_vec()).collect(),
        private_key: given.private_key.to_vec(),
    }
}

fn trust(given: NativeTrust) -> NodeResult<Trust> {
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

fn node_id(bytes: &[u8]) -> NodeResult<NodeId> {
    bytes
        .try_into()
        .map_err(|_| failure("INVALID", format!("a node id has 32 bytes, not {}", bytes.len())))
}

fn address(host: &str, port: u32) -> NodeResult<SocketAddr> {
    let ip = host
        .parse()
        .map_err(|_| failure("INVALID", format!("{host:?} is not an IP address")))?;
    let port = u16::try_from(port).map_err(|_| failure("INVALID", format!("{port} is not a port")))?;
    Ok(SocketAddr::new(ip, port))
}

fn native_address(address: SocketAddr) -> NativeAddress {
    NativeAddress {
        host: address.ip().to_canonical().to_string(),
        port: address.port().into(),
    }
}

fn options(given: &NativeOptions, ipv6_socket: bool) -> NodeResult<Options> {
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

fn used_part<'a>(batch: &'a mut Uint8ArraySlice<'_>, used: u32) -> NodeResult<&'a mut [u8]> {
    // SAFETY: JavaScript does not run while this does.
    let bytes = unsafe { batch.as_mut() };
    bytes
        .get_mut(..used as usize)
        .ok_or_else(|| failure("INVALID", "the batch is shorter than what is used of it"))
}

/// 2^32: added to the count of a read that reached the end of the stream.
const ENDED: f64 = 4_294_967_296.0;

#[napi]
impl NativeEngine {
    #[napi(constructor)]
    pub fn new(
        given_identity: NativeIdentity,
        given_trust: NativeTrust,
        given_options: NativeOptions,
        ipv6_socket: bool,
        now: f64,
        unix_ms: f64,
    ) -> Result<Self, NodeError> {
        let alpn = given_options
            .alpn
            .iter()
            .map(|name| name.clone().into_bytes())
            .collect();
        let options = options(&given_options, ipv6_socket)?;
        let engine = Engine::new(
            identity(given_identity),
            trust(given_trust)?,
            alpn,
            options,
            now,
            unix_ms,
        )?;
        Ok(Self {
            shared: Rc::new(Shared::new(engine, now)),
        })
    }

    // Datagrams and time, without a socket.

    #[napi]
    pub fn receive(&self, packed: &[u8], now: f64) -> Result<u32, NodeError> {
        self.shared
            .with(now, |core| Ok(core.engine.receive_packed(packed) as u32))
    }

    /// At most about `limit` bytes of packed datagrams.
    #[napi]
    pub fn transmit(&self, limit: u32, now: f64) -> Result<Buffer, NodeError> {
        self.shared.with(now, |core| {
            let mut sink = crate::sink::PackedSink::new(limit as usize);
            core.engine.flush(&mut sink);
            Ok(sink.out.into())
        })
    }

    /// When the next timer is due: without a socket an instant, with one a delay; -1 for never.
    #[napi]
    pub fn timeout(&self, now: f64) -> Result<f64, NodeError> {
        self.shared.with(now, |core| Ok(core.arm()))
    }

    #[napi]
    pub fn handle_timeouts(&self, now: f64) -> Result<(), NodeError> {
        self.shared.with(now, |core| {
            core.engine.handle_timeouts();
            Ok(())
        })
    }

    /// Move events into `into`, four numbers each; returns how many.
    #[napi]
    pub fn events(&self, mut into: Float64ArraySlice) -> Result<u32, NodeError> {
        self.shared.with(0.0, |core| {
            // SAFETY: JavaScript does not run while this does.
            let into = unsafe { into.as_mut() };
            Ok(core.engine.events.fill(into) as u32)
        })
    }

    /// Hand over a batch of writes, then send everything; returns the delay of the next timer.
    #[napi]
    pub fn flush(&self, mut batch: Uint8ArraySlice, used: u32, now: f64) -> Result<f64, NodeError> {
        let (delay, blocked) = self.shared.with(now, |core| {
            core.engine.write_batch(used_part(&mut batch, used)?);
            let blocked = !core.flush();
            Ok((core.arm(), blocked))
        })?;
        self.shared.watch_room(blocked);
        Ok(delay)
    }

    /// Hand over a batch of writes; what follows in the same turn may depend on it.
    #[napi]
    pub fn write_batch(&self, mut batch: Uint8ArraySlice, used: u32, now: f64) -> Result<(), NodeError> {
        self.shared.with(now, |core| {
            core.engine.write_batch(used_part(&mut batch, used)?);
            Ok(())
        })
    }

    // The socket.

    #[napi]
    #[allow(clippy::too_many_arguments)]
    pub fn attach(
        &self,
        env: Env,
        host: String,
        port: u32,
        receive_buffer: u32,
        send_buffer: u32,
        on_turn: Function<(), ()>,
        on_flush: Function<(), ()>,
    ) -> Result<NativeAddress, NodeError> {
        let address = address(&host, port)?;
        let socket = UdpSocket::bind(address, receive_buffer as usize, send_buffer as usize).map_err(|error| {
            let code = match error.kind() {
                std::io::ErrorKind::AddrInUse => "EADDRINUSE",
                std::io::ErrorKind::PermissionDenied => "EACCES",
                std::io::ErrorKind::AddrNotAvailable => "EADDRNOTAVAIL",
                _ => "SOCKET",
            };
            failure(code, format!("cannot listen on {address}: {error}"))
        })?;
        let local = socket.local();
        let descriptor = socket.descriptor();
        self.shared.with(0.0, |core| {
            if core.socket.is_some() {
                return Err(failure("INVALID", "there is a socket already"));
            }
            core.socket = Some(socket);
            Ok(())
        })?;
        let reference = |function: napi::sys::napi_value| {
            let mut reference = std::ptr::null_mut();
            // SAFETY: a live function of this environment.
            unsafe { napi::sys::napi_create_reference(env.raw(), function, 1, &mut reference) };
            reference
        };
        let (turn, flush) = (reference(on_turn.value().value), reference(on_flush.value().value));
        // SAFETY: this is the thread of `env`; `detach` closes the handle before the descriptor.
        match unsafe { Poll::start(env.raw(), descriptor, self.shared.clone(), turn, flush) } {
            Ok(poll) => self.shared.attach(poll),
            Err(message) => {
                self.shared.detach();
                return Err(failure("UNSUPPORTED", message));
            }
        }
        Ok(native_address(local))
    }

    /// Close the socket. Idempotent.
    #[napi]
    pub fn detach(&self) {
        self.shared.detach();
    }

    /// Send packed datagrams from the socket; returns how many it took.
    #[napi]
    pub fn send_foreign(&self, packed: &[u8]) -> Result<u32, NodeError> {
        self.shared.with(0.0, |core| {
            let crate::node::Core { engine, socket, .. } = core;
            Ok(socket.as_mut().map_or(0, |socket| socket.send_packed(engine, packed)) as u32)
        })
    }

    /// Packed datagrams that are not QUIC.
    #[napi]
    pub fn take_foreign(&self) -> Result<Buffer, NodeError> {
        self.shared.with(0.0, |core| Ok(core.engine.foreign.take().into()))
    }

    /// Packed datagrams to virtual addresses without a mapping.
    #[napi]
    pub fn take_virtual(&self) -> Result<Buffer, NodeError> {
        self.shared.with(0.0, |core| Ok(core.engine.virtual_out.take().into()))
    }

    #[napi]
    pub fn map_address(
        &self,
        virtual_host: String,
        virtual_port: u32,
        real: Option<NativeAddress>,
    ) -> Result<(), NodeError> {
        let virtual_address = address(&virtual_host, virtual_port)?;
        let real = real.map(|real| address(&real.host, real.port)).transpose()?;
        self.shared
            .with(0.0, |core| Ok(core.engine.map_address(virtual_address, real)?))
    }

    #[napi]
    pub fn set_turn_server(&self, host: String, port: u32, present: bool) -> Result<(), NodeError> {
        let address = address(&host, port)?;
        self.shared
            .with(0.0, |core| Ok(core.engine.set_turn_server(address, present)?))
    }

    // Settings.

    #[napi]
    pub fn set_identity(&self, given: NativeIdentity) -> Result<(), NodeError> {
        self.shared
            .with(0.0, |core| Ok(core.engine.set_identity(identity(given))?))
    }

    #[napi]
    pub fn set_trust(&self, given: NativeTrust) -> Result<(), NodeError> {
        let trust = trust(given)?;
        self.shared.with(0.0, |core| {
            core.engine.set_trust(trust);
            Ok(())
        })
    }

    #[napi]
    pub fn set_wall_clock(&self, unix_ms: f64) -> Result<(), NodeError> {
        self.shared.with(0.0, |core| {
            core.engine.set_wall_clock(unix_ms);
            Ok(())
        })
    }

    #[napi]
    pub fn take_key_line(&self) -> Result<Option<String>, NodeError> {
        self.shared.with(0.0, |core| Ok(core.engine.pop_key_line()))
    }

    /// Close all connections and take no new ones; what is there to say is sent with the next flush.
    #[napi]
    pub fn close_all(&self, code: f64, reason: &[u8], now: f64) -> Result<(), NodeError> {
        self.shared.with(now, |core| {
            core.engine.close_all(code as u64, reason);
            Ok(())
        })
    }

    // Connections.

    #[napi]
    #[allow(clippy::too_many_arguments)]
    pub fn connect(
        &self,
        host: String,
        port: u32,
        expected: Option<&[u8]>,
        alpn: String,
        ticket: Option<&NativeTicket>,
        now: f64,
    ) -> Result<f64, NodeError> {
        let remote = address(&host, port)?;
        let expected = expected.map(node_id).transpose()?;
        self.shared.with(now, |core| {
            let ticket = ticket.map(|ticket| &ticket.ticket);
            Ok(core.engine.connect(remote, expected, alpn.as_bytes(), ticket)? as f64)
        })
    }

    #[napi]
    pub fn info(&self, connection: f64) -> Result<NativeConnectionInfo, NodeError> {
        let handle = connection as u64;
        self.shared.with(0.0, |core| {
            let engine = &mut core.engine;
            let node_id = engine.peer_node_id(handle)?.unwrap_or_default();
            Ok(NativeConnectionInfo {
                alpn: String::from_utf8_lossy(&engine.alpn(handle)?.unwrap_or_default()).into_owned(),
                node_id: node_id.to_vec().into(),
                remote: native_address(engine.remote_address(handle)?),
                early: engine.offers_early_data(handle)?,
            })
        })
    }

    /// The peer's certificates in DER, leaf first.
    #[napi]
    pub fn certificates(&self, connection: f64) -> Result<Vec<Buffer>, NodeError> {
        self.shared.with(0.0, |core| {
            let chain = core.engine.peer_chain(connection as u64)?;
            Ok(chain.iter().map(|der| der.to_vec().into()).collect())
        })
    }

    /// The peer's SubjectPublicKeyInfo in DER; empty while it is not known.
    #[napi]
    pub fn public_key(&self, connection: f64) -> Result<Buffer, NodeError> {
        self.shared.with(0.0, |core| {
            let key = core.engine.peer_public_key(connection as u64)?;
            Ok(key.unwrap_or_default().into())
        })
    }

    #[napi]
    pub fn remote_address(&self, connection: f64) -> Result<NativeAddress, NodeError> {
        self.shared.with(0.0, |core| {
            Ok(native_address(core.engine.remote_address(connection as u64)?))
        })
    }

    #[napi]
    pub fn close_reason(&self, connection: f64) -> Result<Option<NativeClose>, NodeError> {
        let handle = connection as u64;
        self.shared.with(0.0, |core| {
            let remote = native_address(core.engine.remote_address(handle)?);
            Ok(core.engine.close_reason(handle)?.map(|close| NativeClose {
                kind: close.kind as u32,
                code: close.code as f64,
                reason: close.reason,
                by_peer: close.by_peer,
                remote,
            }))
        })
    }

    #[napi]
    pub fn close(&self, connection: f64, code: f64, reason: &[u8], now: f64) -> Result<(), NodeError> {
        self.shared.with(now, |core| {
            Ok(core.engine.close(connection as u64, code as u64, reason)?)
        })
    }

    #[napi]
    pub fn release(&self, connection: f64) -> Result<(), NodeError> {
        self.shared
            .with(0.0, |core| Ok(core.engine.release(connection as u64)?))
    }

    #[napi]
    pub fn take_ticket(&self, connection: f64) -> Result<Option<NativeTicket>, NodeError> {
        self.shared.with(0.0, |core| {
            let ticket = core.engine.take_ticket(connection as u64)?;
            Ok(ticket.map(|ticket| NativeTicket { ticket }))
        })
    }

    /// Fill `into` in the order of `ConnectionStats` in `native.ts`.
    #[napi]
    pub fn connection_stats(&self, connection: f64, mut into: Float64ArraySlice) -> Result<(), NodeError> {
        self.shared.with(0.0, |core| {
            let stats = core.engine.stats(connection as u64)?;
            // SAFETY: JavaScript does not run while this does.
            fill(unsafe { into.as_mut() }, &connection_numbers(&stats));
            Ok(())
        })
    }

    /// Fill `into` in the order of `EndpointStats` in `native.ts`.
    #[napi]
    pub fn endpoint_stats(&self, mut into: Float64ArraySlice) -> Result<(), NodeError> {
        self.shared.with(0.0, |core| {
            // SAFETY: JavaScript does not run while this does.
            fill(unsafe { into.as_mut() }, &endpoint_numbers(&core.engine));
            Ok(())
        })
    }

    // Streams.

    /// The stream's number, or -1 when the peer allows no more now.
    #[napi]
    pub fn open_stream(&self, connection: f64, bidirectional: bool, priority: i32) -> Result<f64, NodeError> {
        self.shared.with(0.0, |core| {
            let stream = core.engine.open_stream(connection as u64, bidirectional, priority)?;
            Ok(stream.map_or(-1.0, |stream| stream as f64))
        })
    }

    /// Bytes read; plus 2^32 at the end of the stream; -1 - code when the peer reset it; -2^62 - 2 when it is gone.
    #[napi]
    pub fn read(
        &self,
        connection: f64,
        stream: f64,
        mut into: Uint8ArraySlice,
        offset: u32,
        length: u32,
    ) -> Result<f64, NodeError> {
        self.shared.with(0.0, |core| {
            // SAFETY: JavaScript does not run while this does.
            let into = unsafe { into.as_mut() }
                .get_mut(offset as usize..offset as usize + length as usize)
                .ok_or_else(|| failure("INVALID", "the buffer ends before what is to be read"))?;
            let (count, end) = core.engine.read(connection as u64, stream as u64, into)?;
            Ok(match end {
                ReadEnd::Open | ReadEnd::Full => count as f64,
                ReadEnd::Finished => count as f64 + ENDED,
                ReadEnd::Reset(code) => -1.0 - code as f64,
                ReadEnd::Unknown => -(2f64.powi(63)),
            })
        })
    }

    #[napi]
    pub fn write(&self, connection: f64, stream: f64, bytes: &[u8], now: f64) -> Result<f64, NodeError> {
        self.shared.with(now, |core| {
            Ok(core.engine.write(connection as u64, stream as u64, bytes)? as f64)
        })
    }

    #[napi]
    pub fn finish(&self, connection: f64, stream: f64) -> Result<(), NodeError> {
        self.shared
            .with(0.0, |core| Ok(core.engine.finish(connection as u64, stream as u64)?))
    }

    #[napi]
    pub fn reset(&self, connection: f64, stream: f64, code: f64) -> Result<(), NodeError> {
        self.shared.with(0.0, |core| {
            Ok(core.engine.reset(connection as u64, stream as u64, code as u64)?)
        })
    }

    #[napi]
    pub fn stop(&self, connection: f64, stream: f64, code: f64) -> Result<(), NodeError> {
        self.shared.with(0.0, |core| {
            Ok(core.engine.stop(connection as u64, stream as u64, code as u64)?)
        })
    }

    #[napi]
    pub fn set_priority(&self, connection: f64, stream: f64, priority: i32) -> Result<(), NodeError> {
        self.shared.with(0.0, |core| {
            Ok(core.engine.set_priority(connection as u64, stream as u64, priority)?)
        })
    }

    // Datagrams (RFC 9221).

    #[napi]
    pub fn send_datagram(&self, connection: f64, bytes: &[u8]) -> Result<bool, NodeError> {
        self.shared
            .with(0.0, |core| Ok(core.engine.send_datagram(connection as u64, bytes)?))
    }

    #[napi]
    pub fn receive_datagram(&self, connection: f64) -> Result<Option<Buffer>, NodeError> {
        self.shared.with(0.0, |core| {
            let datagram = core.engine.receive_datagram(connection as u64)?;
            Ok(datagram.map(|bytes| bytes.to_vec().into()))
        })
    }

    /// The largest datagram that fits at the moment; -1 when the peer takes none.
    #[napi]
    pub fn datagram_size_max(&self, connection: f64) -> Result<f64, NodeError> {
        self.shared.with(0.0, |core| {
            let size = core.engine.datagram_size_max(connection as u64)?;
            Ok(size.map_or(-1.0, |size| size as f64))
        })
    }
}

fn fill(into: &mut [f64], numbers: &[f64]) {
    for (place, number) in into.iter_mut().zip(numbers) {
        *place = *number;
    }
}

fn connection_numbers(stats: &Stats) -> [f64; 12] {
    [
        stats.rtt_ms,
        stats.min_rtt_ms,
        stats.congestion_window as f64,
        stats.mtu.into(),
        stats.packets_sent as f64,
        stats.packets_lost as f64,
        stats.bytes_lost as f64,
        stats.congestion_events as f64,
        stats.bytes_sent as f64,
        stats.bytes_received as f64,
        stats.datagrams_sent as f64,
        stats.datagrams_received as f64,
    ]
}

fn endpoint_numbers(engine: &Engine) -> [f64; 19] {
    let counters = &engine.counters;
    [
        engine.connections().into(),
        engine.handshakes().into(),
        counters.datagrams_received as f64,
        counters.bytes_received as f64,
        counters.datagrams_sent as f64,
        counters.bytes_sent as f64,
        counters.sends as f64,
        counters.receives as f64,
        counters.incoming as f64,
        counters.incoming_refused as f64,
        counters.incoming_retried as f64,
        counters.incoming_failed as f64,
        counters.foreign_received as f64,
        engine.foreign.dropped as f64,
        engine.virtual_out.dropped as f64,
        counters.malformed_batches as f64,
        counters.send_errors as f64,
        counters.send_blocked as f64,
        counters.responses_dropped as f64,
    ]
}
