//! The socket of an endpoint, and its settings.

use napi::{
    bindgen_prelude::{Buffer, Function},
    Env, JsValue,
};
use napi_derive::napi;

use super::{
    values::{address, identity, native_address, trust, NativeAddress, NativeIdentity, NativeTrust},
    NativeEngine,
};
use crate::{
    node::{failure, NodeError},
    poll::Poll,
    socket::UdpSocket,
};

#[napi]
impl NativeEngine {
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
}
