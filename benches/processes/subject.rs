//! What is measured, and how.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A command that is measured.
pub struct Subject {
    pub name: String,
    program: PathBuf,
    arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
    stdin: Option<PathBuf>,
    code: i32,
}

impl Subject {
    pub fn new(name: &str, program: impl Into<PathBuf>, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|text| (*text).to_owned()).collect();
        Self { name: name.to_owned(), program: program.into(), arguments, environment: Vec::new(), stdin: None, code: 0 }
    }

    /// With this file as its standard input.
    pub fn reading(mut self, file: &Path) -> Self {
        self.stdin = Some(file.to_owned());
        self
    }

    /// It ends with this code.
    pub fn ending(mut self, code: i32) -> Self {
        self.code = code;
        self
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        self.prepare(&mut command);
        command
    }

    fn prepare(&self, command: &mut Command) {
        // What unlocks a vault of whoever measures is not asked for.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("VAULT_")) {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().cloned()).stdout(Stdio::null()).stderr(Stdio::null());
        command.stdin(self.stdin.as_ref().map_or(Stdio::null(), |file| File::open(file).unwrap().into()));
    }

    /// How many seconds it takes.
    pub fn run(&self) -> f64 {
        let mut command = self.command();
        let start = Instant::now();
        let status = command.status().unwrap();
        let elapsed = start.elapsed().as_secs_f64();
        assert_eq!(status.code(), Some(self.code), "{} failed", self.name);
        elapsed
    }

    /// What a tool counted in one run: the line of its report that holds `mark`.
    pub fn counted(&self, tool: &[&str], mark: &str) -> Option<String> {
        let mut command = Command::new(tool[0]);
        command.args(&tool[1..]).arg(&self.program).args(&self.arguments);
        self.prepare(&mut command);
        let output = command.stderr(Stdio::piped()).output().ok()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        text.lines().filter(|line| line.contains(mark)).map(|line| line.trim().to_owned()).next_back()
    }

    /// The numbers of `time` for one run, by its letters: `U` and `S` are seconds of a processor, `M` the peak of memory in KiB.
    pub fn timed(&self, letters: &str) -> Option<Vec<f64>> {
        let format: String = letters.chars().map(|letter| format!("%{letter} ")).collect();
        let line = self.counted(&["/usr/bin/time", "-f", &format!("numbers {format}")], "numbers")?;
        Some(line.split_whitespace().skip(1).map(|number| number.parse().unwrap()).collect())
    }
}

/// Runs the subjects in rounds and prints, for each, the median and its ratio to the first, pair by pair. Returns the medians, in seconds.
pub fn compare(title: &str, runs: usize, subjects: &[Subject]) -> Vec<f64> {
    for subject in subjects {
        subject.run();
    }
    let mut times = vec![Vec::with_capacity(runs); subjects.len()];
    let mut order: Vec<usize> = (0..subjects.len()).collect();
    let mut random = Random::new();
    for _ in 0..runs {
        for last in (1..order.len()).rev() {
            order.swap(last, random.below(last + 1));
        }
        for at in &order {
            times[*at].push(subjects[*at].run());
        }
    }
    println!("\n{title} (n = {runs})");
    let mut medians = Vec::new();
    for (subject, own) in subjects.iter().zip(&times) {
        let ratios: Vec<f64> = own.iter().zip(&times[0]).map(|(a, b)| a / b).collect();
        println!("  {:<44} median {:>8.3} ms   ratio {:>5.2}", subject.name, median(own) * 1e3, median(&ratios));
        medians.push(median(own));
    }
    medians
}

/// The middle one.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// Numbers that nobody has to guess (xorshift).
pub struct Random(pub u64);

impl Random {
    /// Other ones each time.
    pub fn new() -> Self {
        Self(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64 | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}
