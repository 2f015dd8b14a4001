//! What the documents say is so: the README's terminal, tables and links, the tour, the library example, and the numbers of the format's specification.
//!
//! `VAULT_BLESS=1 cargo test --test docs` writes the README's two generated tables anew.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

#[allow(dead_code, reason = "its `main` is for `cargo run --example embed`")]
#[path = "../examples/embed.rs"]
mod embed;

#[test]
fn the_readme_says_what_the_terminal_says() {
    let place = Place::new("readme");
    let shop = place.0.join("shop");
    fs::create_dir(&shop).unwrap();
    // What the first lines of the transcript find there.
    fs::write(shop.join("cert.pem"), "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n").unwrap();
    let steps = steps(&read("README.md"));
    assert!(steps.len() > 40, "the transcript was not found");
    let (first, output) = (&steps[0].command, &steps[0].output);
    assert_eq!(first, "cat .env");
    fs::write(shop.join(".env"), format!("{}\n", output.join("\n"))).unwrap();

    // One shell runs them all, as one terminal would. A mark behind each command tells where its output ends.
    let mut script = String::from("exec 2>&1 </dev/null\n");
    for step in &steps {
        script.push_str(&format!("{}\n__code=$?; printf '\\n{MARK}\\n'; (exit $__code)\n", step.command));
    }
    let output = place.shell(&shop, &["-c", &script]);
    let text = String::from_utf8(output.stdout).unwrap();
    let outputs: Vec<&str> = text.split(&format!("\n{MARK}\n")).collect();
    assert_eq!(outputs.len(), steps.len() + 1, "the shell ended early:\n{text}");
    for (step, real) in steps.iter().zip(outputs) {
        // At a terminal a value gets a line end; at the pipe here it does not, and the mark brought one.
        let real: Vec<&str> = real.trim_end_matches('\n').lines().collect();
        let same = real.len() == step.output.len() && real.iter().zip(&step.output).all(|(real, said)| matches(said, real));
        assert!(same, "README.md, `{}`\n--- says\n{}\n--- is\n{}", step.command, step.output.join("\n"), real.join("\n"));
    }
}

#[test]
fn the_comparison_of_the_transcript_can_fail() {
    assert!(matches("v2  <time>  text", "v2  2026-01-01T00:00:00Z  text"));
    assert!(matches("made <path>", "made a.vault") && matches("plain", "plain"));
    assert!(!matches("v2  <time>  text", "v1  2026-01-01T00:00:00Z  text"));
    assert!(!matches("v2  <time>  text", "v2  two words  text"));
    assert!(!matches("plain", "plain ") && !matches("<n> bytes", " bytes"));
    let found = steps("```console\n$ a \\\n> b\nout\n$ c\n```\n```sh\n$ d\n```\n");
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].command.as_str(), found[0].output.as_slice()), ("a \\\nb", &["out".to_owned()][..]));
}

#[test]
fn the_tour_runs() {
    let place = Place::new("tour");
    let output = place.tour(env!("CARGO_BIN_EXE_vault"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    for line in
        ["$ vault import .env --category web", "5 created, 0 updated, 0 skipped", "m41l", "exit code 3", "That was the tour."]
    {
        assert!(said.lines().any(|found| found.starts_with(line)), "the tour does not say: {line}\n{said}");
    }
    assert_eq!(place.left_over(), Vec::<String>::new(), "the tour left something behind");
}

#[test]
fn the_tour_fails_when_a_step_fails() {
    let place = Place::new("broken-tour");
    let broken = place.0.join("vault");
    // It does everything right but for one thing: it gives a value with a character too many.
    let real = env!("CARGO_BIN_EXE_vault");
    let script = format!("#!/bin/sh\n'{real}' \"$@\" || exit $?\n[ \"$1 $2\" = 'get API_KEY' ] && printf '.'\nexit 0\n");
    fs::write(&broken, script).unwrap();
    Command::new("chmod").arg("+x").arg(&broken).status().unwrap();
    let output = place.tour(broken.to_str().unwrap());
    assert!(!output.status.success(), "the tour took a wrong value");
    fs::remove_file(&broken).unwrap();
    assert_eq!(place.left_over(), Vec::<String>::new(), "the tour left something behind");
    assert!(!place.tour("/bin/false").status.success());
}

#[test]
fn the_library_example_runs() {
    let place = Place::new("embed");
    embed::run(&place.0).unwrap();
}

#[test]
fn the_readme_lists_the_commands() {
    let mut table = String::from("| command | what it does |\n|---|---|\n");
    let command = vault::commands::command();
    for subcommand in command.get_subcommands() {
        let aliases: Vec<String> = subcommand.get_visible_aliases().map(|alias| format!(", `{alias}`")).collect();
        let about = subcommand.get_about().unwrap().to_string();
        table.push_str(&format!("| `{}`{} | {about} |\n", subcommand.get_name(), aliases.concat()));
    }
    let help = printed(&["help"]);
    for name in command.get_subcommands().map(clap_name) {
        assert!(help.lines().any(|line| line.split_whitespace().next() == Some(&name)), "`vault help` does not list {name}");
    }
    generated("commands", &table);
}

#[test]
fn the_readme_lists_the_exit_codes() {
    let mut table = String::from("| code | meaning |\n|---|---|\n");
    let mut codes = Vec::new();
    for line in printed(&["help", "exit-codes"]).lines() {
        let Some((code, meaning)) = line.trim().split_once("  ") else { continue };
        let Ok(code) = code.parse::<u8>() else { continue };
        codes.push(code);
        table.push_str(&format!("| {code} | {meaning} |\n"));
    }
    assert_eq!(codes, (0..=14).collect::<Vec<u8>>());
    generated("exit codes", &table);
}

#[test]
fn links_lead_somewhere() {
    for file in ["README.md", "CHANGELOG.md", "docs/threat-model.md"] {
        let base = root().join(file).parent().unwrap().to_owned();
        for link in read(file).split("](").skip(1).filter_map(|rest| rest.split(')').next().map(str::to_owned)) {
            let target = link.split('#').next().unwrap_or_default();
            assert!(link.starts_with("https://") || base.join(target).exists(), "{file}: {link} leads nowhere");
        }
    }
}

#[test]
fn the_specification_has_the_numbers_of_the_code() {
    use vault::crypto::{self, Argon2Cost};
    use vault::format::{BLOCK, commit, foreign, header, keyspace, page, record, rotation, stream};
    use vault::{Category, Name};

    let spec = read("src/format/SPEC.md").replace('\n', " ");
    let thousands = |number: u64| {
        let digits = number.to_string();
        let mut text = String::new();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        text
    };
    let (default, floor, ceiling) = (Argon2Cost::DEFAULT, Argon2Cost::FLOOR, Argon2Cost::CEILING);
    let said = [
        format!("one block of {BLOCK} bytes at a multiple of {BLOCK}"),
        format!("0 8 \"{}\"", String::from_utf8_lossy(commit::MAGIC).replace('\n', "\\n")),
        format!("1072 {} zeros {} 64 sign(", commit::RECORD - 64 - 1072, commit::RECORD - 64),
        format!("header_len is at most {}", thousands(header::MAX as u64)),
        format!("1 to {} slots", header::MAX_SLOTS),
        format!("{} n text: TOML", header::LINE),
        format!("A **reference** is {} bytes", page::REFERENCE),
        format!("The line has at most {} bytes", thousands(stream::MAX_LINE as u64)),
        format!("key (1 to {} bytes)", thousands(foreign::MAX_SECRET as u64)),
        format!("salt (0 to {} bytes)", thousands(foreign::MAX_SALT as u64)),
        format!("rounds (1 to {})", thousands(foreign::MAX_ITERATIONS.into())),
        format!("new value (bytes, at most {})", thousands(rotation::MAX_PENDING as u64)),
        format!("text of 1 to {} bytes", thousands(rotation::MAX_COMMAND as u64)),
        format!(
            "[time, text of at most {} bytes]: what happened, at most {}",
            thousands(rotation::MAX_EVENT as u64),
            rotation::MAX_EVENTS
        ),
        format!("to {} days after key 14", thousands(vault::vault::clock::AHEAD / 86_400_000)),
        format!(
            "length ≤ {} for a node and ≤ {} for an overflow page",
            thousands(page::MAX_NODE.into()),
            thousands(page::MAX_OVERFLOW.into())
        ),
        format!("inner: 1 … {},", page::MAX_LEVEL),
        format!("a key is at most {} bytes", thousands(page::MAX_KEY as u64)),
        format!("values of at most {} stand in the leaf", thousands(page::INLINE as u64)),
        format!("carry its sealed length above {},", thousands(page::TARGET as u64)),
        format!("span is above {} MiB", commit::DURABLE_ABOVE >> 20),
        format!("A value is at most {} MiB", record::MAX_VALUE >> 20),
        format!("at most {}; a kind above 2 is refused as newer · 4 category", record::MAX_VERSIONS),
        format!("at most {0} tags and {0} pairs", record::MAX_LABELS),
        format!("nonce({}, random) ‖ ciphertext(|x|) ‖ tag({})", crypto::NONCE, crypto::TAG),
        format!("floor m = {} MiB, t = {}, p = {};", floor.m >> 10, floor.t, floor.p),
        format!("ceiling m = {} GiB, t = {}, p = {};", ceiling.m >> 20, ceiling.t, ceiling.p),
        format!("Default m = {} MiB, t = {}, p = {}.", default.m >> 10, default.t, default.p),
        format!("one unlock is at most {} GiB", Argon2Cost::TOTAL_WORK >> 20),
        format!("A name has 1 to {} characters", Name::LIMIT),
        format!("a tag 1 to {},", Category::LIMIT),
        format!("| 0x{:02x} ‖ env ‖ 00 ‖ name ‖ 00 | entry record |", keyspace::ENTRY),
        format!("| 0x{:02x} ‖ u64be sequence ‖ record hash |", keyspace::LINEAGE),
    ];
    let spec = spec.split_whitespace().collect::<Vec<_>>().join(" ");
    for sentence in said {
        assert!(spec.contains(&sentence), "SPEC.md does not say: {sentence}");
    }
}

#[test]
fn the_specification_has_the_labels_of_the_code() {
    let labels = |text: &str, quote: char| -> Vec<String> {
        let mut labels: Vec<String> = text
            .split(quote)
            .filter(|part| part.starts_with("vault/1 ") && part.len() < 40 && !part.contains('\n'))
            .map(str::to_owned)
            .collect();
        labels.sort();
        labels.dedup();
        labels
    };
    let code = read("src/crypto/keys.rs");
    let code = labels(code.split("#[cfg(test)]").next().unwrap(), '"');
    assert!(code.len() > 10, "{code:?}");
    let documents = read("src/format/SPEC.md") + &read("src/audit/FORMAT.md");
    assert_eq!(labels(&documents, '`'), code);
}

const MARK: &str = "= mark between two commands =";

struct Step {
    command: String,
    output: Vec<String>,
}

/// The commands of all console blocks, with what follows them. A line that begins with `> ` goes on with the command.
fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        if line.starts_with("```") {
            inside = line == "```console";
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| inside) {
            steps.push(Step { command: command.to_owned(), output: Vec::new() });
        } else if inside && let Some(step) = steps.last_mut() {
            match line.strip_prefix("> ").filter(|_| step.output.is_empty()) {
                Some(more) => {
                    step.command.push('\n');
                    step.command.push_str(more);
                }
                None => step.output.push(line.to_owned()),
            }
        }
    }
    steps
}

/// Whether a real line is what a line of the README says. `<word>` there stands for one word of another machine or time.
fn matches(said: &str, real: &str) -> bool {
    let Some(open) = said.find('<') else { return said == real };
    let Some(close) = said[open..].find('>').map(|at| open + at) else { return said == real };
    if !said[open + 1..close].chars().all(|c| c.is_ascii_lowercase()) {
        return said == real;
    }
    let Some(rest) = real.strip_prefix(&said[..open]) else { return false };
    let word = rest.find(char::is_whitespace).unwrap_or(rest.len());
    word > 0 && matches(&said[close + 1..], &rest[word..])
}

/// Compares a table with the one between two marks of the README, or writes it there.
fn generated(what: &str, table: &str) {
    let readme = read("README.md");
    let start = readme.find(&format!("<!-- {what}: ")).unwrap();
    let start = start + readme[start..].find('\n').unwrap() + 1;
    let end = start + readme[start..].find("<!-- end -->").unwrap();
    if std::env::var_os("VAULT_BLESS").is_some() {
        // Two tests write to the same file: each reads and writes it under one lock.
        static WRITING: std::sync::Mutex<()> = std::sync::Mutex::new(());
        let _guard = WRITING.lock().unwrap();
        let readme = read("README.md");
        let start = readme.find(&format!("<!-- {what}: ")).unwrap();
        let start = start + readme[start..].find('\n').unwrap() + 1;
        let end = start + readme[start..].find("<!-- end -->").unwrap();
        fs::write(root().join("README.md"), format!("{}{table}{}", &readme[..start], &readme[end..])).unwrap();
        return;
    }
    assert!(readme[start..end] == *table, "README.md, table of {what}: VAULT_BLESS=1 writes it anew. It should be:\n{table}");
}

fn clap_name(command: &clap::Command) -> String {
    command.get_name().to_owned()
}

fn printed(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_vault")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap()
}

/// A directory of this test's own, with a home in it; gone when dropped.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let place = std::env::temp_dir().join(format!("vault-docs-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&place);
        fs::create_dir_all(place.join("home")).unwrap();
        Self(place)
    }

    fn command(&self, program: &str, binary: &Path) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("VAULT") || name.starts_with("XDG_") {
                command.env_remove(name);
            }
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let first = binary.parent().unwrap().to_owned();
        let path = std::env::join_paths(std::iter::once(first).chain(std::env::split_paths(&path))).unwrap();
        command.env("PATH", path).env("HOME", self.0.join("home")).env("TMPDIR", &self.0);
        command
    }

    fn shell(&self, directory: &Path, arguments: &[&str]) -> Output {
        let binary = Path::new(env!("CARGO_BIN_EXE_vault"));
        self.command("sh", binary).args(arguments).current_dir(directory).output().unwrap()
    }

    fn tour(&self, binary: &str) -> Output {
        let script = root().join("examples/tour.sh");
        self.command("sh", Path::new(binary)).arg(script).env("VAULT", binary).output().unwrap()
    }

    /// What is there beside the home.
    fn left_over(&self) -> Vec<String> {
        let names = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        names.filter(|name| name != "home").collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
