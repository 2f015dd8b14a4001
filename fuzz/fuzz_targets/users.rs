#![no_main]

#[allow(dead_code, reason = "one target of all of them")]
#[path = "../../tests/fuzz/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::users(data));
