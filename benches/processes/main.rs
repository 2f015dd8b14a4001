//! Whole processes beside their references, in rounds: each round runs every subject once, in an order drawn anew, so that a machine whose speed drifts
//! slows all of them alike and none profits from what ran before it.
//!
//! `cargo bench --bench processes -- [SUBJECT …] [--runs N] [--sizes 10,1000,100000,1000000]` prints the figures of `docs/performance.md`. Subjects
//! are `start`, `entries`, `agent`, `keys`, `encrypt`, `run`, `masking`, `scan`; without one, all. `VAULT_BENCH_BINARY` names the program that is
//! measured, if it is not the one that cargo builds. References that the machine lacks (sqlite3, valgrind, strace, time) are left out and said so.
//! Nothing here passes or fails: it measures.
#![allow(clippy::unwrap_used)]

mod agent;
mod entries;
mod keys;
mod leaks;
mod place;
mod programs;
mod subject;

use place::Place;

/// A group of measurements.
type Measure = fn(&Place, &Options);

const SUBJECTS: &[(&str, Measure)] = &[
    ("start", programs::start),
    ("entries", entries::measure),
    ("agent", agent::measure),
    ("keys", keys::rotation),
    ("encrypt", keys::encryption),
    ("run", programs::run),
    ("masking", leaks::masking),
    ("scan", leaks::scanning),
];

/// What the command line says.
struct Options {
    runs: usize,
    sizes: Vec<usize>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1));
    let sizes = option("--sizes").map_or("10,1000,100000,1000000", String::as_str);
    let options = Options {
        runs: option("--runs").map_or(100, |text| text.parse().unwrap()),
        sizes: sizes.split(',').map(|text| text.parse().unwrap()).collect(),
    };
    let named = |name: &str| arguments.iter().any(|argument| argument == name);
    let all = !SUBJECTS.iter().any(|(name, _)| named(name));
    let place = Place::new();
    for (_, measure) in SUBJECTS.iter().filter(|(name, _)| all || named(name)) {
        measure(&place, &options);
    }
}
