//! Packed datagrams from anybody to an engine that listens: `cargo fuzz run receive`.
#![no_main]

#[path = "../../tests/common/mod.rs"]
mod common;

use common::World;
use libfuzzer_sys::fuzz_target;
use macula_native::sink::PackedSink;

fuzz_target!(|data: &[u8]| {
    let mut world = World::new();
    world.server.receive_packed(data);
    world.server.flush(&mut PackedSink::new(60_000));
    world.run(60_000.0);
});
