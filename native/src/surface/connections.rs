//! Connections: from the dial to the last word.

use napi::bindgen_prelude::{Buffer, Uint8ArraySlice};
use napi_derive::napi;

use super::{
    values::{address, native_address, node_id, NativeAddress, NativeClose},
    NativeEngine,
};
use crate::{
    node::{failure, NodeError},
    tickets::Ticket,
};

#[napi]
pub struct NativeTicket {
    ticket: Ticket,
}

#[napi]
impl NativeEngine {
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

    /// The protocol agreed on; empty while it is not known.
    #[napi]
    pub fn alpn(&self, connection: f64) -> Result<String, NodeError> {
        self.shared.with(0.0, |core| {
            let alpn = core.engine.alpn(connection as u64)?.unwrap_or_default();
            Ok(String::from_utf8_lossy(&alpn).into_owned())
        })
    }

    /// Whether early data is offered.
    #[napi]
    pub fn early(&self, connection: f64) -> Result<bool, NodeError> {
        self.shared
            .with(0.0, |core| Ok(core.engine.offers_early_data(connection as u64)?))
    }

    /// Writes the peer's node id and behind it its SubjectPublicKeyInfo (DER); returns how many bytes, 0 while unknown.
    #[napi]
    pub fn peer(&self, connection: f64, mut into: Uint8ArraySlice) -> Result<u32, NodeError> {
        self.shared.with(0.0, |core| {
            let Some((id, key)) = core.engine.peer(connection as u64)? else {
                return Ok(0);
            };
            let length = id.len() + key.len();
            // SAFETY: JavaScript does not run while this does.
            let into = unsafe { into.as_mut() }
                .get_mut(..length)
                .ok_or_else(|| failure("INVALID", format!("the buffer is shorter than {length} bytes")))?;
            into[..id.len()].copy_from_slice(&id);
            into[id.len()..].copy_from_slice(&key);
            Ok(length as u32)
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
}
