//! `vault encrypt`, `vault decrypt`: streams

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use crate::sandbox::{Sandbox, is_installed, wait_until};

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 % 251) as u8).collect()
}

fn encrypt(sandbox: &Sandbox, plaintext: &[u8], arguments: &[&str]) -> Vec<u8> {
    sandbox.vault(&[&["encrypt"], arguments].concat()).stdin(plaintext).run().ok().stdout
}

#[test]
fn every_length_returns() {
    let sandbox = Sandbox::new();
    for length in [0, 1, 65_535, 65_536, 65_537, 3 << 20] {
        let plaintext = pattern(length);
        for options in [&[][..], &["--armor"]] {
            let stream = encrypt(&sandbox, &plaintext, options);
            assert_eq!(stream.is_ascii(), !options.is_empty());
            let back = sandbox.vault(&["decrypt"]).stdin(&stream).run().ok();
            assert!(back.stdout == plaintext && back.stderr.is_empty(), "{length} {options:?}");
        }
    }
    // Nothing at all, as from /dev/null.
    let stream = sandbox.vault(&["encrypt"]).run().ok().stdout;
    assert!(sandbox.vault(&["decrypt"]).stdin(stream).run().ok().stdout.is_empty());
}

#[test]
fn files_are_private_and_whole() {
    let sandbox = Sandbox::new();
    let plaintext = pattern(200_000);
    sandbox.write("plain", &plaintext);
    sandbox.vault(&["encrypt", "plain", "--out", "sealed"]).run().ok();
    sandbox.vault(&["encrypt", "-", "--out", "sealed2"]).stdin(&plaintext).run().ok();
    sandbox.vault(&["decrypt", "sealed", "--out", "back"]).run().ok();
    // Over itself: the old one is there until the new one is whole.
    sandbox.vault(&["decrypt", "sealed2", "--out", "sealed2"]).run().ok();
    for (name, mode) in [("sealed", 0o600), ("back", 0o600), ("sealed2", 0o600)] {
        assert_eq!(fs::metadata(sandbox.path("work").join(name)).unwrap().permissions().mode() & 0o777, mode);
    }
    for name in ["back", "sealed2"] {
        assert!(fs::read(sandbox.path("work").join(name)).unwrap() == plaintext);
    }
    assert_eq!(sandbox.files("work").len(), 4, "something was left behind");
    sandbox.vault(&["encrypt", "plain", "--out", "/dev/null"]).run().fails(13, "not a regular file");
    sandbox.vault(&["encrypt", "plain", "--out", "none/x"]).run().fails(13, "write none/x");
    sandbox.vault(&["encrypt", "none"]).run().fails(13, "read none");
    sandbox.vault(&["decrypt", "."]).run().fails(13, "read");
}

#[test]
fn a_stream_says_which_vault_and_key_it_needs() {
    let sandbox = Sandbox::new();
    let stream = encrypt(&sandbox, b"x", &[]);
    let id = sandbox.vault(&["check", "--format", "json"]).run().ok().json()["vault_id"].as_str().unwrap().to_owned();
    assert!(stream.starts_with(format!("VAULT-ENCRYPTED 1 {id} - 1\nage-encryption.org/v1\n").as_bytes()));
    let path = sandbox.write("sealed", &stream);
    let info = || sandbox.vault(&["decrypt", "--info", path.to_str().unwrap()]).without_env("VAULT_KEY_FILE");
    assert_eq!(info().run().ok().text(), format!("vault     {id}\ndata key  1\n"));
    let object = info().arg("--format").arg("json").run().ok().json();
    assert_eq!(crate::sandbox::fields(&object), ["version", "kind", "vault_id", "category", "environment", "data_key"]);
    assert_eq!((&object["kind"], &object["vault_id"], &object["data_key"]), (&"vault".into(), &id.as_str().into(), &1.into()));
    sandbox.vault(&["decrypt", "--info"]).stdin("VAULT-ENCRYPTED 1 x - 1\n").run().fails(8, "damaged");
    sandbox.vault(&["decrypt", "--info"]).stdin("VAULT-ENCRYPTED 2 x\n").run().fails(8, "newer format");
}

#[test]
fn what_is_damaged_cut_or_foreign_is_refused() {
    let sandbox = Sandbox::new();
    let stream = encrypt(&sandbox, b"short", &[]);
    // The exit code says no at every bit, and nothing is written but the plaintext.
    for bit in (0..stream.len() * 8).step_by(11) {
        let mut bad = stream.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let refused = sandbox.vault(&["decrypt"]).stdin(&bad).run();
        assert!([3, 4, 8].contains(&refused.code) && refused.stdout.is_empty(), "bit {bit}: {} {}", refused.code, refused.stderr);
    }
    for cut in (0..stream.len()).step_by(17) {
        sandbox.vault(&["decrypt"]).stdin(&stream[..cut]).run().fails(8, "");
    }
    sandbox.vault(&["decrypt"]).stdin([&stream[..], b"x"].concat()).run().fails(8, "damaged");
    sandbox.vault(&["decrypt"]).stdin("plain text").run().fails(8, "neither an encrypted stream nor");
    sandbox.vault(&["decrypt"]).run().fails(8, "neither an encrypted stream nor");
    sandbox.vault(&["decrypt"]).stdin(&stream[55..]).run().fails(8, "neither an encrypted stream nor");
    sandbox.vault(&["decrypt", "--max-age", "1h"]).stdin(&stream).run().fails(2, "Fernet");

    let other = Sandbox::new();
    other.vault(&["decrypt"]).stdin(&stream).run().fails(4, "was encrypted by the vault");
    // The line rewritten to this vault's id: another key.
    let id = other.vault(&["check", "--format", "json"]).run().ok().json()["vault_id"].as_str().unwrap().to_owned();
    let rewritten = [&stream[..18], id.as_bytes(), &stream[50..]].concat();
    other.vault(&["decrypt"]).stdin(&rewritten).run().fails(8, "damaged");
    let numbered = String::from_utf8_lossy(&stream[..55]).replace(" - 1\n", " - 2\n");
    sandbox.vault(&["decrypt"]).stdin([numbered.as_bytes(), &stream[55..]].concat()).run().fails(3, "needs data key 2");
}

#[test]
fn a_long_stream_that_is_cut_is_never_whole() {
    let sandbox = Sandbox::new();
    let plaintext = pattern(200_000);
    let stream = encrypt(&sandbox, &plaintext, &[]);
    sandbox.write("kept", "before");
    let header = stream.len() - plaintext.len() - 4 * 16;
    let borders = (0..4).map(|chunk| header + chunk * (65_536 + 16));
    for cut in (1..stream.len()).step_by(13_000).chain(borders) {
        let output = sandbox.vault(&["decrypt"]).stdin(&stream[..cut]).run().ends(8);
        assert!(plaintext.starts_with(&output.stdout) && output.stdout.len() < plaintext.len(), "{cut}");
        let says = output.stderr.contains("the output is not complete");
        assert_eq!(says, !output.stdout.is_empty(), "{cut}: {}", output.stderr);
        sandbox.vault(&["decrypt", "--out", "kept"]).stdin(&stream[..cut]).run().fails(8, "");
        assert_eq!(fs::read(sandbox.path("work/kept")).unwrap(), b"before");
        assert_eq!(sandbox.files("work").len(), 1, "something was left behind");
    }
    let closed = sandbox.shell("vault encrypt /dev/zero | head -c 100000 > /dev/null; exit ${PIPESTATUS:-0}").run();
    assert!(closed.stderr.contains("write the output"), "{}", closed.stderr);
}

#[test]
fn older_keys_open_until_a_reseal_destroys_them() {
    let sandbox = Sandbox::new();
    let first = encrypt(&sandbox, b"first", &[]);
    sandbox.vault(&["key", "rotate", "--data"]).run().ok();
    let second = encrypt(&sandbox, b"second", &[]);
    sandbox.vault(&["key", "rotate", "--master"]).run().ok();
    sandbox.vault(&["key", "rotate", "--data"]).run().ok();
    sandbox.vault(&["compact"]).run().ok();
    for (stream, number, plaintext) in [(&first, 1, &b"first"[..]), (&second, 2, b"second")] {
        assert!(String::from_utf8_lossy(stream).lines().next().unwrap().ends_with(&format!(" - {number}")));
        assert_eq!(sandbox.vault(&["decrypt"]).stdin(stream).run().ok().stdout, plaintext);
    }
    sandbox.vault(&["key", "rotate", "--data", "--reseal"]).run().ok();
    for stream in [&first, &second] {
        sandbox.vault(&["decrypt"]).stdin(stream).run().fails(3, "was destroyed when the vault was resealed");
    }
    sandbox.vault(&["check"]).run().ok();
}

#[test]
fn a_limited_key_has_its_part() {
    let sandbox = Sandbox::empty();
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let vector: serde_json::Value = serde_json::from_slice(&fs::read(vectors.join("limited-slots.json")).unwrap()).unwrap();
    fs::copy(vectors.join("limited-slots.vault"), sandbox.path("work/v")).unwrap();
    let full = sandbox.write("full", [7; 32]);
    let [db, prod] = [1, 2].map(|at| {
        sandbox.write(&format!("identity{at}"), vector["keys"][at]["identity"].as_str().unwrap()).to_str().unwrap().to_owned()
    });
    let full = ["--key-file", full.to_str().unwrap()];
    let (db, prod) = (["--identity", db.as_str()], ["--identity", prod.as_str()]);
    let run = |command: &[&str], key: [&str; 2], input: &[u8]| {
        sandbox.vault(&[command, &["--vault", "v"], &key].concat()).stdin(input).run()
    };
    for (options, opens, compartment) in [
        (&["--category", "db"][..], [true, true, false], "category:db 2"),
        (&["--category", "db", "-e", "prod"], [true, true, true], "category:db%1Fenv:prod 1"),
        (&["-e", "prod"], [true, false, true], "env:prod "),
        (&[], [true, false, false], "- "),
        (&["--category", "none"], [true, false, false], "- "),
    ] {
        let stream = run(&[&["encrypt"], options].concat(), full, b"x").ok().stdout;
        let line = String::from_utf8_lossy(&stream).lines().next().unwrap().to_owned();
        let compartment = compartment.trim_end_matches(|c: char| c.is_ascii_digit());
        assert!(line.contains(compartment), "{line}");
        for (key, opens) in [full, db, prod].into_iter().zip(opens) {
            let output = run(&["decrypt"], key, &stream);
            if opens {
                assert_eq!(output.ok().stdout, b"x");
            } else {
                output.fails(12, "the key at hand does not open");
            }
        }
    }
    let own = run(&["encrypt", "--category", "db"], db, b"y").ok().stdout;
    assert_eq!(run(&["decrypt"], full, &own).ok().stdout, b"y");
    run(&["encrypt"], db, b"y").fails(12, "the key at hand does not open");
    run(&["encrypt", "--fernet"], db, b"y").fails(12, "limited");
    run(&["key", "export-env"], db, b"").fails(12, "limited");
}

#[test]
fn stock_age_opens_the_body() {
    if !is_installed("age") {
        return;
    }
    let sandbox = Sandbox::new();
    for options in [&[][..], &["--armor"]] {
        let stream = encrypt(&sandbox, b"plaintext", options);
        let at = stream.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        sandbox.write("body.age", &stream[at..]);
        // It is an age file to one recipient: age reads it, and refuses for the want of the identity only.
        let (identity, _) = crate::sandbox::identity();
        sandbox.write("identity", identity);
        let refused = sandbox.program("age", &["--decrypt", "-i", "identity", "body.age"]).run().ends(1);
        assert!(refused.stderr.contains("no identity matched"), "{}", refused.stderr);
    }
}

#[test]
fn nothing_binary_goes_to_a_terminal() {
    let sandbox = Sandbox::new();
    sandbox.write("plain", "text\n");
    sandbox.write("binary", b"a\x1b[31mb");
    sandbox.vault(&["encrypt", "plain", "--out", "sealed"]).run().ok();
    sandbox.vault(&["encrypt", "binary", "--out", "sealed-binary"]).run().ok();
    let terminal = |command: &str| {
        let session = crate::prompts::at_terminal(&sandbox, command, &[]);
        (session.code, session.screen)
    };
    let (code, screen) = terminal("vault encrypt plain");
    assert!(code == 2 && screen.contains("use --armor"), "{code} {screen}");
    let (code, screen) = terminal("vault encrypt plain --armor");
    assert!(code == 0 && screen.contains("-----END AGE ENCRYPTED FILE-----"), "{code} {screen}");
    let (code, screen) = terminal("vault decrypt sealed");
    assert!(code == 0 && screen.contains("text"), "{code} {screen}");
    let (code, screen) = terminal("vault decrypt sealed-binary");
    assert!(code == 2 && !screen.contains('\u{1b}'), "{code} {screen}");
}

/// What is killed in the middle leaves neither a file at the place nor one beside it.
#[test]
fn a_killed_decrypt_leaves_no_plaintext() {
    use rustix::fs::{CWD, Mode, OFlags, openat};
    let sandbox = Sandbox::new();
    let nameless = openat(CWD, sandbox.path("work"), OFlags::TMPFILE | OFlags::WRONLY, Mode::from_raw_mode(0o600));
    if nameless.is_err() {
        eprintln!("skipped: the file system has no files without a name");
        return;
    }
    let stream = encrypt(&sandbox, &pattern(1 << 20), &[]);
    let mut command = sandbox.vault(&["decrypt", "--out", "plain"]).into_command();
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&stream[..700_000]).unwrap();
    // What was written is in the file without a name by then, and the rest is being waited for.
    wait_until("a plaintext in the making", || {
        let open = fs::read_dir(format!("/proc/{}/fd", child.id())).unwrap();
        open.filter_map(|entry| fs::metadata(entry.ok()?.path()).ok()).any(|file| file.is_file() && file.len() >= 500_000)
    });
    assert!(sandbox.files("work").is_empty());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(sandbox.files("work").is_empty());
}

/// 256 MiB through either, with the peak of the process as the system counts it.
#[test]
#[cfg(target_os = "linux")]
fn memory_is_constant() {
    const LENGTH: u64 = 256 << 20;
    let sandbox = Sandbox::new();
    let sealed = sandbox.path("work/sealed");
    let out = fs::File::create(&sealed).unwrap();
    let peak = peak_of(&sandbox, &["encrypt"], Feed::Zeros(LENGTH), Some(out));
    assert!(peak < 32 * 1024, "encrypt took {peak} KiB");
    let peak = peak_of(&sandbox, &["decrypt"], Feed::File(&sealed), None);
    assert!(peak < 32 * 1024, "decrypt took {peak} KiB");
}

enum Feed<'a> {
    Zeros(u64),
    File(&'a Path),
}

/// Runs a command on an input that stays open until the peak was read, and returns that, in KiB.
#[cfg(target_os = "linux")]
fn peak_of(sandbox: &Sandbox, arguments: &[&str], feed: Feed<'_>, out: Option<fs::File>) -> u64 {
    let mut command = sandbox.vault(arguments).into_command();
    command.stdin(Stdio::piped()).stdout(out.map_or(Stdio::null(), Stdio::from));
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    match feed {
        Feed::Zeros(length) => drop(std::io::copy(&mut std::io::repeat(0).take(length), &mut input).unwrap()),
        Feed::File(path) => drop(std::io::copy(&mut fs::File::open(path).unwrap(), &mut input).unwrap()),
    }
    // All but what the pipe holds went through.
    let peak = crate::sandbox::memory(child.id(), "VmHWM");
    drop(input);
    assert!(child.wait().unwrap().success());
    peak
}
