//! The engine of the vault file: against a model, through crashes, failing calls and tampering.
//!
//! All of it runs on a medium in memory that loses, tears and refuses writes. `VAULT_TEST_SCALE` multiplies the number of cases,
//! `VAULT_TEST_SEED` repeats a run: every failure names the seed of its case.
#![allow(clippy::unwrap_used, clippy::panic)]

mod bytes;
mod crash;
mod faults;
mod medium;
mod model;
mod random;
mod sample;
mod sharing;
mod state;
mod tamper;
