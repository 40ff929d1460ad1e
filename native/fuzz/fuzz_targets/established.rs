//! Datagrams to an engine with a connection, from the peer's address: it must live on (`cargo fuzz run established`).
#![no_main]

#[path = "../../tests/common/mod.rs"]
mod common;

use common::{last, World};
use libfuzzer_sys::fuzz_target;
use macula_native::{events::Kind, packet::pack};

fuzz_target!(|data: &[u8]| {
    let mut world = World::new();
    world.connected();
    for datagram in data.chunks(1_200) {
        let mut packed = Vec::new();
        pack(&mut packed, world.client_address, None, datagram);
        world.server.receive_packed(&packed);
    }
    world.run(1_000.0);
    assert!(last(&world.server_events, Kind::Closed).is_none());
});
