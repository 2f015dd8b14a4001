//! What the audit log costs, and how fast it is read: `cargo bench --bench audit -- [--runs N] [--records N]`.
//!
//! A `get` that is recorded beside one that is not, in turn; verifying; and what `info`, `stats` and others ask of a log of many records. Nothing here passes or
//! fails: it measures. `VAULT_BENCH_BINARY` names another binary than the one that was built for this.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use vault::audit::{Action, Actor, Event, Keys, Log, Reader, Settings, Source, Summary, Sync, log_path};
use vault::{Credential, Locked, Options, RawKey, Vault};

struct Bench {
    place: PathBuf,
    program: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let place = std::env::temp_dir().join(format!("vault-bench-audit-{}", std::process::id()));
        for home in ["with", "without"] {
            fs::create_dir_all(place.join(home).join(".config/vault")).unwrap();
        }
        fs::write(place.join("without/.config/vault/config.toml"), "[audit]\nenabled = false\n").unwrap();
        // Both read a file of the same length.
        fs::write(place.join("with/.config/vault/config.toml"), "[audit]\nenabled = true \n").unwrap();
        let built =
            std::env::var_os("VAULT_BENCH_BINARY").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_vault")), PathBuf::from);
        let program = place.join("vault");
        // A copy, as an installation makes it.
        fs::copy(built, &program).unwrap();
        Self { place, program }
    }

    fn command(&self, home: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).env_clear().env("HOME", self.place.join(home)).env("PATH", "/usr/bin:/bin");
        command.env("VAULT_FILE", self.file()).env("VAULT_KEY_FILE", self.place.join("key"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn file(&self) -> PathBuf {
        self.place.join("a.vault")
    }

    fn run(&self, home: &str, arguments: &[&str]) -> f64 {
        let mut command = self.command(home, arguments);
        let start = Instant::now();
        let status = command.status().unwrap();
        let elapsed = start.elapsed().as_secs_f64();
        assert!(status.success() || status.code() == Some(10), "{arguments:?}: {status}");
        elapsed
    }

    /// What a tool counted in one run: the line of its report that holds `mark`.
    fn counted(&self, tool: &[&str], mark: &str, home: &str) -> Option<String> {
        let own = self.command(home, &[]);
        let mut command = Command::new(tool[0]);
        command.args(&tool[1..]).arg(&self.program).args(["get", "SECRET_000500"]);
        command.envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = command.stdin(Stdio::null()).output().ok()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        text.lines().filter(|line| line.contains(mark)).map(|line| line.trim().to_owned()).next_back()
    }

    fn vault(&self) -> Vault {
        let key: [u8; 32] = fs::read(self.place.join("key")).unwrap().try_into().unwrap();
        let key = Credential::RawKey(RawKey::new(key.into()));
        Locked::open(&self.file()).unwrap().unlock(&key, Options::default()).unwrap()
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn option(name: &str) -> Option<String> {
    let arguments: Vec<String> = std::env::args().collect();
    arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1).cloned())
}

fn gets(bench: &Bench, runs: usize) {
    let get = ["get", "SECRET_000500"];
    let (mut with, mut without, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for run in 0..runs + 10 {
        // The order of a round counts, so it changes.
        let (a, b) = if run % 2 == 0 {
            let a = bench.run("with", &get);
            (a, bench.run("without", &get))
        } else {
            let b = bench.run("without", &get);
            (bench.run("with", &get), b)
        };
        if run >= 10 {
            with.push(a);
            without.push(b);
            ratios.push(a / b);
        }
    }
    println!(
        "get, recorded beside not recorded (n = {runs}): median {:.3} ms, {:.3} ms, ratio {:.3}",
        median(&mut with) * 1e3,
        median(&mut without) * 1e3,
        median(&mut ratios)
    );
    for home in ["with", "without"] {
        let callgrind = &["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"][..];
        for (tool, mark) in [(callgrind, "refs:"), (&["strace", "-c"][..], "total")] {
            match bench.counted(tool, mark, home) {
                Some(line) => println!("  {home}, {}: {line}", tool[0]),
                None => println!("  left out: {} is not there", tool[0]),
            }
        }
    }
}

/// Appends so many records of a thousand entries to the log.
fn grow(vault: &Vault, records: u64) -> (PathBuf, [u8; 16]) {
    let mut uids = Vec::new();
    vault
        .entries(&vault::vault::Filter { scope: vault::vault::Scope::All, category: None }, &mut |entry| {
            uids.push((entry.id().clone(), *entry.uid()));
            Ok(vault::store::Walk::Continue(()))
        })
        .unwrap();
    let source = vault.audit_source().unwrap();
    let path = log_path(None, &source.id, &source.path);
    let settings = Settings {
        anchor_every: Duration::ZERO,
        log: path.clone(),
        anchor: None,
        create_like: Some(source.path.clone()),
        patience: Duration::from_secs(10),
        sync: Sync::Every(Duration::from_secs(1)),
    };
    let actor = Actor {
        user: Some("1000".to_owned()),
        process: Some("node".to_owned()),
        pid: Some(4711),
        directory: Some("/home/somebody/projects/shop".to_owned()),
        key: Some(source.opened_by.clone()),
        ..Actor::new(Source::Cli)
    };
    let mut log = Log::new(settings, Keys::new(source));
    for batch in 0..records.div_ceil(1000) {
        let event = |number: u64| {
            let (id, uid) = &uids[(number * 7919 % uids.len() as u64) as usize];
            Event::new(if number.is_multiple_of(20) { Action::Set } else { Action::Get }).id(id).uid(*uid).version(1)
        };
        let events: Vec<Event> = (batch * 1000..(batch * 1000 + 1000).min(records)).map(event).collect();
        log.append(1_700_000_000_000 + batch, &actor, &events).unwrap();
    }
    (path, uids[500].1)
}

fn summary(vault: &Vault, log: &Path, cache: &Path, uid: &[u8; 16]) -> f64 {
    let start = Instant::now();
    let reader = Reader::open(log, Keys::new(vault.audit_source().unwrap())).unwrap();
    let mut summary = Summary::load_or_build(reader, Some(cache)).unwrap();
    let row = summary.row(uid).unwrap().unwrap();
    let last = summary.last_read(&row).unwrap();
    assert!(row.reads > 0 && last.is_some() && summary.totals().records() > 0);
    start.elapsed().as_secs_f64()
}

fn main() {
    let runs: usize = option("--runs").map_or(300, |text| text.parse().unwrap());
    let records: u64 = option("--records").map_or(1_000_000, |text| text.parse().unwrap());
    let bench = Bench::new();
    let key = bench.place.join("key");
    bench.run("with", &["-q", "init", "--key-file", key.to_str().unwrap()]);
    let rows: Vec<String> = (0..1000).map(|number| format!("\"SECRET_{number:06}\":\"{:0>100}\"", number)).collect();
    let json = bench.place.join("rows.json");
    fs::write(&json, format!("{{{}}}", rows.join(","))).unwrap();
    bench.run("with", &["-q", "import", json.to_str().unwrap()]);
    gets(&bench, runs);

    let vault = bench.vault();
    let start = Instant::now();
    let (log, uid) = grow(&vault, records);
    let seconds = start.elapsed().as_secs_f64();
    let length = fs::metadata(&log).unwrap().len();
    println!(
        "\n{records} records, {} bytes each, appended by the thousand at {:.0}/s",
        length / records,
        records as f64 / seconds
    );
    let mut reader = Reader::open(&log, Keys::new(vault.audit_source().unwrap())).unwrap();
    for _ in 0..3 {
        let start = Instant::now();
        let verified = reader.verify(&mut |_| Vec::new()).unwrap();
        let seconds = start.elapsed().as_secs_f64();
        assert!(verified.findings.is_empty());
        println!("verify: {:.0} records/s", verified.records as f64 / seconds);
    }
    let cache = bench.place.join("summary");
    println!("summary, made anew: {:.0} ms", summary(&vault, &log, &cache, &uid) * 1e3);
    grow(&vault, 4000);
    let mut times: Vec<f64> = (0..20).map(|_| summary(&vault, &log, &cache, &uid)).collect();
    println!("summary, row and totals with 4,000 records behind it: {:.2} ms", median(&mut times) * 1e3);
    gets(&bench, runs);
    let mut times: Vec<f64> = (0..20).map(|_| bench.run("with", &["info", "SECRET_000500"])).collect();
    println!("vault info, whole process: {:.2} ms", median(&mut times) * 1e3);
    let mut times: Vec<f64> = (0..20).map(|_| bench.run("with", &["stats"])).collect();
    println!("vault stats, whole process: {:.2} ms", median(&mut times) * 1e3);
    for arguments in [&["list", "--unused", "90d"][..], &["used-by", "SECRET_000500"]] {
        println!("vault {}, whole process: {:.2} s", arguments.join(" "), bench.run("with", arguments));
    }
    println!("vault audit verify, whole process: {:.2} s", bench.run("with", &["audit", "verify"]));
    fs::remove_dir_all(&bench.place).unwrap();
}
