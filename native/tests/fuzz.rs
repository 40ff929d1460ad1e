//! The targets of `native/fuzz` with random bytes, and with real ones that were changed at random: no coverage guides the
//! way, but any toolchain runs it. `SEED=… cargo test --test fuzz` makes the same inputs again, `ROUNDS=…` more of them.

use std::{
    net::SocketAddr,
    time::{SystemTime, UNIX_EPOCH},
};

use common::{client_address, server_address, World};
use macula_native::{
    engine::Engine,
    packet::{pack, Unpack},
    sink::PackedSink,
};

mod common;
#[path = "../fuzz/targets.rs"]
mod targets;

const LENGTH_MAX: usize = 4_096;

#[test]
fn receive_takes_anything() {
    let sent = handshake();
    let mut seeds = vec![packed(client_address(), &sent)];
    seeds.extend(sent.chunks(1).map(|datagram| packed(client_address(), datagram)));
    fuzz("receive", &seeds, 3_000, targets::receive);
}

#[test]
fn established_connections_take_anything() {
    fuzz("established", &handshake(), 300, targets::established);
}

#[test]
fn calls_take_anything() {
    fuzz("calls", &[], 300, targets::calls);
}

#[test]
fn identity_takes_anything() {
    let node = World::new().server_node;
    let [certificate, key] = [&node.chain[0], &node.key];
    let mut whole = (certificate.len() as u16).to_be_bytes().to_vec();
    whole.extend_from_slice(certificate);
    whole.extend_from_slice(key);
    // As it is, it must be taken: else nothing beyond the first check would ever be reached.
    assert!(World::new().server.set_identity(node.identity()).is_ok());
    fuzz("identity", &[whole], 4_000, targets::identity);
}

/// The datagrams that a client sends in a handshake.
fn handshake() -> Vec<Vec<u8>> {
    let mut world = World::new();
    world.dial();
    let mut sent = Vec::new();
    for _ in 0..4 {
        sent.extend(carry(&mut world.client, &mut world.server, client_address()));
        carry(&mut world.server, &mut world.client, server_address());
    }
    assert!(sent.len() >= 2, "no handshake to change: {} datagrams", sent.len());
    sent
}

/// What `from` has to send arrives; its payloads.
fn carry(from: &mut Engine, to: &mut Engine, address: SocketAddr) -> Vec<Vec<u8>> {
    let mut sink = PackedSink::new(60_000);
    from.flush(&mut sink);
    let payloads: Vec<_> = Unpack::new(&sink.out)
        .map(|datagram| datagram.payload.to_vec())
        .collect();
    to.receive_packed(&packed(address, &payloads));
    payloads
}

fn packed(from: SocketAddr, payloads: &[Vec<u8>]) -> Vec<u8> {
    let mut packed = Vec::new();
    for payload in payloads {
        pack(&mut packed, from, None, payload);
    }
    packed
}

fn fuzz(name: &str, seeds: &[Vec<u8>], rounds: u64, target: fn(&[u8])) {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse::<u64>().expect("a number"))
    };
    let rounds = number("ROUNDS").unwrap_or(rounds);
    let seed =
        number("SEED").unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64);
    println!("{name}: SEED={seed}");
    let mut random = Random(seed);
    for round in 0..rounds {
        let input = random.input(seeds);
        let _told = ToldWhenPanicking {
            name,
            round,
            input: &input,
        };
        target(&input);
    }
}

/// The engine's own random numbers are not those of the seed: the input says more than the seed does.
struct ToldWhenPanicking<'a> {
    name: &'a str,
    round: u64,
    input: &'a [u8],
}

impl Drop for ToldWhenPanicking<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let hex: String = self.input.iter().map(|byte| format!("{byte:02x}")).collect();
            println!("{} failed in round {} with {hex}", self.name, self.round);
        }
    }
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`, which is not 0.
    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }

    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        start..start + self.below(length - start + 1)
    }

    /// One in four is random from end to end; the others are of `seeds`, changed in a few places.
    fn input(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        if seeds.is_empty() || self.below(4) == 0 {
            let length = self.below(LENGTH_MAX);
            return self.bytes(length);
        }
        let mut input = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(4) {
            self.change(&mut input, seeds);
        }
        input.truncate(LENGTH_MAX);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let range = self.range(input.len());
        match self.below(7) {
            0 => drop(input.drain(range)),
            1 => input.truncate(range.start),
            2 => {
                let copy = input[range.clone()].to_vec();
                input.splice(range.start..range.start, copy);
            }
            3 => {
                let bytes = self.bytes(range.len().min(16));
                input.splice(range.start..range.start, bytes);
            }
            4 => {
                let other = &seeds[self.below(seeds.len())];
                let part = other[self.range(other.len())].to_vec();
                input.splice(range, part);
            }
            // Lengths and types are single bytes in most places: these are at the edges of what they can be.
            5 if !input.is_empty() => {
                let at = self.below(input.len());
                input[at] = [0x00, 0x01, 0x3f, 0x40, 0x7f, 0x80, 0xc0, 0xff][self.below(8)];
            }
            _ if !input.is_empty() => {
                let at = self.below(input.len());
                input[at] ^= 1 << self.below(8);
            }
            _ => {}
        }
    }
}
