#![no_main]

#[path = "../../tests/common/mod.rs"]
mod common;
#[path = "../targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::calls(data));
