//! The server as its clients meet it: the real binary, real sockets.
#![allow(clippy::unwrap_used, clippy::panic)]

#[allow(dead_code)]
#[path = "../cli/sandbox.rs"]
mod sandbox;

#[path = "../interpreter/mod.rs"]
mod interpreter;

mod access;
mod configs;
mod durable;
mod events;
mod flood;
mod hostile;
mod listeners;
mod lists;
mod mail;
mod sealed;
mod secrets;
mod server;
mod sessions;
mod settings;
mod upkeep;
mod users;
mod webhooks;
