//! The layer map of `src/lib.rs` holds: who imports whom, which room may name which crate, how large files are, and which words stand nowhere.
//!
//! It reads the sources as text. What it looks for is how this project writes Rust, not all that Rust allows: rooms are named by `crate::` and
//! `super::` paths, in `use` lines or where they are used.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

/// The rooms and their ranks. A file imports from lower ranks and from its own room; rooms of the same rank do not know each other.
const RANKS: &[(&str, u8)] = &[
    ("secret", 0),
    ("name", 0),
    ("crypto", 1),
    ("format", 2),
    ("store", 3),
    ("vault", 4),
    ("interchange", 4),
    ("leaks", 4),
    ("audit", 5),
    ("process", 5),
    ("keychain", 5),
    ("agent", 6),
    ("client", 6),
    ("serve", 6),
    ("term", 6),
    ("commands", 7),
];

/// Rooms that may use less than their rank allows: the room, and the beginnings of the only paths that it may name outside itself.
const NARROW: &[(&str, &[&str])] = &[
    ("interchange", &["format::record::Kind", "format::record::MAX_LABELS", "secret", "name"]),
    ("leaks", &["format::record::Kind", "secret", "crypto"]),
    ("process", &[]),
    ("keychain", &["crypto"]),
    ("format", &["crypto", "secret", "name"]),
    ("crypto", &["secret"]),
];

/// What subcommands share. Any other file of `commands` is a subcommand, and no subcommand imports another.
const SHARED_COMMANDS: &[&str] = &[
    "context",
    "config",
    "exit",
    "present",
    "exchange",
    "choose",
    "ci",
    "completions",
    "files",
    "held",
    "identities",
    "keychain",
    "keys",
    "leaks",
    "plugins",
    "recipients",
    "record",
    "retention",
    "hooks",
    "people",
    "pepper",
    "usage",
    "times",
    "source",
    "remote",
];

/// What has one home: a text, and the file in which it stands.
const HOMES: &[(&str, &str)] = &[
    ("OFlags::NOFOLLOW", "src/store/file/storage.rs"),
    ("fn directory_of", "src/store/file/storage.rs"),
    ("fn sync_directory(path", "src/store/file/storage.rs"),
    ("while !lock::try_exclusive", "src/store/file/lock.rs"),
    ("fn unhex", "src/format/header/mod.rs"),
];

/// Crates that one room alone names.
const CRATES: &[(&str, &[&str])] = &[
    (
        "crypto",
        &[
            "aes",
            "aes_gcm",
            "age",
            "age_core",
            "argon2",
            "bcrypt",
            "bech32",
            "blake3",
            "cbc",
            "chacha20poly1305",
            "ed25519_dalek",
            "hkdf",
            "hmac",
            "jsonwebtoken",
            "pbkdf2",
            "sha1",
            "sha2",
        ],
    ),
    ("commands", &["clap", "clap_complete", "clap_mangen", "directories", "indicatif"]),
    ("store", &["fs2"]),
    ("serve", &["lettre"]),
    ("term", &["dialoguer"]),
    ("keychain", &["secret_service", "security_framework"]),
    ("client", &["ureq", "rustls", "rustls_native_certs", "percent_encoding"]),
    ("interchange", &["keepass", "qrcodegen_no_heap"]),
];

/// What ranks 0 to 4 leave to the edges: terminal, environment, wall clock. (`temp_dir` serves unit tests.)
const EDGES: &[&str] = &[
    "std::env::var",
    "std::env::args",
    "std::env::home_dir",
    "std::env::current_dir",
    "SystemTime::now",
    "Timestamp::now",
    "io::stdin",
    "io::stdout",
    "io::stderr",
    "println!",
    "eprintln!",
    "print!(",
];

/// Code, without comments, blank lines and unit tests.
const MOST_LINES: usize = 500;

#[test]
fn imports_follow_the_ranks() {
    let mut found = Vec::new();
    for (path, text) in sources() {
        found.extend(violations(&path, &text));
    }
    assert!(found.is_empty(), "the layer map is broken:\n  {}", found.join("\n  "));
}

#[test]
fn every_room_has_a_rank_and_stands_in_the_map() {
    let map = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let modules: Vec<&str> =
        map.lines().filter_map(|line| line.strip_prefix("pub mod ").and_then(|rest| rest.strip_suffix(';'))).collect();
    assert_eq!(modules.len(), RANKS.len(), "a room without a rank, or a rank without a room: {modules:?}");
    for module in modules {
        let rank = RANKS.iter().find(|(name, _)| *name == module).map(|(_, rank)| *rank);
        let rank = rank.unwrap_or_else(|| unreachable!("{module} has no rank"));
        let rows = [format!("//! | {rank} | [`{module}`] |"), format!("//! | {rank} | [`mod@{module}`] |")];
        let there = map.lines().any(|line| rows.iter().any(|row| line.starts_with(row)));
        assert!(there, "src/lib.rs lacks the line that begins with: {}", rows[0]);
    }
}

#[test]
fn files_are_named_by_nouns_and_are_not_too_large() {
    let mut found = Vec::new();
    for (path, text) in sources() {
        let stem = Path::new(&path).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if ["util", "utils", "common", "helpers", "helper", "misc", "types"]
            .iter()
            .any(|name| stem.split('_').any(|part| part == *name))
        {
            found.push(format!("{path}: a file is named after what it holds"));
        }
        let lines = code(&text).lines().filter(|line| !line.trim().is_empty()).count();
        if lines > MOST_LINES {
            found.push(format!("{path}: {lines} lines of code, above {MOST_LINES}"));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Where the compiler does not check: blocks in the files of `process`, of which one also implements the allocator that wipes, and in the program the one
/// name by which C enters it.
const UNSAFE: &[(&str, &[&str])] = &[
    ("src/process.rs", &["unsafe {"]),
    ("src/process/descriptors.rs", &["unsafe {"]),
    ("src/process/memory.rs", &["unsafe {"]),
    ("src/process/signals.rs", &["unsafe {"]),
    ("src/process/start.rs", &["unsafe {"]),
    ("src/process/terminal.rs", &["unsafe {"]),
    ("src/process/wiping.rs", &["unsafe {", "unsafe impl GlobalAlloc for Wiping {", "unsafe fn "]),
    ("src/main.rs", &["#[unsafe(no_mangle)]"]),
];

#[test]
fn unsafe_stands_where_it_is_expected() {
    for (path, text) in sources() {
        assert_eq!(unexpected_unsafe(&path, &text), None, "{path}");
    }
    assert!(unexpected_unsafe("src/store/file/lock.rs", "fn f() { unsafe { g() } }").is_some());
    assert!(unexpected_unsafe("src/main.rs", "#[unsafe(no_mangle)]\nfn main() { unsafe { g() } }").is_some());
    assert!(unexpected_unsafe("src/process.rs", "unsafe impl Send for A {}").is_some());
    assert!(unexpected_unsafe("src/name.rs", "#![allow(unsafe_code)]").is_some());
    assert_eq!(unexpected_unsafe("src/process.rs", "// unsafe impl\nfn f() { unsafe { g() } }"), None);
}

fn unexpected_unsafe(path: &str, text: &str) -> Option<String> {
    let text = bare(text);
    let allowed = UNSAFE.iter().find(|(file, _)| *file == path).map_or(&[][..], |(_, forms)| forms);
    if allowed.is_empty() && text.contains("allow(unsafe_code)") {
        return Some("allows unsafe".to_owned());
    }
    let rest = allowed.iter().fold(text, |text, form| text.replace(form, ""));
    words(&rest).any(|word| word == "unsafe").then(|| "uses unsafe".to_owned())
}

#[test]
fn forbidden_words_stand_nowhere() {
    // Put together here, so that this file may be read as well.
    let forbidden = [["TO", "DO"], ["FIX", "ME"], ["X", "XX"], ["HA", "CK"], ["unimplemented", "!"], ["to", "do!"]]
        .map(|parts| parts.concat());
    let mut found = Vec::new();
    walk(&root(), &mut |path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let written_by_hand = [".rs", ".md", ".toml", ".sh", ".py", "run"].iter().any(|end| name.ends_with(end));
        let Ok(text) = fs::read_to_string(path) else { return };
        if !written_by_hand {
            return;
        }
        for (number, line) in text.lines().enumerate() {
            if let Some(word) = forbidden.iter().find(|word| has_word(line, word)) {
                found.push(format!("{}:{}: {word}", path.display(), number + 1));
            }
        }
    });
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// A test that cannot fail is a defect: each rule is broken here on purpose.
#[test]
fn the_rules_can_be_broken() {
    let broken = [
        ("src/format/page.rs", "use crate::vault::Vault;"),
        ("src/format/page.rs", "fn f() { crate::store::memory::MemoryStore::new(); }"),
        ("src/vault/read.rs", "use crate::interchange::Row;"),
        ("src/vault/read.rs", "use crate::{name::Name, term::output};"),
        ("src/interchange/json.rs", "use crate::format::header::hex;"),
        ("src/secret.rs", "use crate::name::Name;"),
        ("src/store/file/commit.rs", "use super::super::super::vault::Vault;"),
        ("src/process.rs", "use crate::term::output;"),
        ("src/vault/read.rs", "use crate::Vault;"),
        ("src/commands/edit.rs", "use super::{exit, set};"),
        ("src/commands/import.rs", "use super::export::ExportFormat;"),
        ("src/commands/import.rs", "use crate::commands::export;"),
        ("src/commands/rotate.rs", "fn f() { super::set::kind_of(); }"),
        ("src/commands/context.rs", "use super::set;"),
        ("src/vault/unlock.rs", "use argon2::Argon2;"),
        ("src/store/mod.rs", "fn f() { blake3::hash(b\"\"); }"),
        ("src/vault/mod.rs", "use clap::Args;"),
        ("src/vault/mod.rs", "fn now() { std::time::SystemTime::now(); }"),
        ("src/crypto/kdf.rs", "fn f() { println!(\"x\"); }"),
        ("src/keychain/mod.rs", "use crate::vault::Vault;"),
        ("src/keychain/mod.rs", "use crate::process;"),
        ("src/commands/keychain.rs", "use secret_service::Error;"),
        ("src/commands/file/edit.rs", "use fs2::FileExt as _;"),
        ("src/audit/log.rs", "fn f() -> OFlags { rustix::fs::OFlags::NOFOLLOW }"),
        ("src/audit/log.rs", "fn sync_directory(path: &Path) {}"),
        ("src/commands/files.rs", "fn directory_of(path: &Path) {}"),
        ("src/vault/witness.rs", "fn f() { while !lock::try_exclusive(&file) {} }"),
        ("src/audit/frame.rs", "fn unhex(digits: &[u8]) {}"),
    ];
    for (path, text) in broken {
        assert!(!violations(path, text).is_empty(), "{path} may say: {text}");
    }
    let sound = [
        ("src/format/page.rs", "// use crate::vault::Vault;\nuse crate::crypto::{self, Hash};\nuse super::FormatError;"),
        ("src/format/page.rs", "const TEXT: &str = \"crate::vault\";"),
        (
            "src/commands/edit.rs",
            "use super::context::{Context, parse_name};\nuse super::{command, exit, present};\nuse crate::vault::Error;",
        ),
        ("src/interchange/row.rs", "pub use crate::format::record::Kind;"),
        ("src/store/file/lock.rs", "use super::storage::Storage;\nuse crate::store::StoreError;"),
        ("src/vault/mod.rs", "pub use unlock::Locked;"),
    ];
    for (path, text) in sound {
        assert_eq!(violations(path, text), Vec::<String>::new(), "{path} may not say: {text}");
    }
    assert!(has_word("// X: later", "X") && !has_word("a name.aX", "X"));
    assert_eq!(
        code("fn a() {}\n// b\n\n#[cfg(test)]\nmod tests {\n}\n").lines().filter(|line| !line.trim().is_empty()).count(),
        1
    );
}

/// What a file says that it must not say.
fn violations(path: &str, text: &str) -> Vec<String> {
    let module = module_of(path);
    let Some(room) = module.first().copied() else { return Vec::new() };
    let text = bare(text);
    let mut found = Vec::new();
    let mut refuse = |what: String| {
        let what = format!("{path}: {what}");
        if !found.contains(&what) {
            found.push(what);
        }
    };
    let Some(rank) = rank(room) else {
        refuse(format!("{room} is no room"));
        return found;
    };
    for named in paths(&text, &module) {
        let Some(target) = named.first() else { continue };
        let shown = named.join("::");
        if target == room {
            if room == "commands" {
                let from = module.get(1).copied().unwrap_or_default();
                let to = named.get(1).map_or("", String::as_str);
                let is_file = root().join(format!("src/commands/{to}.rs")).exists();
                if !from.is_empty() && is_file && to != from && !SHARED_COMMANDS.contains(&to) {
                    refuse(format!("imports the subcommand {to}"));
                }
            }
            continue;
        }
        match self::rank(target) {
            None => refuse(format!("crate::{shown} names no room")),
            Some(other) if other >= rank => refuse(format!("rank {rank} imports {shown}, which has rank {other}")),
            Some(_) => {}
        }
        if let Some((_, allowed)) = NARROW.iter().find(|(name, _)| *name == room)
            && !allowed.iter().any(|allowed| shown == *allowed || shown.starts_with(&format!("{allowed}::")))
        {
            refuse(format!("{room} imports {shown}"));
        }
    }
    for (owner, crates) in CRATES.iter().filter(|(owner, _)| *owner != room) {
        for name in crates.iter().filter(|name| names_crate(&text, name)) {
            refuse(format!("names the crate {name}, which belongs to {owner}"));
        }
    }
    for (what, home) in HOMES.iter().filter(|(what, home)| *home != path && text.contains(what)) {
        refuse(format!("`{what}` has its home in {home}"));
    }
    if rank <= 4 {
        for edge in EDGES.iter().filter(|edge| text.contains(**edge)) {
            refuse(format!("rank {rank} uses {edge}"));
        }
    }
    found
}

fn rank(room: &str) -> Option<u8> {
    RANKS.iter().find(|(name, _)| *name == room).map(|(_, rank)| *rank)
}

/// The module that a file is: `src/store/file/mod.rs` is store, file. The crate's root and the program are none.
fn module_of(path: &str) -> Vec<&str> {
    let inner = path.trim_start_matches("src/").trim_end_matches(".rs");
    inner.split('/').filter(|part| !["mod", "lib", "main"].contains(part)).collect()
}

/// The paths within the crate that a text names, in full: from `use crate::…`, `use super::…`, and where they stand in the code.
fn paths(text: &str, module: &[&str]) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    let tests = tests_begin(text).unwrap_or(text.len());
    for start in ["crate::", "super::"] {
        for (at, _) in text.match_indices(start) {
            let before = text[..at].chars().next_back();
            // The inside of a longer path or word; a chain of `super::` is read from its first.
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            let mut rest = &text[at..];
            let inside = if at > tests { Some("tests") } else { None };
            let mut base: Vec<String> = module.iter().copied().chain(inside).map(str::to_owned).collect();
            if let Some(inner) = rest.strip_prefix("crate::") {
                base.clear();
                rest = inner;
            }
            while let Some(inner) = rest.strip_prefix("super::") {
                base.pop();
                rest = inner;
            }
            tree(rest, &base, &mut all);
        }
    }
    all
}

/// Reads one tree of a `use`, such as `a::{b, c::d}`; returns how much of the text it took.
fn tree(text: &str, base: &[String], all: &mut Vec<Vec<String>>) -> usize {
    let mut path = base.to_vec();
    let mut at = 0;
    loop {
        let rest = &text[at..];
        let word: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        at += word.len();
        if !word.is_empty() {
            path.push(word);
        }
        let rest = &text[at..];
        if let Some(inner) = rest.strip_prefix("::") {
            at = text.len() - inner.len();
            continue;
        }
        if rest.starts_with('{') {
            at += 1;
            while !text[at..].starts_with('}') && at < text.len() {
                let skipped = text[at..].len() - text[at..].trim_start_matches(|c: char| c.is_whitespace() || c == ',').len();
                at += skipped;
                if text[at..].starts_with('}') {
                    break;
                }
                let before = path.len();
                let taken = tree(&text[at..], &path, all);
                at += taken;
                // ` as name`, `self`, or something else that is no path.
                let rest = &text[at..];
                at += rest.find([',', '}']).unwrap_or(rest.len());
                path.truncate(before);
            }
            return (at + 1).min(text.len());
        }
        all.push(path);
        return at;
    }
}

fn names_crate(text: &str, name: &str) -> bool {
    text.match_indices(&format!("{name}::")).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
    })
}

/// The text without comments, and with empty strings.
fn bare(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if rest.starts_with("//") {
            rest = rest.find('\n').map_or("", |end| &rest[end..]);
        } else if let Some(inner) = rest.strip_prefix("r#\"") {
            rest = inner.find("\"#").map_or("", |end| &inner[end + 2..]);
            out.push_str("\"\"");
        } else if rest.starts_with("'\"'") || rest.starts_with("b'\"'") {
            rest = &rest[rest.find("'\"'").map_or(0, |at| at + 3)..];
        } else if rest.starts_with("'\\\"'") {
            rest = &rest[4..];
        } else if let Some(inner) = rest.strip_prefix('"') {
            let mut end = 0;
            let bytes = inner.as_bytes();
            while end < bytes.len() && bytes[end] != b'"' {
                end += if bytes[end] == b'\\' { 2 } else { 1 };
            }
            rest = inner.get(end + 1..).unwrap_or_default();
            out.push_str("\"\"");
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

/// The code: no comments, and nothing behind the unit tests' mark.
fn code(text: &str) -> String {
    let bare = bare(text);
    bare[..tests_begin(&bare).unwrap_or(bare.len())].to_owned()
}

/// Where the unit tests of a file begin.
fn tests_begin(text: &str) -> Option<usize> {
    text.find("#[cfg(test)]\nmod tests").or_else(|| text.find("#[cfg(test)]\n#[allow"))
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
}

fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let outside = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        outside(line[..at].chars().next_back()) && outside(line[at + word.len()..].chars().next())
    })
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All files of `src`, by their paths from the root.
fn sources() -> Vec<(String, String)> {
    let root = root();
    let mut all = Vec::new();
    walk(&root.join("src"), &mut |path| {
        if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
            all.push((name, fs::read_to_string(path).unwrap()));
        }
    });
    assert!(all.len() > 50, "the sources were not found");
    all
}

fn walk(directory: &Path, visit: &mut dyn FnMut(&Path)) {
    let mut entries: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            if name != "target" && (!name.starts_with('.') || name == ".ci") {
                walk(&path, visit);
            }
        } else {
            visit(&path);
        }
    }
}
