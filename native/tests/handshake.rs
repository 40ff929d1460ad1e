//! Trust and errors on both sides, resumption, early data.

mod common;

use common::{engine, last, read_all, server_address, World, ALPN, DAY_MS, EPOCH_MS};
use macula_native::{
    connection::ReadEnd,
    events::{CloseKind, Kind},
    options::Options,
};

fn close_kinds(world: &World) -> (u64, u64) {
    let client = last(&world.client_events, Kind::Closed)
        .expect("the client was not told")
        .a;
    let server = last(&world.server_events, Kind::IncomingFailed)
        .or(last(&world.server_events, Kind::Closed))
        .expect("the server was not told")
        .a;
    (client, server)
}

fn both(kind: CloseKind) -> (u64, u64) {
    (kind as u64, kind as u64)
}

#[test]
fn both_sides_know_each_other() {
    let mut world = World::new();
    let (client, server) = world.connected();
    assert_eq!(world.client.peer_node_id(client).unwrap(), Some(world.server_node.id));
    assert_eq!(world.server.peer_node_id(server).unwrap(), Some(world.client_node.id));
    assert_eq!(world.client.alpn(client).unwrap().as_deref(), Some(ALPN));
    assert!(last(&world.client_events, Kind::Established).is_some());
    assert!(last(&world.server_events, Kind::Established).is_some());
    assert_eq!(world.server.handshakes(), 0);
}

#[test]
fn another_realm_is_refused_on_both_sides() {
    let mut world = World::new();
    let other = World::new();
    world.client = engine(&other.client_node, other.realm.trust(&[]), ALPN, Options::default());
    world.dial();
    world.run(100.0);
    assert_eq!(close_kinds(&world), both(CloseKind::WrongRealm));
    assert_eq!(world.server.counters.incoming_failed, 1);
    assert!(last(&world.server_events, Kind::Incoming).is_none());
}

#[test]
fn the_server_refuses_a_client_of_another_realm_that_trusts_it() {
    let mut world = World::new();
    let other = World::new();
    world.client = engine(&other.client_node, world.realm.trust(&[]), ALPN, Options::default());
    world.dial();
    world.run(200.0);
    assert_eq!(close_kinds(&world), both(CloseKind::WrongRealm));
    assert!(last(&world.client_events, Kind::Established).is_none());
}

#[test]
fn an_authority_may_serve_several_realms() {
    let mut world = World::new();
    let trust = world.realm.trust(&[]).in_realm(Some("realm".to_owned()));
    world.server.set_trust(trust);
    world.connected();
    let other = world.realm.node_of("other");
    world.client = engine(&other, world.realm.trust(&[]), ALPN, Options::default());
    world.server_events.clear();
    world.client_events.clear();
    world.dial();
    world.run(200.0);
    assert_eq!(close_kinds(&world), both(CloseKind::WrongRealm));
}

#[test]
fn another_node_at_the_address_is_refused() {
    let mut world = World::new();
    let nobody = world.realm.node();
    world
        .client
        .connect(server_address(), Some(nobody.id), ALPN, None)
        .unwrap();
    world.run(100.0);
    assert_eq!(close_kinds(&world), both(CloseKind::WrongNode));
}

#[test]
fn another_protocol_is_refused() {
    let mut world = World::new();
    let id = world.server_node.id;
    world
        .client
        .connect(server_address(), Some(id), b"other", None)
        .unwrap();
    world.run(100.0);
    assert_eq!(close_kinds(&world), both(CloseKind::WrongAlpn));
}

#[test]
fn an_expired_certificate_is_refused_by_the_clock_it_is_given() {
    let mut world = World::new();
    world.client.set_wall_clock(EPOCH_MS + 100.0 * DAY_MS);
    world.dial();
    world.run(100.0);
    assert_eq!(close_kinds(&world), both(CloseKind::Expired));
}

#[test]
fn a_revoked_node_is_refused_on_both_sides() {
    let mut world = World::new();
    world.server.set_trust(world.realm.trust(&[world.client_node.id]));
    world.dial();
    world.run(200.0);
    assert_eq!(close_kinds(&world), both(CloseKind::Revoked));
}

#[test]
fn nobody_there_is_a_timeout() {
    let mut world = World::new();
    world.lose_every = 1;
    world.dial();
    world.run(60_000.0);
    let closed = last(&world.client_events, Kind::Closed).unwrap();
    assert_eq!(closed.a, CloseKind::Timeout as u64);
}

#[test]
fn a_full_server_refuses() {
    let options = Options {
        connections_max: 1,
        ..Options::default()
    };
    let mut world = World::with(Options::default(), options);
    world.connected();
    world.dial();
    world.run(100.0);
    assert_eq!(
        last(&world.client_events, Kind::Closed).unwrap().a,
        CloseKind::Refused as u64
    );
    assert_eq!(world.server.counters.incoming_refused, 1);
}

#[test]
fn under_load_addresses_are_proved_first() {
    let options = Options {
        retry_from: 0,
        ..Options::default()
    };
    let mut world = World::with(Options::default(), options);
    world.connected();
    assert_eq!(world.server.counters.incoming_retried, 1);
    assert_eq!(world.server.connections(), 1);
}

/// Another client at `address`; what the old one sent arrives still, but nobody is there for the answers.
fn replace_client(world: &mut World, address: &str) {
    world.client = engine(&world.client_node, world.realm.trust(&[]), ALPN, Options::default());
    world.client_address = address.parse().unwrap();
    world.client_events.clear();
}

#[test]
fn a_handshake_has_a_time_limit_whatever_the_idle_time_out() {
    let options = Options {
        idle_timeout_ms: 0,
        handshake_timeout_ms: 2_000,
        ..Options::default()
    };
    let mut world = World::with(Options::default(), options);
    world.dial();
    world.run_until(5.0);
    replace_client(&mut world, "192.0.2.9:1000");
    world.run_until(1_990.0);
    assert_eq!(world.server.handshakes(), 1);
    world.run_until(2_020.0);
    assert_eq!(world.server.handshakes(), 0);
    assert_eq!(world.server.counters.incoming_failed, 1);
    let failed = last(&world.server_events, Kind::IncomingFailed).expect("the owner was not told");
    assert_eq!(failed.a, CloseKind::Timeout as u64);
    let close = world.server.close_reason(failed.connection).unwrap();
    assert_eq!(
        close.map(|close| close.reason),
        Some("the handshake took too long".to_owned())
    );
    world.run_until(20_000.0);
    assert_eq!(world.server.connections(), 0);
}

#[test]
fn a_complete_handshake_has_no_time_limit() {
    let options = Options {
        handshake_timeout_ms: 200,
        ..Options::default()
    };
    let mut world = World::with(Options::default(), options);
    world.connected();
    world.run(10_000.0);
    assert_eq!(world.server.connections(), 1);
    assert!(last(&world.server_events, Kind::Closed).is_none());
}

fn four_per_address(retry_from: u32) -> World {
    let options = Options {
        handshakes_per_address_max: 4,
        retry_from,
        ..Options::default()
    };
    World::with(Options::default(), options)
}

#[test]
fn one_address_cannot_take_all_handshakes() {
    let mut world = four_per_address(0);
    for _ in 0..10 {
        world.dial();
    }
    // They have answered the Retry, and leave it at that.
    world.run_until(25.0);
    replace_client(&mut world, "192.0.2.9:1000");
    world.run_until(40.0);
    assert_eq!(world.server.handshakes(), 4);
    assert_eq!(world.server.counters.incoming_refused, 6);
    world.dial();
    world.run(200.0);
    assert!(
        last(&world.client_events, Kind::Established).is_some(),
        "another address"
    );
    replace_client(&mut world, "192.0.2.1:2000");
    world.dial();
    world.run(200.0);
    let closed = last(&world.client_events, Kind::Closed).expect("a fifth of the same address");
    assert_eq!(closed.a, CloseKind::Refused as u64);
    assert_eq!(world.server.counters.incoming_refused, 7);
    // When the time of the four is over, the address may come again.
    world.run(5_000.0);
    assert_eq!(world.server.handshakes(), 0);
    world.dial();
    world.run(200.0);
    assert!(
        last(&world.client_events, Kind::Established).is_some(),
        "the same address later"
    );
}

#[test]
fn a_false_sender_does_not_keep_out_the_owner_of_the_address() {
    let mut world = four_per_address(128);
    for _ in 0..10 {
        world.dial();
    }
    world.run_until(5.0);
    replace_client(&mut world, "192.0.2.9:1000");
    world.run_until(20.0);
    assert_eq!(world.server.handshakes(), 2);
    replace_client(&mut world, "192.0.2.1:2000");
    world.dial();
    world.run(200.0);
    assert!(last(&world.client_events, Kind::Established).is_some());
    assert_eq!(world.server.counters.incoming_refused, 0);
}

#[test]
fn a_lost_packet_does_not_stop_a_handshake() {
    for lose_every in 2..8 {
        let mut world = World::new();
        world.lose_every = lose_every;
        world.dial();
        world.run(10_000.0);
        assert!(
            last(&world.client_events, Kind::Established).is_some(),
            "1 of {lose_every}"
        );
    }
}

fn ticket(world: &mut World) -> macula_native::tickets::Ticket {
    let (client, _) = world.connected();
    let ticket = world.client.take_ticket(client).unwrap().expect("no ticket");
    world.client.release(client).unwrap();
    world.run(1_000.0);
    world.client_events.clear();
    world.server_events.clear();
    ticket
}

#[test]
fn early_data_arrives_after_one_way_and_is_marked() {
    let mut world = World::new();
    let ticket = ticket(&mut world);
    let id = world.server_node.id;
    let client = world
        .client
        .connect(server_address(), Some(id), ALPN, Some(&ticket))
        .unwrap();
    assert!(world.client.offers_early_data(client).unwrap());
    let stream = world.client.open_stream(client, true, 0).unwrap().unwrap();
    assert_eq!(world.client.write(client, stream, b"early").unwrap(), 5);
    world.run(10.5);
    let incoming = last(&world.server_events, Kind::Incoming).expect("no early connection");
    assert_eq!(incoming.a, 1);
    let opened = last(&world.server_events, Kind::Stream).unwrap();
    assert_eq!((opened.a, opened.b), (stream, 1));
    assert_eq!(read_all(&mut world.server, incoming.connection, stream).0, b"early");
    // Whom the data comes from is known, though the handshake is not complete.
    assert_eq!(
        world.server.peer_node_id(incoming.connection).unwrap(),
        Some(world.client_node.id)
    );
    world.run(100.0);
    assert!(last(&world.client_events, Kind::EarlyRejected).is_none());
    assert!(last(&world.client_events, Kind::Established).is_some());
    assert_eq!(world.client.peer_node_id(client).unwrap(), Some(world.server_node.id));
}

#[test]
fn a_ticket_resumes_once() {
    let mut world = World::new();
    let ticket = ticket(&mut world);
    let id = world.server_node.id;
    for early in [true, false] {
        let client = world
            .client
            .connect(server_address(), Some(id), ALPN, Some(&ticket))
            .unwrap();
        assert_eq!(world.client.offers_early_data(client).unwrap(), early);
        world.run(100.0);
        assert!(last(&world.client_events, Kind::Established).is_some());
        world.client_events.clear();
    }
}

#[test]
fn a_replayed_first_flight_brings_no_early_data() {
    use macula_native::{packet::Unpack, sink::PackedSink};
    let mut world = World::new();
    let ticket = ticket(&mut world);
    let id = world.server_node.id;
    let client = world
        .client
        .connect(server_address(), Some(id), ALPN, Some(&ticket))
        .unwrap();
    let stream = world.client.open_stream(client, true, 0).unwrap().unwrap();
    world.client.write(client, stream, b"transfer 100").unwrap();
    let mut sink = PackedSink::new(60_000);
    world.client.flush(&mut sink);
    let mut early = 0;
    for from in ["198.51.100.1:1", "198.51.100.2:2"] {
        for datagram in Unpack::new(&sink.out) {
            let mut packed = Vec::new();
            macula_native::packet::pack(&mut packed, from.parse().unwrap(), None, datagram.payload);
            world.server.receive_packed(&packed);
        }
        world.server.flush(&mut PackedSink::new(60_000));
        while let Some(event) = world.server.events.pop() {
            early += usize::from(event.kind == Kind::Stream);
        }
        // The engine knows the first flight by its connection id for as long as the connection lives.
        world.server.close_all(0, b"");
        world.server.set_accepting(true);
        world.server.flush(&mut PackedSink::new(60_000));
        world.now_ms += 10_000.0;
        world.server.set_now(world.now_ms);
        world.server.handle_timeouts();
        world.server.flush(&mut PackedSink::new(60_000));
    }
    assert_eq!(early, 1);
}

#[test]
fn a_server_that_forgot_rejects_early_data_and_says_so() {
    let mut world = World::new();
    let ticket = ticket(&mut world);
    world.server = engine(&world.server_node, world.realm.trust(&[]), ALPN, Options::default());
    let id = world.server_node.id;
    let client = world
        .client
        .connect(server_address(), Some(id), ALPN, Some(&ticket))
        .unwrap();
    let stream = world.client.open_stream(client, true, 0).unwrap().unwrap();
    world.client.write(client, stream, b"lost").unwrap();
    world.run(200.0);
    assert!(last(&world.client_events, Kind::EarlyRejected).is_some());
    assert!(last(&world.server_events, Kind::Stream).is_none());
    // The old stream is gone, and a new one has its number.
    assert_eq!(world.client.write(client, stream, b"x").unwrap(), 0);
    assert_eq!(world.client.open_stream(client, true, 0).unwrap(), Some(stream));
    world.client.write(client, stream, b"again").unwrap();
    world.run(100.0);
    let server = world.incoming();
    assert_eq!(
        read_all(&mut world.server, server, stream),
        (b"again".to_vec(), ReadEnd::Open)
    );
}

#[test]
fn who_was_revoked_does_not_resume() {
    let mut world = World::new();
    let ticket = ticket(&mut world);
    world.server.set_trust(world.realm.trust(&[world.client_node.id]));
    let id = world.server_node.id;
    world
        .client
        .connect(server_address(), Some(id), ALPN, Some(&ticket))
        .unwrap();
    world.run(200.0);
    assert_eq!(close_kinds(&world), both(CloseKind::Revoked));
}

#[test]
fn who_expired_does_not_resume() {
    let mut world = World::new();
    let ticket = ticket(&mut world);
    world.server.set_wall_clock(EPOCH_MS + 100.0 * DAY_MS);
    let id = world.server_node.id;
    world
        .client
        .connect(server_address(), Some(id), ALPN, Some(&ticket))
        .unwrap();
    world.run(200.0);
    assert_eq!(close_kinds(&world), both(CloseKind::Expired));
}

#[test]
fn a_client_does_not_resume_with_a_server_it_does_not_trust_any_more() {
    let mut world = World::new();
    let ticket = ticket(&mut world);
    world.client.set_trust(world.realm.trust(&[world.server_node.id]));
    let id = world.server_node.id;
    let client = world
        .client
        .connect(server_address(), Some(id), ALPN, Some(&ticket))
        .unwrap();
    assert!(!world.client.offers_early_data(client).unwrap());
    world.run(200.0);
    assert_eq!(close_kinds(&world), both(CloseKind::Revoked));
}

#[test]
fn a_renewed_identity_is_used_for_new_connections() {
    let mut world = World::new();
    world.connected();
    let renewed = world.realm.node();
    world.server.set_identity(renewed.identity()).unwrap();
    let client = world
        .client
        .connect(server_address(), Some(renewed.id), ALPN, None)
        .unwrap();
    world.run(100.0);
    assert_eq!(world.client.peer_node_id(client).unwrap(), Some(renewed.id));
    assert_eq!(world.server.connections(), 2);
}

#[test]
fn a_key_that_is_not_the_certificates_is_refused() {
    let mut world = World::new();
    let mut identity = world.realm.node().identity();
    identity.private_key = world.realm.node().key;
    assert!(world.server.set_identity(identity).is_err());
}

#[test]
fn the_key_log_has_lines_when_asked_for() {
    let options = Options {
        key_log: true,
        ..Options::default()
    };
    let mut world = World::with(options, Options::default());
    world.connected();
    assert!(last(&world.client_events, Kind::KeyLog).is_some());
    let line = world.client.pop_key_line().unwrap();
    assert!(line.starts_with("CLIENT_") || line.starts_with("SERVER_"), "{line}");
    assert!(world.server.pop_key_line().is_none());
}
