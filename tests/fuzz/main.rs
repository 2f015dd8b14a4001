//! Bytes that somebody else may have chosen: every target of `targets.rs` runs on its corpus and on mutations of it.
//!
//! `VAULT_TEST_SCALE` multiplies the number of mutations, `VAULT_TEST_SEED` chooses others. An input that fails is kept in
//! `target/tmp`; once the defect is mended it belongs into the corpus. `fuzz/README.md` says how to search for longer.
#![allow(clippy::unwrap_used, clippy::panic)]

mod mutate;
#[path = "../engine/random.rs"]
mod random;
mod seeds;
// By its path, as the programs of `fuzz/` have it: its own modules then stand beside it for both.
#[path = "targets.rs"]
mod targets;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mutate::mutate;
use random::{Random, each_case, scaled};

/// No input may keep a reader busy for so long: time of the processor, which other programs on the machine do not lengthen.
const PATIENCE: Duration = Duration::from_secs(20);

macro_rules! targets {
    ($($name:ident $mutations:literal)*) => {
        const TARGETS: &[&str] = &[$(stringify!($name)),*];
        $(
            #[test]
            fn $name() {
                replay_and_mutate(stringify!($name), targets::$name, $mutations);
            }
        )*
    };
}

// As many mutations as take some three seconds of one processor.
targets! {
    header 150_000
    page 120_000
    commit_record 7_000
    entry_record 400_000
    slot_payload 150_000
    padding 250_000
    file 12_000
    resealed 1_000
    stream 150_000
    age_keys 8_000
    import_dotenv 80_000
    import_json 150_000
    import_yaml 50_000
    import_toml 150_000
    import_shell 150_000
    import_csv 150_000
    import_programs 30_000
    import_stores 25_000
    import_kdbx 60_000
    json_field 250_000
    names 400_000
    users 300_000
}

fn replay_and_mutate(name: &str, target: fn(&[u8]), mutations: usize) {
    let corpus = corpus(name);
    assert!(!corpus.is_empty(), "{name} has no corpus");
    for (file, input) in &corpus {
        run(name, target, input, file);
    }
    let inputs: Vec<&[u8]> = corpus.iter().map(|(_, input)| input.as_slice()).collect();
    each_case(scaled(mutations), |case| {
        let mut random = Random::new(case as u64);
        let input = mutate(&inputs, &mut random);
        run(name, target, &input, &format!("mutation {case}"));
    });
}

fn run(name: &str, target: fn(&[u8]), input: &[u8], what: &str) {
    let kept = Kept { name, input, what };
    let start = busy();
    target(input);
    let taken = busy() - start;
    assert!(taken < PATIENCE, "an input of {} bytes takes {taken:?}", input.len());
    drop(kept);
}

/// How long this thread has been at work.
fn busy() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Keeps the input of a run that failed.
struct Kept<'a> {
    name: &'a str,
    input: &'a [u8],
    what: &'a str,
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let hash = vault::crypto::Hash::of(self.input).to_hex();
            let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{}-{}", self.name, &hash[..12]));
            let kept = fs::write(&path, self.input).map(|()| path);
            eprintln!("failed: {} on {}; the input is {kept:?}", self.name, self.what);
        }
    }
}

fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(root().join("tests/fuzz/corpus").join(name)).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files.iter().map(|path| (path.display().to_string(), fs::read(path).unwrap())).collect()
}

/// What is run here is what can be fuzzed, and nothing is left out.
#[test]
fn every_target_has_a_program_and_a_corpus() {
    let expected: BTreeSet<String> = TARGETS.iter().map(|name| (*name).to_owned()).collect();
    let names = |directory: &str| -> BTreeSet<String> {
        let files = fs::read_dir(root().join(directory)).unwrap();
        files.map(|file| file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned()).collect()
    };
    assert_eq!(names("tests/fuzz/corpus"), expected);
    assert_eq!(names("fuzz/fuzz_targets"), expected);
    let targets = fs::read_to_string(root().join("tests/fuzz/targets.rs")).unwrap();
    let functions = targets.lines().filter_map(|line| line.strip_prefix("pub fn ")?.strip_suffix("(data: &[u8]) {"));
    assert_eq!(functions.map(str::to_owned).collect::<BTreeSet<_>>(), expected);
    let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
    for name in TARGETS {
        let program = format!("[[bin]]\nname = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"\n");
        assert!(manifest.contains(&program), "{name} stands not in fuzz/Cargo.toml");
        let text = fs::read_to_string(root().join(format!("fuzz/fuzz_targets/{name}.rs"))).unwrap();
        assert!(text.contains(&format!("targets::{name}(data)")), "{name} runs another target");
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
