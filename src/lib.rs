//! Keeps secrets in one encrypted, file-locked vault file and hands them to shells, scripts and programs.
//!
//! The program `vault` is this library with a command line before it. A program that wants its secrets without starting another one uses the
//! library: make a [`Vault`] or open a file as [`Locked`], unlock it with a [`Credential`], read and write entries.
//!
//! ```
//! use vault::{Credential, EntryId, Kind, Locked, Name, NewSlot, Options, RawKey, SecretValue, Vault, Write};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = std::env::temp_dir().join(format!("vault-lib-{}", std::process::id()));
//! # std::fs::create_dir_all(&directory)?;
//! let path = directory.join("app.vault");
//! let now = 1_700_000_000_000; // milliseconds since 1970; the library does not look at a clock
//!
//! Vault::create(&path, &[("app".to_owned(), NewSlot::RawKey(RawKey::new([7; 32].into())))], now)?;
//!
//! let key = Credential::RawKey(RawKey::new([7; 32].into()));
//! let vault = Locked::open(&path)?.unlock(&key, Options::default())?;
//! let id = EntryId::plain(Name::parse("db_prod")?);
//! vault.set(&id, Write::value(SecretValue::from("s3cret"), Kind::Text), now)?;
//! assert_eq!(vault.value(&id, None)?.expose(), b"s3cret");
//! # std::fs::remove_dir_all(&directory)?;
//! # Ok(())
//! # }
//! ```
//!
//! `examples/embed.rs` shows more: versions, conflicts, and what each kind of error means.
//!
//! # Rooms and ranks
//!
//! A file imports from rooms of a lower rank and from its own room, and from nowhere else; `tests/layers.rs` reads the sources and fails otherwise.
//!
//! | rank | room | what it is |
//! |---|---|---|
//! | 7 | [`commands`] | one subcommand, one file; what they share is in a few named files beside them |
//! | 6 | [`mod@agent`] | the process that keeps a vault unlocked between commands, and how commands talk to it |
//! | 6 | [`client`] | a server as its clients see it; the only room that names the HTTP client |
//! | 6 | [`serve`] | the vault as a REST API; the only room with an executor |
//! | 6 | [`term`] | standard streams, prompts, the editor, the clipboard, QR codes |
//! | 5 | [`audit`] | the log of what was done with a vault: sealed, chained, append-only |
//! | 5 | [`process`] | what the process does for itself before anything else; with the only files that have `unsafe` blocks |
//! | 5 | [`keychain`] | remembers the key of a slot in the keychain of the system |
//! | 4 | [`mod@vault`] | what the product means: unlocking, entries, versions, environments, what a machine remembers |
//! | 4 | [`interchange`] | rows to and from the formats of shells, tools and other secret stores; pure text work |
//! | 4 | [`leaks`] | finding a vault's values, plain and encoded, in what other programs write |
//! | 3 | [`store`] | the ordered, transactional key–value interface, the engine in a file, the one in memory |
//! | 2 | [`mod@format`] | bytes to types and back, as `src/format/SPEC.md` says; no input, no output, no policy |
//! | 1 | [`crypto`] | the only room that names a cipher crate; every key derivation and every label |
//! | 0 | [`name`] | names, categories, environments, tags: valid by construction |
//! | 0 | [`secret`] | secrets as types that wipe themselves, print nothing, and open by one named method |
//!
//! Data flows one way: a command calls `vault`, that `store`, that `format`, that `crypto`. Ranks 0 to 4 touch neither terminal nor environment nor
//! clock; the edges pass those in.
#![deny(missing_docs)]

pub mod agent;
pub mod audit;
pub mod client;
pub mod commands;
pub mod crypto;
pub mod format;
pub mod interchange;
pub mod keychain;
pub mod leaks;
pub mod name;
pub mod process;
pub mod secret;
pub mod serve;
pub mod store;
pub mod term;
pub mod vault;

pub use format::record::Kind;
pub use name::{Category, EntryId, Environment, Name, Tag};
pub use secret::{Passphrase, RawKey, SecretValue};
pub use vault::{Credential, Error, ErrorKind, Locked, NewSlot, Options, Vault, Write};
