//! Streams, datagrams, addresses, and everything that must not harm the engine.

mod common;

use common::{last, read_all, World};
use macula_native::{
    connection::{ReadEnd, WRITE_HEADER},
    engine::EngineError,
    events::{CloseKind, Kind},
    options::Options,
    packet::{pack, Unpack},
};

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 7 + index / 251) as u8).collect()
}

fn record(connection: u64, stream: u64, flags: u32, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&(connection as f64).to_le_bytes());
    out.extend_from_slice(&(stream as f64).to_le_bytes());
    out.extend_from_slice(&(data.len() as u32).to_le_bytes());
    out.extend_from_slice(&flags.to_le_bytes());
    out.extend_from_slice(data);
    out
}

/// Send `data` on a new stream and read it at the other side, however long it takes.
fn transfer(world: &mut World, client: u64, server: u64, data: &[u8], mut each_step: impl FnMut(&mut World)) {
    let stream = world.client.open_stream(client, true, 0).unwrap().unwrap();
    let (mut sent, mut received) = (0, Vec::new());
    for _ in 0..100_000 {
        sent += world.client.write(client, stream, &data[sent..]).unwrap();
        if sent == data.len() {
            world.client.finish(client, stream).unwrap();
        }
        world.run(20.0);
        each_step(world);
        let (bytes, end) = read_all(&mut world.server, server, stream);
        received.extend_from_slice(&bytes);
        if end == ReadEnd::Finished {
            assert_eq!(received, data);
            return;
        }
    }
    panic!("only {} of {} bytes arrived", received.len(), data.len());
}

#[test]
fn bytes_arrive_in_order_despite_loss() {
    let mut world = World::new();
    let (client, server) = world.connected();
    world.lose_every = 20;
    transfer(&mut world, client, server, &pattern(2_000_000), |_| {});
    assert!(world.client.stats(client).unwrap().packets_lost > 0);
}

#[test]
fn an_address_may_change_twenty_times() {
    let options = Options {
        stream_window: 100_000,
        ..Options::default()
    };
    let mut world = World::with(options.clone(), options);
    let (client, server) = world.connected();
    let mut port = 1000;
    transfer(&mut world, client, server, &pattern(4_000_000), |world| {
        if port < 1020 {
            port += 1;
            world.client_address.set_port(port);
        }
    });
    world.run(1_000.0);
    assert_eq!(world.server.remote_address(server).unwrap().port(), 1020);
    assert!(last(&world.server_events, Kind::Address).is_some());
    assert!(last(&world.server_events, Kind::Closed).is_none());
}

#[test]
fn a_reader_that_stops_holds_the_writer_back() {
    let options = Options {
        stream_window: 10_000,
        send_window: 10_000,
        ..Options::default()
    };
    let mut world = World::with(options.clone(), options);
    let (client, server) = world.connected();
    let stream = world.client.open_stream(client, true, 0).unwrap().unwrap();
    let data = pattern(50_000);
    let mut sent = 0;
    for _ in 0..20 {
        sent += world.client.write(client, stream, &data[sent..]).unwrap();
        world.run(100.0);
    }
    assert_eq!(sent, 10_000);
    world.client_events.clear();
    assert_eq!(read_all(&mut world.server, server, stream).0, data[..10_000]);
    world.run(100.0);
    assert_eq!(last(&world.client_events, Kind::Writable).unwrap().a, stream);
    assert_eq!(world.client.write(client, stream, &data[sent..]).unwrap(), 10_000);
}

#[test]
fn a_batch_keeps_what_the_stream_does_not_take_and_ends_in_order() {
    let options = Options {
        stream_window: 10_000,
        ..Options::default()
    };
    let mut world = World::with(options.clone(), options);
    let (client, server) = world.connected();
    let stream = world.client.open_stream(client, false, 0).unwrap().unwrap();
    let data = pattern(25_000);
    let mut batch = record(client, stream, 1, &data);
    world.client.write_batch(&mut batch);
    assert_eq!(batch[20] & 2, 2, "the batch is not marked as blocked");
    assert_eq!(world.client.write(client, stream, b"more").unwrap(), 0);
    let mut received = Vec::new();
    for _ in 0..10 {
        world.run(100.0);
        let (bytes, end) = read_all(&mut world.server, server, stream);
        received.extend_from_slice(&bytes);
        if end == ReadEnd::Finished {
            break;
        }
    }
    assert_eq!(received, data);
    world.run(100.0);
    assert!(last(&world.client_events, Kind::Finished).is_some());
}

#[test]
fn resets_arrive_with_their_codes() {
    let mut world = World::new();
    let (client, server) = world.connected();
    let stream = world.client.open_stream(client, true, 0).unwrap().unwrap();
    world.client.write(client, stream, b"x").unwrap();
    world.run(100.0);
    world.client.reset(client, stream, 7).unwrap();
    world.server.reset(server, stream, 8).unwrap();
    world.run(100.0);
    let at_server = last(&world.server_events, Kind::StreamReset).unwrap();
    let at_client = last(&world.client_events, Kind::StreamReset).unwrap();
    assert_eq!((at_server.a, at_server.b), (stream, 7));
    assert_eq!((at_client.a, at_client.b), (stream, 8));
}

#[test]
fn stop_sending_reaches_the_writer() {
    let mut world = World::new();
    let (client, server) = world.connected();
    let stream = world.client.open_stream(client, true, 0).unwrap().unwrap();
    world.client.write(client, stream, b"x").unwrap();
    world.run(100.0);
    world.server.stop(server, stream, 9).unwrap();
    world.run(100.0);
    let stopped = last(&world.client_events, Kind::Stopped).unwrap();
    assert_eq!((stopped.a, stopped.b), (stream, 9));
    assert_eq!(world.client.write(client, stream, b"y").unwrap(), 0);
}

#[test]
fn the_peer_limits_streams_and_gives_new_ones() {
    let options = Options {
        bidirectional_streams_max: 2,
        ..Options::default()
    };
    let mut world = World::with(Options::default(), options);
    let (client, server) = world.connected();
    let first = world.client.open_stream(client, true, 0).unwrap().unwrap();
    world.client.open_stream(client, true, 0).unwrap().unwrap();
    assert_eq!(world.client.open_stream(client, true, 0).unwrap(), None);
    world.client.finish(client, first).unwrap();
    world.run(100.0);
    assert_eq!(read_all(&mut world.server, server, first).1, ReadEnd::Finished);
    world.server.finish(server, first).unwrap();
    world.run(100.0);
    assert_eq!(read_all(&mut world.client, client, first).1, ReadEnd::Finished);
    world.run(200.0);
    assert!(last(&world.client_events, Kind::Available).is_some());
    assert!(world.client.open_stream(client, true, 0).unwrap().is_some());
}

#[test]
fn datagrams_come_and_the_too_large_are_refused() {
    let mut world = World::new();
    let (client, server) = world.connected();
    assert!(world.client.send_datagram(client, b"beat").unwrap());
    assert!(!world.client.send_datagram(client, &[0; 60_000]).unwrap());
    world.run(100.0);
    assert!(last(&world.server_events, Kind::Datagram).is_some());
    assert_eq!(
        world.server.receive_datagram(server).unwrap().as_deref(),
        Some(&b"beat"[..])
    );
    assert_eq!(world.server.receive_datagram(server).unwrap(), None);
}

#[test]
fn close_carries_code_and_reason_and_frees_everything() {
    let mut world = World::new();
    let (client, server) = world.connected();
    world.client.close(client, 42, b"enough").unwrap();
    world.client.release(client).unwrap();
    world.run(50.0);
    let closed = last(&world.server_events, Kind::Closed).unwrap();
    assert_eq!((closed.a, closed.b), (CloseKind::Application as u64, 42));
    assert_eq!(world.server.close_reason(server).unwrap().unwrap().reason, "enough");
    world.server.release(server).unwrap();
    world.run(10_000.0);
    assert_eq!((world.client.connections(), world.server.connections()), (0, 0));
    assert_eq!(world.server.close_reason(server), Err(EngineError::Stale));
}

#[test]
fn an_idle_connection_lives_by_its_keep_alive_and_dies_without_its_peer() {
    let mut world = World::new();
    world.connected();
    world.run(300_000.0);
    assert!(last(&world.client_events, Kind::Closed).is_none());
    world.lose_every = 1;
    world.run(60_000.0);
    assert_eq!(
        last(&world.client_events, Kind::Closed).unwrap().a,
        CloseKind::Timeout as u64
    );
    assert_eq!(
        last(&world.server_events, Kind::Closed).unwrap().a,
        CloseKind::Timeout as u64
    );
}

#[test]
fn a_restarted_peer_with_its_seed_resets_at_once() {
    let options = Options {
        reset_seed: Some([7; 32]),
        ..Options::default()
    };
    let mut world = World::with(Options::default(), options.clone());
    let (client, _) = world.connected();
    world.server = common::engine(&world.server_node, world.realm.trust(&[]), common::ALPN, options);
    let stream = world.client.open_stream(client, true, 0).unwrap().unwrap();
    world.client.write(client, stream, &pattern(500)).unwrap();
    world.run(1_000.0);
    assert_eq!(
        last(&world.client_events, Kind::Closed).unwrap().a,
        CloseKind::Reset as u64
    );
}

#[test]
fn foreign_datagrams_are_passed_on() {
    let mut world = World::new();
    world.connected();
    let from = "203.0.113.1:3478".parse().unwrap();
    let mut packed = Vec::new();
    pack(&mut packed, from, None, &[0, 1, 0, 0]);
    // Channel data only from a TURN server.
    pack(&mut packed, from, None, &[0x40, 0, 0, 4, 1, 2, 3, 4, 5, 6, 7, 8]);
    world.server.receive_packed(&packed);
    assert_eq!(Unpack::new(&world.server.foreign.take()).count(), 1);
    world.server.set_turn_server(from, true).unwrap();
    world.server.receive_packed(&packed);
    let taken = world.server.foreign.take();
    let payloads: Vec<_> = Unpack::new(&taken).map(|datagram| datagram.payload[0]).collect();
    assert_eq!(payloads, [0, 0x40]);
}

#[test]
fn quic_from_a_turn_servers_address_still_is_quic() {
    let mut world = World::new();
    let (client, server) = world.connected();
    let address = world.client_address;
    world.server.set_turn_server(address, true).unwrap();
    transfer(&mut world, client, server, &pattern(500_000), |_| {});
    assert!(world.server.foreign.take().is_empty());
}

#[test]
fn a_virtual_address_hides_the_path() {
    let virtual_server = "[fd00:6d61:6375:6c61::1]:1".parse().unwrap();
    let mut world = World::new();
    let id = world.server_node.id;
    let client = world
        .client
        .connect(virtual_server, Some(id), common::ALPN, None)
        .unwrap();
    world.run(10.0);
    assert!(last(&world.client_events, Kind::Virtual).is_some());
    let out = world.client.virtual_out.take();
    assert!(Unpack::new(&out).all(|datagram| datagram.address == virtual_server));
    // Now there is a path.
    world
        .client
        .map_address(virtual_server, Some(common::server_address()))
        .unwrap();
    world.run(5_000.0);
    assert!(last(&world.client_events, Kind::Established).is_some());
    assert_eq!(world.client.remote_address(client).unwrap(), virtual_server);
    assert!(world.client.map_address("192.0.2.9:1".parse().unwrap(), None).is_err());
}

#[test]
fn stale_and_invented_handles_are_errors() {
    let mut world = World::new();
    let (client, _) = world.connected();
    for handle in [0, 1, client + 1, client + (1 << 20), u64::MAX, 1 << 53] {
        assert_eq!(
            world.client.open_stream(handle, true, 0),
            Err(EngineError::Stale),
            "{handle}"
        );
        assert_eq!(world.client.read(handle, 0, &mut [0; 10]), Err(EngineError::Stale));
        assert_eq!(world.client.write(handle, 0, b"x"), Err(EngineError::Stale));
        assert_eq!(world.client.close(handle, 0, b""), Err(EngineError::Stale));
        assert_eq!(world.client.release(handle), Err(EngineError::Stale));
    }
    // Streams that nobody opened, in both directions, of both sides, and beyond every number.
    for stream in [0, 1, 2, 3, 4, 77, 1 << 61, u64::MAX] {
        assert_eq!(world.client.write(client, stream, b"x").unwrap(), 0);
        assert_eq!(
            world.client.read(client, stream, &mut [0; 10]).unwrap().1,
            ReadEnd::Unknown
        );
        world.client.finish(client, stream).unwrap();
        world.client.reset(client, stream, 0).unwrap();
        world.client.stop(client, stream, 0).unwrap();
        world.client.set_priority(client, stream, 1).unwrap();
    }
    assert!(world.client.close(client, u64::MAX, b"").is_err());
    world.run(1_000.0);
    assert!(last(&world.client_events, Kind::Closed).is_none());
    world.client.release(client).unwrap();
    world.run(10_000.0);
    assert_eq!(world.client.write(client, 0, b"x"), Err(EngineError::Stale));
}

/// Xorshift: the same garbage in every run.
struct Garbage(u64);

impl Garbage {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, limit: u64) -> Vec<u8> {
        let length = self.next() % limit;
        (0..length).map(|_| self.next() as u8).collect()
    }
}

#[test]
fn garbage_disturbs_nothing() {
    let mut garbage = Garbage(0x9e37_79b9_7f4a_7c15);
    let mut world = World::new();
    let (client, server) = world.connected();
    for _ in 0..3_000 {
        let mut bytes = garbage.bytes(1_500);
        world.server.receive_packed(&bytes);
        let mut packed = Vec::new();
        if let Some(first) = bytes.first_mut() {
            *first |= 0x40;
        }
        pack(&mut packed, world.client_address, None, &bytes);
        world.server.receive_packed(&packed);
        world.client.write_batch(&mut garbage.bytes(100));
        let length = garbage.next() as u32 % 50;
        let mut batch = record(
            garbage.next() % 4 + client,
            garbage.next() % 8,
            garbage.next() as u32,
            &[1; 20],
        );
        batch[16..20].copy_from_slice(&length.to_le_bytes());
        // Not to the connection that must live: a stranger's numbers.
        batch[..8].copy_from_slice(&(3e9_f64).to_le_bytes());
        world.client.write_batch(&mut batch);
        while world.server.events.pop().is_some() {}
        world.server.foreign.take();
    }
    assert!(world.server.counters.malformed_batches > 0);
    transfer(&mut world, client, server, &pattern(100_000), |_| {});
    assert_eq!(WRITE_HEADER, 24);
}

#[test]
fn mutated_packets_of_a_real_handshake_disturb_nothing() {
    use macula_native::sink::PackedSink;
    let mut garbage = Garbage(42);
    let mut world = World::new();
    world.dial();
    let mut sink = PackedSink::new(60_000);
    world.client.flush(&mut sink);
    let first = Unpack::new(&sink.out).next().unwrap().payload.to_vec();
    for _ in 0..2_000 {
        let mut bytes = first.clone();
        for _ in 0..=garbage.next() % 4 {
            let at = garbage.next() as usize % bytes.len();
            bytes[at] ^= garbage.next() as u8;
        }
        bytes.truncate(garbage.next() as usize % (first.len() * 2) + 1);
        let mut packed = Vec::new();
        pack(&mut packed, world.client_address, None, &bytes);
        world.server.receive_packed(&packed);
        world.server.flush(&mut PackedSink::new(60_000));
        while let Some(event) = world.server.events.pop() {
            if event.kind == Kind::IncomingFailed {
                world.server.release(event.connection).unwrap();
            }
        }
    }
    world.run(120_000.0);
    while let Some(event) = last(&world.server_events, Kind::IncomingFailed) {
        world.server_events.retain(|other| other != &event);
        let _ = world.server.release(event.connection);
    }
    world.run(120_000.0);
    assert_eq!(world.server.handshakes(), 0);
}

#[test]
fn time_does_not_go_back_and_nonsense_is_ignored() {
    let mut world = World::new();
    world.connected();
    for now in [f64::NAN, f64::INFINITY, -1.0, 0.0, 1e300] {
        world.client.set_now(now);
        world.client.set_wall_clock(f64::NAN);
        world.client.handle_timeouts();
    }
    world.run(1_000.0);
    assert!(last(&world.client_events, Kind::Closed).is_none());
}

#[test]
fn options_at_their_edges_do_not_panic() {
    let options = Options {
        stream_window: 0,
        connection_window: 0,
        send_window: 0,
        bidirectional_streams_max: 0,
        unidirectional_streams_max: 0,
        datagram_buffer: 0,
        idle_timeout_ms: 1_000,
        keep_alive_ms: 0,
        tickets_max: 0,
        mtu_max: 1200,
        foreign_buffer: 0,
        bbr: true,
        ..Options::default()
    };
    let mut world = World::with(options.clone(), options);
    let (client, _) = world.connected();
    assert_eq!(world.client.open_stream(client, true, 0).unwrap(), None);
    assert!(!world.client.send_datagram(client, b"x").unwrap());
    assert!(world.client.take_ticket(client).unwrap().is_none());
}
