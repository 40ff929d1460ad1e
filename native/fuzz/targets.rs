//! What is fuzzed: any bytes must leave the engine whole. Shared by `cargo fuzz run NAME` (in `native/`, with the nightly
//! toolchain and cargo-fuzz), which finds its way by coverage, and by `tests/fuzz.rs`, which runs in CI.

#![allow(dead_code)]

use macula_native::{
    events::Kind,
    packet::pack,
    sink::PackedSink,
    tls::Identity,
    trust::{node_id, Trust},
};

use crate::common::{last, World};

/// Packed datagrams from anybody to an engine that listens.
pub fn receive(data: &[u8]) {
    let mut world = World::new();
    world.server.receive_packed(data);
    world.server.flush(&mut PackedSink::new(60_000));
    world.run(60_000.0);
}

/// Datagrams to an engine with a connection, from the peer's address: it must live on.
pub fn established(data: &[u8]) {
    let mut world = World::new();
    world.connected();
    for datagram in data.chunks(1_200) {
        let mut packed = Vec::new();
        pack(&mut packed, world.client_address, None, datagram);
        world.server.receive_packed(&packed);
    }
    world.run(1_000.0);
    assert!(last(&world.server_events, Kind::Closed).is_none());
}

/// Every call that takes numbers or bytes, in any order, on handles that may be good.
pub fn calls(data: &[u8]) {
    let mut world = World::new();
    let (client, server) = world.connected();
    for step in data.chunks(12) {
        let byte = |at: usize| u64::from(step.get(at).copied().unwrap_or(0));
        let handle = [client, server, byte(1), byte(1) << 20][byte(2) as usize % 4];
        let stream = byte(3) % 16;
        let engine = if byte(4) % 2 == 0 {
            &mut world.client
        } else {
            &mut world.server
        };
        let payload = step.get(5..).unwrap_or_default();
        match byte(0) % 14 {
            0 => drop(engine.open_stream(handle, byte(5) % 2 == 0, byte(6) as i32)),
            1 => drop(engine.write(handle, stream, payload)),
            2 => engine.write_batch(&mut step.to_vec()),
            3 => drop(engine.read(handle, stream, &mut vec![0; byte(5) as usize])),
            4 => drop(engine.finish(handle, stream)),
            5 => drop(engine.reset(handle, stream, byte(5) << (byte(6) % 64))),
            6 => drop(engine.stop(handle, stream, byte(5) << (byte(6) % 64))),
            7 => drop(engine.set_priority(handle, stream, byte(5) as i32 - 128)),
            8 => drop(engine.send_datagram(handle, payload)),
            9 => drop(engine.receive_datagram(handle)),
            10 if byte(5) > 250 => drop(engine.close(handle, byte(6), payload)),
            11 if byte(5) > 250 => drop(engine.release(handle)),
            12 => drop(engine.take_ticket(handle)),
            _ => world.run(byte(5) as f64),
        }
    }
    world.run(1_000.0);
}

/// Certificates and keys as the owner gives them. The first two bytes say where the one ends and the other begins.
pub fn identity(data: &[u8]) {
    let Some((split, data)) = data.split_first_chunk::<2>() else {
        return;
    };
    let (certificate, private_key) = data.split_at(data.len().min(usize::from(u16::from_be_bytes(*split))));
    let _ = Trust::new(&[certificate.to_vec()], &[], &[certificate.to_vec()]);
    let _ = node_id(&certificate.to_vec().into());
    let mut world = World::new();
    let _ = world.server.set_identity(Identity {
        chain: vec![certificate.to_vec()],
        private_key: private_key.to_vec(),
    });
}
