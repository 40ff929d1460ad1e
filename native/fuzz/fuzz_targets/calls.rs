//! Every call that takes numbers or bytes, in any order, on handles that may be good: `cargo fuzz run calls`.
#![no_main]

#[path = "../../tests/common/mod.rs"]
mod common;

use common::World;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut world = World::new();
    let (client, server) = world.connected();
    for step in data.chunks(12) {
        let byte = |at: usize| u64::from(step.get(at).copied().unwrap_or(0));
        let handle = [client, server, byte(1), byte(1) << 20][byte(2) as usize % 4];
        let stream = byte(3) % 16;
        let engine = if byte(4) % 2 == 0 { &mut world.client } else { &mut world.server };
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
});
