//! Certificates and keys as the owner gives them: `cargo fuzz run identity`.
#![no_main]

#[path = "../../tests/common/mod.rs"]
mod common;

use common::World;
use libfuzzer_sys::fuzz_target;
use macula_native::{
    tls::Identity,
    trust::{node_id, Trust},
};

fuzz_target!(|data: &[u8]| {
    let _ = Trust::new(&[data.to_vec()], &[], &[data.to_vec()]);
    let _ = node_id(&data.to_vec().into());
    let mut world = World::new();
    let (first, second) = data.split_at(data.len() / 2);
    let _ = world.server.set_identity(Identity {
        chain: vec![first.to_vec()],
        private_key: second.to_vec(),
    });
});
