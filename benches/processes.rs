//! Whole processes beside their references, interleaved: A B C A B C …, so that a machine whose speed drifts slows all of them alike.
//!
//! `cargo bench --bench processes -- [--runs N] [--sizes 10,1000,100000,1000000]` prints the table of `docs/performance.md`. References that the
//! machine lacks (sqlite3, valgrind, strace) are left out and said so. Nothing here passes or fails: it measures.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// A command that is measured.
struct Subject {
    name: String,
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Subject {
    fn new(name: &str, program: impl Into<PathBuf>, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|text| (*text).to_owned()).collect();
        Self { name: name.to_owned(), program: program.into(), arguments, environment: Vec::new() }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).envs(self.environment.iter().cloned());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn run(&self) -> f64 {
        let mut command = self.command();
        let start = Instant::now();
        let status = command.status().unwrap();
        let elapsed = start.elapsed().as_secs_f64();
        assert!(status.success(), "{} failed: {status}", self.name);
        elapsed
    }
}

/// Runs the subjects in turn and prints, for each, the median and its ratio to the first, pair by pair.
fn compare(title: &str, runs: usize, subjects: &[Subject]) {
    for subject in subjects {
        subject.run();
    }
    let mut times = vec![Vec::with_capacity(runs); subjects.len()];
    for _ in 0..runs {
        for (subject, times) in subjects.iter().zip(&mut times) {
            times.push(subject.run());
        }
    }
    println!("\n{title} (n = {runs})");
    for (subject, own) in subjects.iter().zip(&times) {
        let ratios: Vec<f64> = own.iter().zip(&times[0]).map(|(a, b)| a / b).collect();
        println!("  {:<44} median {:>8.3} ms   ratio {:>5.2}", subject.name, median(own) * 1e3, median(&ratios));
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

struct Bench {
    place: PathBuf,
    vault: PathBuf,
    key: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let place = std::env::temp_dir().join(format!("vault-bench-{}", std::process::id()));
        fs::create_dir_all(place.join("home")).unwrap();
        // A copy, as an installation makes it: the file that a linker has just written lies in memory in smaller pieces.
        let vault = place.join("vault");
        fs::copy(env!("CARGO_BIN_EXE_vault"), &vault).unwrap();
        let _ = Command::new("sync").status();
        Self { key: place.join("key"), vault, place }
    }

    fn subject(&self, name: &str, file: &Path, arguments: &[&str]) -> Subject {
        let mut subject = Subject::new(name, &self.vault, arguments);
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        subject.environment = vec![
            ("HOME".to_owned(), text(&self.place.join("home"))),
            ("VAULT_FILE".to_owned(), text(file)),
            ("VAULT_KEY_FILE".to_owned(), text(&self.key)),
        ];
        subject
    }

    /// A vault of `size` entries whose values have 100 bytes.
    fn build(&self, size: usize) -> (PathBuf, PathBuf) {
        let json = self.place.join(format!("{size}.json"));
        let mut out = std::io::BufWriter::new(fs::File::create(&json).unwrap());
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        for index in 0..size {
            let separator = if index == 0 { '{' } else { ',' };
            write!(out, "{separator}\"SECRET_{index:06}\":\"").unwrap();
            for _ in 0..6 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                write!(out, "{state:016x}").unwrap();
            }
            out.write_all(b"abcd\"").unwrap();
        }
        out.write_all(b"}").unwrap();
        out.flush().unwrap();
        drop(out);
        let file = self.place.join(format!("{size}.vault"));
        self.subject("init", &file, &["-q", "init", "--key-file", self.key.to_str().unwrap()]).run();
        let import = self.subject("import", &file, &["-q", "import", json.to_str().unwrap()]);
        let seconds = import.run();
        let plain = (size * (13 + 100)) as f64;
        let length = fs::metadata(&file).unwrap().len();
        println!(
            "import of {size}: {seconds:.2} s, file {length} bytes, {:.2} times the plain names and values",
            length as f64 / plain
        );
        (file, json)
    }

    /// How much longer the file is after `subject`.
    fn grown(&self, file: &Path, subject: &Subject) -> u64 {
        let before = fs::metadata(file).unwrap().len();
        subject.run();
        fs::metadata(file).unwrap().len().saturating_sub(before)
    }
}

/// What a tool counted in one run: the line of its report that holds `mark`.
fn counted(tool: &[&str], subject: &Subject, mark: &str) -> Option<String> {
    let mut command = Command::new(tool[0]);
    command.args(&tool[1..]).arg(&subject.program).args(&subject.arguments).envs(subject.environment.iter().cloned());
    let output = command.stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    text.lines().filter(|line| line.contains(mark)).map(|line| line.trim().to_owned()).next_back()
}

fn option(name: &str) -> Option<String> {
    let arguments: Vec<String> = std::env::args().collect();
    arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1).cloned())
}

fn main() {
    let runs: usize = option("--runs").map_or(100, |text| text.parse().unwrap());
    let sizes = option("--sizes").unwrap_or_else(|| "10,1000,100000,1000000".to_owned());
    let sizes: Vec<usize> = sizes.split(',').map(|text| text.parse().unwrap()).collect();
    let bench = Bench::new();
    let small = bench.place.join("small");
    fs::write(&small, "0123456789abcdef0123456789abcdef\n").unwrap();
    let small = small.to_str().unwrap().to_owned();

    let empty = bench.place.join("empty");
    let source = bench.place.join("empty.rs");
    fs::write(&source, "fn main() {}\n").unwrap();
    if Command::new("rustc")
        .args(["-O", "-C", "strip=symbols", "-o"])
        .arg(&empty)
        .arg(&source)
        .status()
        .is_ok_and(|status| status.success())
    {
        let version = Subject::new("vault --version", &bench.vault, &["--version"]);
        compare("start", runs, &[Subject::new("an empty Rust program", &empty, &[]), version]);
    }

    for size in sizes {
        let (file, json) = bench.build(size);
        let middle = format!("SECRET_{:06}", size / 2);
        let get = bench.subject(&format!("vault get, {size} entries"), &file, &["get", &middle]);
        compare("get", runs, &[Subject::new("cat of a small file", "cat", &[&small]), get]);
        let get = bench.subject("get", &file, &["get", &middle]);
        for (tool, mark) in [
            (&["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"][..], "refs:"),
            (&["strace", "-c", "-e", "trace=pread64"][..], "pread64"),
        ] {
            match counted(tool, &get, mark) {
                Some(line) => println!("  {}: {line}", tool[0]),
                None => println!("  left out: {} is not there", tool[0]),
            }
        }
        if let Some(line) = counted(&["/usr/bin/time", "-f", "peak %M KiB"], &get, "peak") {
            println!("  {line}");
        }

        let set = bench.subject(&format!("vault set, {size} entries"), &file, &["set", &middle, "--generate", "hex:50"]);
        let scratch = format!("of={}", bench.place.join("scratch").display());
        let dd = Subject::new("dd conv=fsync of 16 KiB", "dd", &["if=/dev/zero", &scratch, "bs=16k", "count=1", "conv=fsync"]);
        println!("\nset: an overwrite appends {} bytes", bench.grown(&file, &set));
        let new = bench.subject("set", &file, &["set", "NEW", "--category", "ten", "--generate", "hex:50"]);
        println!("set: a new entry with a category appends {} bytes", bench.grown(&file, &new));
        if let Some(line) = counted(&["strace", "-f", "-c", "-e", "trace=fsync,fdatasync"], &set, "sync") {
            println!("  strace: {line}");
        }
        compare("set", runs.min(60), &[dd, set]);

        for index in 0..9 {
            bench.subject("set", &file, &["set", &format!("TEN_{index}"), "--category", "ten", "--generate", "pin:6"]).run();
        }
        let get = bench.subject("vault get", &file, &["get", &middle]);
        let ten = bench.subject("vault list --category, 10 of all", &file, &["list", "--category", "ten"]);
        compare("list by category", runs.min(60), &[get, ten]);

        if size <= 100_000 {
            let database = bench.place.join(format!("{size}.db"));
            let database = database.to_str().unwrap().to_owned();
            let fill = format!(
                "create table s(name text primary key, value text) without rowid; insert into s select key, value from json_each(readfile('{}'));",
                json.display()
            );
            let filled = Command::new("sqlite3").arg(&database).arg(&fill).status();
            if filled.is_ok_and(|status| status.success()) {
                let sqlite = Subject::new("sqlite3, a plain table", "sqlite3", &[&database, "select name from s order by name"]);
                let list = bench.subject(&format!("vault list, {size} names"), &file, &["list"]);
                compare("list", runs.min(40), &[sqlite, list]);
            } else {
                println!("\nlist: left out, sqlite3 is not there");
            }
        }
    }
    fs::remove_dir_all(&bench.place).unwrap();
}
