//! Golden vault files: each released one must be read, or refused, as `tests/vectors/NAME.json` says, for ever.
//!
//! `VAULT_BLESS=1 cargo test --test vectors` makes those that are missing, and touches none that is there.
#![allow(clippy::unwrap_used)]

#[path = "forge/mod.rs"]
mod forge;
#[path = "view/mod.rs"]
mod view;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use forge::{Case, Source, Vector, faults, sound};
use serde_json::{Value, json};

#[test]
fn every_vector_reads_as_it_says() {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    if std::env::var_os("VAULT_BLESS").is_some() {
        make(&directory);
    }
    compare(&directory);
    let there: BTreeSet<String> = names(&directory, "json");
    let known: BTreeSet<String> = cases().map(|(name, _)| (*name).to_owned()).collect();
    let gone: Vec<_> = known.difference(&there).collect();
    assert!(gone.is_empty(), "VAULT_BLESS=1 makes those that are missing: {gone:?}");
    assert!(there.is_superset(&names(&directory, "vault")), "a file of which nothing is expected");
}

/// What the library writes today, it reads; and what makes the faults still does.
#[test]
fn vectors_made_anew_read_as_they_say() {
    let directory = std::env::temp_dir().join(format!("vault-vectors-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).unwrap();
    make(&directory);
    compare(&directory);
    std::fs::remove_dir_all(&directory).unwrap();
}

fn cases() -> impl Iterator<Item = &'static Case> {
    [sound::CASES, faults::HEADERS, faults::RECORDS, faults::PAGES, faults::TREES, faults::FLIPS].into_iter().flatten()
}

/// Whether a vector is a file of its own; else its bytes stand beside what is expected, without the zeros, which are most of them.
fn is_file(name: &str) -> bool {
    sound::CASES.iter().any(|(own, _)| *own == name)
}

/// The stretches between long runs of zeros: where each begins, and its bytes.
fn parts(bytes: &[u8]) -> Vec<Value> {
    const ZEROS: usize = 32;
    let (mut parts, mut at) = (Vec::new(), 0);
    while let Some(start) = bytes[at..].iter().position(|byte| *byte != 0).map(|skipped| at + skipped) {
        let end =
            bytes[start..].windows(ZEROS).position(|window| window == [0; ZEROS]).map_or(bytes.len(), |length| start + length);
        parts.push(json!([start, view::base64(&bytes[start..end])]));
        at = end;
    }
    parts
}

fn make(directory: &Path) {
    for (name, make) in cases() {
        let beside = directory.join(format!("{name}.json"));
        if beside.exists() {
            continue;
        }
        let Vector { about, file, keys, state } = make(directory);
        let mut object = json!({ "about": about });
        match file {
            Source::Bytes(bytes) if is_file(name) => {
                object["file"] = format!("{name}.vault").into();
                std::fs::write(directory.join(format!("{name}.vault")), bytes).unwrap();
            }
            Source::Bytes(bytes) => {
                object["length"] = bytes.len().into();
                object["parts"] = parts(&bytes).into();
            }
            Source::Xor(of, pairs) => {
                object["file"] = format!("{of}.vault").into();
                object["xor"] = pairs.iter().map(|(at, byte)| json!([at, byte])).collect();
            }
            Source::Cut(of, length) => {
                object["file"] = format!("{of}.vault").into();
                object["length"] = length.into();
            }
        }
        object["keys"] = keys.into();
        object["state"] = state;
        std::fs::write(beside, format!("{}\n", serde_json::to_string_pretty(&object).unwrap())).unwrap();
    }
}

fn names(directory: &Path, extension: &str) -> BTreeSet<String> {
    let paths = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let of = paths.filter(|path| path.extension().is_some_and(|found| found == extension));
    of.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

fn compare(directory: &Path) {
    let mut wrong = Vec::new();
    for (name, request, expected) in &view::Vectors::read(directory).requests {
        if let Err(what) = view::is_as_expected(&view::answer(request), expected) {
            wrong.push(format!("{name}, {request}: {what}"));
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_comparison_can_fail() {
    let state = json!({ "sequence": 2, "entries": [] });
    let read = json!({ "state": state, "refused": null, "at": null, "why": null });
    let refusal = |class: &str, at: &str| json!({ "state": null, "refused": class, "at": at, "why": "(downgrade)" });
    let opens = json!({ "state": state });
    let refused = json!({ "state": null, "refused": "damaged", "at": "read" });
    let says = |word: &str| json!({ "state": null, "refused": "damaged", "at": "open", "says": word });
    let holds = |answer: &Value, expected: &Value| view::is_as_expected(answer, expected).is_ok();
    assert!(
        holds(&read, &opens)
            && holds(&refusal("damaged", "open"), &refused)
            && holds(&refusal("damaged", "open"), &says("downgrade"))
    );
    assert!(!holds(&read, &refused), "a fault was not seen");
    assert!(!holds(&refusal("damaged", "open"), &opens), "a sound file was refused");
    assert!(!holds(&refusal("newer", "open"), &refused) && !holds(&refusal("damaged", "check"), &refused));
    assert!(!holds(&refusal("damaged", "open"), &says("expensive")));
    assert!(!holds(&json!({ "state": { "sequence": 1, "entries": [] }, "refused": null }), &opens), "another state");
}
