//! A reader in another language, written from the specification alone (`tests/python/reader.py`), agrees with the library on what files say.
//!
//! It needs Python 3.11 and the packages of `tests/python/requirements.txt`: those of VAULT_TEST_PYTHON, else of `target/python-venv`, else of
//! `python3`. Without them these tests are skipped, unless VAULT_TEST_REQUIRE is set. `.ci/run` sets up all of it.
#![allow(clippy::unwrap_used)]

#[path = "interpreter/mod.rs"]
mod interpreter;
#[path = "view/mod.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod view;

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use interpreter::python_command;
use serde_json::{Value, json};

#[test]
fn the_reader_holds_its_own_tests() {
    let Some(python) = python() else { return };
    let output = python_command(&python).arg(tests().join("python/test_reader.py")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn both_read_every_vector_alike() {
    let Some(python) = python() else { return };
    let read = view::Vectors::read(&tests().join("vectors"));
    let vectors = &read.requests;
    assert!(vectors.len() > 100, "the vectors were not found");
    let requests: Vec<Value> = vectors.iter().map(|(_, request, _)| request.clone()).collect();
    let mut wrong = String::new();
    for ((name, request, expected), answer) in vectors.iter().zip(ask(&python, &requests)) {
        if let Err(what) = view::is_as_expected(&answer, expected) {
            writeln!(wrong, "{name}, {request}: {what}").unwrap();
        }
        let own = view::answer(request);
        if own["state"] != answer["state"] && !own["state"].is_null() && !answer["state"].is_null() {
            writeln!(wrong, "{name}, {request}: the library says\n{}\nand the reader\n{}", own["state"], answer["state"])
                .unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn both_read_files_of_the_program_alike() {
    let Some(python) = python() else { return };
    let place = Place::new("files");
    place.run(&["init"], b"");
    let mut requests = Vec::new();
    let mut compare = |what: &str| {
        let copy = place.0.join(format!("{what}.vault"));
        std::fs::copy(place.0.join("a.vault"), &copy).unwrap();
        requests.push(json!({ "file": copy, "raw": view::hex(&std::fs::read(place.0.join("key")).unwrap()) }));
    };
    compare("empty");

    let hostile = hostile();
    let object: serde_json::Map<String, Value> = hostile.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    place.run(&["import", "-", "--format", "json", "--category", "hostile"], Value::from(object).to_string().as_bytes());
    compare("hostile");

    let many: serde_json::Map<String, Value> = (0..2000).map(|n| (format!("svc/{n:04}"), format!("value {n}").into())).collect();
    place.run(&["import", "-", "--format", "json", "-e", "prod"], Value::from(many).to_string().as_bytes());
    compare("many");

    for n in 0..12 {
        place.run(&["set", "often", "--tag", "a tag", "--meta", "owner=me", "--ttl", "30d"], format!("value {n}").as_bytes());
    }
    place.run(&["set", "large"], &vec![0xfe; 3 << 20]);
    compare("durable");
    place.run(&["rollback", "often", "--version", "5"], b"");
    place.run(&["rm", "-e", "prod", "svc/0001", "svc/0002", "svc/1999"], b"");
    place.run(&["mv", "large", "larger"], b"");
    compare("changed");
    place.run(&["compact"], b"");
    compare("compacted");
    place.run(&["set", "behind"], b"the rewrite");
    compare("behind");
    place.run(&["rm", "larger", "--purge"], b"");
    compare("purged");
    // A commit that was torn, and decoys that look like commits.
    let last = place.0.join("purged.vault");
    let bytes = std::fs::read(&last).unwrap();
    let decoys = [&b"VLTCMT1\n"[..], &[0x5a; 4088]].concat().repeat(63);
    for (name, tail) in [("torn", bytes[..bytes.len() / 2].to_vec()), ("decoys", decoys.clone()), ("odd", vec![1; 5])] {
        let path = place.0.join(format!("{name}.vault"));
        std::fs::write(&path, [bytes.clone(), tail].concat()).unwrap();
        requests.push(json!({ "file": path, "raw": requests[0]["raw"] }));
    }

    let answers = ask(&python, &requests);
    for (request, answer) in requests.iter().zip(&answers) {
        let own = view::answer(request);
        assert_eq!(own["refused"], Value::Null, "{request}: {}", own["why"]);
        assert_eq!(answer["refused"], Value::Null, "{request}: {}", answer["why"]);
        assert!(own["state"] == answer["state"], "{request}: {}", difference(&own["state"], &answer["state"]));
    }

    // What was read is what was put in, and not only alike.
    let entries = |index: usize| answers[index]["state"]["entries"].as_array().unwrap();
    let value = |index: usize, name: &str| {
        let entry = entries(index).iter().find(|entry| entry["name"] == name).unwrap();
        entry["versions"].as_array().unwrap().last().unwrap()["value"].clone()
    };
    assert_eq!(entries(0).len(), 0);
    for (name, put) in &hostile {
        let bytes = put.as_str().map_or_else(|| put.to_string(), str::to_owned);
        assert_eq!(value(1, name), view::base64(bytes.as_bytes()), "{name:?}");
    }
    assert_eq!(entries(2).len(), hostile.len() + 2000);
    assert_eq!(value(2, "svc/1234"), view::base64(b"value 1234"));
    assert_eq!(value(3, "large"), view::base64(&vec![0xfe; 3 << 20]));
    assert_eq!(value(4, "often"), view::base64(b"value 4"));
    assert_eq!(entries(4).len(), hostile.len() + 2000 + 2 - 3);
    assert_eq!((&answers[4]["state"]["epoch"], &answers[5]["state"]["epoch"]), (&json!(1), &json!(2)));
    assert_eq!(entries(5), entries(4), "a rewrite changes an entry");
    assert_eq!(value(6, "behind"), view::base64(b"the rewrite"));
    assert!(
        answers[8..]
            .iter()
            .all(|answer| answer["state"]["tail"] == true && answer["state"]["entries"] == answers[7]["state"]["entries"])
    );
    assert_eq!(answers.len(), 11);
}

/// Streams of the program open in the reader, from the specification alone.
#[test]
fn streams_of_the_program_open_elsewhere() {
    let Some(python) = python() else { return };
    let place = Place::new("streams");
    place.run(&["init"], b"");
    let raw = view::hex(&std::fs::read(place.0.join("key")).unwrap());
    let (mut requests, mut expected) = (Vec::new(), Vec::new());
    for (number, length) in [0, 1, 65_535, 65_536, 65_537, 300_000].into_iter().enumerate() {
        let plaintext: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        for (name, options) in [("binary", &[][..]), ("armor", &["--armor"])] {
            let path = place.0.join(format!("{name}{number}"));
            std::fs::write(&path, place.run(&[&["encrypt"], options].concat(), &plaintext)).unwrap();
            requests.push(json!({ "file": place.0.join("a.vault"), "raw": raw, "stream": path }));
            expected.push(view::base64(&plaintext));
        }
    }
    for (answer, expected) in ask(&python, &requests).iter().zip(expected) {
        assert!(answer["plaintext"] == expected, "{}", answer["why"]);
    }
}

/// The package `cryptography` opens tokens of the program, with the keys that the reader finds in the vault.
#[test]
fn tokens_of_the_program_open_elsewhere() {
    let Some(python) = python() else { return };
    let place = Place::new("tokens");
    place.run(&["init"], b"");
    let env = "ENCRYPTION_KEYS__v1=one\nENCRYPTION_SALT__v1=old-salt\nENCRYPTION_KEYS__v2='zwei é'\nENCRYPTION_SALT__v2=text:x\n\
               ACTIVE_ENCRYPTION_VERSION=v2\n";
    place.run(&["key", "import-env", "-", "--iterations", "1234"], env.as_bytes());
    let raw = view::hex(&std::fs::read(place.0.join("key")).unwrap());
    let answer = ask(&python, &[json!({ "file": place.0.join("a.vault"), "raw": raw, "foreign": true })]).remove(0);
    assert_eq!(answer["refused"], Value::Null, "{}", answer["why"]);
    let keys = &answer["foreign"]["keys"];
    assert_eq!(answer["foreign"]["active"], "v2");
    assert_eq!(keys["v1"], json!({ "key": "one", "salt": "a2577eb1a96d", "iterations": 1234 }));
    let (mut requests, mut expected) = (Vec::new(), Vec::new());
    for length in [0, 1, 15, 16, 17, 100_000] {
        let plaintext = vec![0xe9; length];
        for version in ["v1", "v2"] {
            let token = place.run(&["encrypt", "--fernet", "--key-version", version], &plaintext);
            let mut request = keys[version].clone();
            request["token"] = String::from_utf8(token).unwrap().into();
            requests.push(request);
            expected.push(Value::from(view::base64(&plaintext)));
        }
    }
    // One that it must refuse, or it would refuse none.
    let mut other = requests[0].clone();
    other["key"] = "another".into();
    requests.push(other);
    expected.push(Value::Null);
    let mut command = python_command(&python);
    command.arg(tests().join("python/foreign.py")).arg("open");
    assert_eq!(answers(command, &requests), expected);
}

/// One flipped bit at many places: both refuse the same file, or read the same state.
#[test]
fn both_judge_altered_files_alike() {
    let Some(python) = python() else { return };
    let mut requests = Vec::new();
    for name in ["rewritten", "values", "limited-slots"] {
        let file = tests().join(format!("vectors/{name}.vault"));
        let length = std::fs::metadata(&file).unwrap().len();
        for at in (0..length).step_by(97) {
            let raw = "07".repeat(32);
            requests.push(json!({ "file": file, "raw": raw, "xor": [[at, 1 << (at % 8)]] }));
            if at % 5 == 0 {
                requests.push(json!({ "file": file, "raw": raw, "length": at }));
            }
        }
    }
    let mut refused = 0;
    for (request, answer) in requests.iter().zip(ask(&python, &requests)) {
        let own = view::answer(request);
        // A flipped bit of the header may leave a recipient that no key has, or text that is none: which is seen first is not said.
        let in_header = own["at"] == "open" && answer["at"] == "open";
        assert!(
            own["refused"] == answer["refused"] || (in_header && !own["refused"].is_null() && !answer["refused"].is_null()),
            "{request}: {} ({}) and {} ({})",
            own["refused"],
            own["why"],
            answer["refused"],
            answer["why"]
        );
        if own["refused"].is_null() {
            assert_eq!(own["state"], answer["state"], "{request}");
        } else {
            refused += 1;
        }
    }
    assert!(refused > requests.len() / 2, "{refused} of {} were refused", requests.len());
}

/// The client library that people have for the service whose routes these are, as it is published.
#[test]
fn a_client_of_another_service_works_with_the_server() {
    let Some(python) = interpreter::python("opensecureconf_client, httpx") else { return };
    let place = Place::new("client");
    let passphrase = "correct horse battery";
    place.run(&["init"], b"");
    place.run(&["key", "add", "--label", "people", "--new-passphrase"], passphrase.as_bytes());
    let token = place.run(&["token", "create", "--label", "listener", "--read"], b"");
    let mut server = place.command(&["serve", "--listen", "127.0.0.1:0"]);
    let mut server = server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(server.stderr.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    let url = line.split_whitespace().find(|word| word.starts_with("http://")).unwrap().to_owned();
    // Its lines are read, so that it can say what went wrong.
    let log = std::thread::spawn(move || {
        let mut log = String::new();
        let _ = lines.read_to_string(&mut log);
        log
    });
    let token = String::from_utf8(token).unwrap();
    let arguments = [&url, passphrase, token.trim_end()];
    let output = python_command(&python).arg(tests().join("python/client.py")).args(arguments).output().unwrap();
    server.kill().unwrap();
    server.wait().unwrap();
    let log = log.join().unwrap();
    assert!(output.status.success(), "{}\n{log}", String::from_utf8_lossy(&output.stderr));
}

/// Names and values that escaping, shells, terminals and text formats get wrong.
fn hostile() -> Vec<(String, Value)> {
    let texts = [
        "",
        " ",
        "\n",
        "a\r\nb\n",
        "\0",
        "a\0b",
        "\u{1b}[31mred",
        "'; rm -rf / #",
        "$(id) `id` ${HOME}",
        "\\",
        "\\n",
        "\"",
        "%s%n",
        "=",
        "#",
        "\u{feff}bom",
        "\u{202e}right to left",
        "cafe\u{301}",
        "caf\u{e9}",
        "\u{10ffff}",
        "null",
        "true",
        "1e999",
        "-0",
        "0x10",
        "- a: b",
        "{",
        "[1,",
    ];
    let mut all: Vec<(String, Value)> =
        texts.iter().enumerate().map(|(n, text)| (format!("text {n:02}"), (*text).into())).collect();
    for length in [23, 24, 25, 983, 984, 985, 1024, 1025, 4096, 70_000] {
        all.push((format!("length {length}"), "\u{e9}x".repeat(length).chars().take(length).collect::<String>().into()));
    }
    for (n, name) in
        ["$HOME", "a=b", "-rf", "--help", "..", "a/../b", "\u{5d0}\u{202e}", "*", "'", "\"", "x\u{301}"].iter().enumerate()
    {
        all.push(((*name).to_owned(), n.to_string().into()));
    }
    all.push(("json object".to_owned(), json!({ "b": [1, { "c": null }], "a": "\u{0}\u{1f511}" })));
    all.push(("json list".to_owned(), json!([])));
    all
}

/// The first entry in which two states differ, which says more than both of them.
fn difference(one: &Value, other: &Value) -> String {
    let pairs = one["entries"].as_array().into_iter().flatten().zip(other["entries"].as_array().into_iter().flatten());
    match pairs.into_iter().find(|(a, b)| a != b) {
        Some((a, b)) => format!("\n{a}\n{b}"),
        None => format!("not in the entries that both have: {} {}", one["sequence"], other["sequence"]),
    }
}

fn tests() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// The interpreter, if it has the reader's packages.
fn python() -> Option<PathBuf> {
    interpreter::python("argon2, blake3, cryptography, nacl, pyrage, tomllib")
}

/// The reader's answers to requests, from one process.
fn ask(python: &Path, requests: &[Value]) -> Vec<Value> {
    let mut command = python_command(python);
    command.arg(tests().join("python/reader.py")).arg("--batch");
    answers(command, requests)
}

/// What a program answers to requests, a line each.
fn answers(mut command: Command, requests: &[Value]) -> Vec<Value> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let lines: String = requests.iter().map(|request| format!("{request}\n")).collect();
    // From a thread of its own: the answers may fill their pipe before all requests are taken.
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "the reader failed");
    let answers: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), requests.len());
    answers
}

/// A home and working directory of its own for the program.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("vault-python-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vault"));
        command.args(["--vault", "a.vault"]).args(arguments);
        command.current_dir(&self.0).env_clear().env("HOME", &self.0);
        // The option would be the key that `init` makes a slot for, and the one that `key add` adds.
        match arguments {
            ["init", ..] => command.args(["--key-file", "key"]),
            _ => command.env("VAULT_KEY_FILE", "key"),
        };
        command
    }

    fn run(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut child =
            self.command(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut pipe = child.stdin.take().unwrap();
        let input = input.to_vec();
        // From a thread of its own: the output may fill its pipe before all input is taken. A command that reads nothing closes it.
        let writer = std::thread::spawn(move || drop(pipe.write_all(&input)));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
