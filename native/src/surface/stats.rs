//! Figures, as arrays of numbers: an object with twenty fields costs more than what it tells of.

use napi::bindgen_prelude::Float64ArraySlice;
use napi_derive::napi;

use super::NativeEngine;
use crate::{connection::Stats, engine::Engine, node::NodeError};

#[napi]
impl NativeEngine {
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
