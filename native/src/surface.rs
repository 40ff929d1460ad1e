//! The Node-API surface: thin, typed, one method per thing that TypeScript can ask for.

use std::rc::Rc;

use napi::bindgen_prelude::{Buffer, Float64ArraySlice, Uint8ArraySlice};
use napi_derive::napi;

use crate::{
    engine::Engine,
    node::{failure, NodeError, NodeResult, Shared},
};

#[napi]
pub struct NativeEngine {
    shared: Rc<Shared>,
}

mod connections;
mod endpoint;
mod keys;
mod stats;
mod streams;
mod values;

use values::{identity, options, trust, NativeIdentity, NativeOptions, NativeTrust};

fn used_part<'a>(batch: &'a mut Uint8ArraySlice<'_>, used: u32) -> NodeResult<&'a mut [u8]> {
    // SAFETY: JavaScript does not run while this does.
    let bytes = unsafe { batch.as_mut() };
    bytes
        .get_mut(..used as usize)
        .ok_or_else(|| failure("INVALID", "the batch is shorter than what is used of it"))
}

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
}
