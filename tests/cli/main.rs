//! The command line as its users see it: the real binary, in a sandbox of its own for each test.
#![allow(clippy::unwrap_used, clippy::panic)]

mod sandbox;

mod backup;
mod bad_input;
mod check;
mod compact;
mod completions;
mod cp;
mod diff;
mod discovery;
mod edit;
mod export;
mod find;
mod generate;
mod get;
mod help;
mod history;
mod hygiene;
mod import;
mod info;
mod init;
mod key;
mod list;
mod man;
mod mv;
mod processes;
mod prompts;
mod restore;
mod rm;
mod rollback;
mod rotate;
mod set;
mod snapshots;
mod trust;
mod unlock;
