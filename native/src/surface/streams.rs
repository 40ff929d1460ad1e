//! Streams and datagrams.

use napi::bindgen_prelude::Uint8ArraySlice;
use napi_derive::napi;

use super::NativeEngine;
use crate::{
    connection::ReadEnd,
    node::{failure, NodeError},
};

/// 2^32: added to the count of a read that reached the end of the stream.
const ENDED: f64 = 4_294_967_296.0;
/// No UDP payload is longer.
const DATAGRAM_MAX: usize = 65_527;

#[napi]
impl NativeEngine {
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

    /// The next datagram's length, its bytes at the begin of `into`; -1 when none waits.
    #[napi]
    pub fn receive_datagram(&self, connection: f64, mut into: Uint8ArraySlice) -> Result<i32, NodeError> {
        self.shared.with(0.0, |core| {
            // SAFETY: JavaScript does not run while this does.
            let into = unsafe { into.as_mut() };
            if into.len() < DATAGRAM_MAX {
                return Err(failure("INVALID", format!("a datagram may need {DATAGRAM_MAX} bytes")));
            }
            let Some(datagram) = core.engine.receive_datagram(connection as u64)? else {
                return Ok(-1);
            };
            let length = datagram.len().min(into.len());
            into[..length].copy_from_slice(&datagram[..length]);
            Ok(length as i32)
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
