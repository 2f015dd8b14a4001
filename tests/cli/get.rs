//! `vault get`

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::sandbox::Sandbox;

#[test]
fn prints_the_value_alone() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "value");
    let got = sandbox.vault(&["get", "a"]).run().ok();
    assert_eq!((got.stdout.as_slice(), got.stderr.as_str()), (&b"value"[..], ""));
    assert_eq!(sandbox.vault(&["get", "-n", "a"]).run().ok().stdout, b"value");
    assert_eq!(sandbox.vault(&["show", "a"]).run().ok().stdout, b"value");
}

#[test]
fn values_come_back_byte_for_byte() {
    let sandbox = Sandbox::new();
    let all: Vec<u8> = (0..=255).collect();
    let large: Vec<u8> = (0..1 << 20).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for value in
        [&b""[..], b"\0", b"\n", b"a\n", b"a\r\n", b"a\nb\n", b"\xff\xfe", b"  a  ", "\u{feff}é😀".as_bytes(), &all, &large]
    {
        sandbox.set("a", value);
        assert!(sandbox.get("a") == value, "{} bytes", value.len());
        let path = sandbox.write("value", value);
        sandbox.vault(&["set", "b", "--from-file", path.to_str().unwrap()]).run().ok();
        assert!(sandbox.get("b") == value, "{} bytes from a file", value.len());
    }
}

#[test]
fn fields_of_json_values() {
    let sandbox = Sandbox::new();
    let json = r#"{"db":{"host":"h","port":5432,"a.b":"dot","list":[1,{"x":"y"}]},"empty":"","n":1.10}"#;
    sandbox.vault(&["set", "db", "--json"]).stdin(json).run().ok();
    for (field, value) in [
        ("db.host", "h"),
        ("/db/host", "h"),
        ("db.port", "5432"),
        ("/db/a.b", "dot"),
        ("db.list.1.x", "y"),
        ("/db/list/1", r#"{"x":"y"}"#),
        ("empty", ""),
        ("n", "1.10"),
    ] {
        assert_eq!(sandbox.vault(&["get", "db", field]).run().ok().text(), value, "{field}");
    }
    assert_eq!(sandbox.get("db"), json.as_bytes());
    sandbox.vault(&["get", "db", "db.nope"]).run().fails(3, "the value has no field 'db.nope'");
    sandbox.vault(&["get", "db", "db.host.x"]).run().fails(3, "no field");
    sandbox.vault(&["get", "db", ""]).run().fails(2, "a field is");
    sandbox.vault(&["get", "db", "a..b"]).run().fails(2, "a field is");
    sandbox.set("text", "plain");
    sandbox.vault(&["get", "text", "x"]).run().fails(3, "not JSON");
}

#[test]
fn old_versions_and_defaults() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "one");
    sandbox.set("a", "two");
    assert_eq!(sandbox.vault(&["get", "a", "--version", "1"]).run().ok().stdout, b"one");
    assert_eq!(sandbox.vault(&["get", "a", "--version=2"]).run().ok().stdout, b"two");
    let missing = sandbox.vault(&["get", "a", "--version", "3"]).run().fails(3, "'a' has no version 3");
    assert!(missing.stderr.contains("hint: it has versions 1 to 2"), "{}", missing.stderr);
    sandbox.vault(&["set", "it's", "-e", "prod"]).stdin("v").run().ok();
    let missing = sandbox.vault(&["get", "it's", "-e", "prod", "--version", "3"]).run().fails(3, "has no version 3");
    assert!(missing.stderr.contains("`vault history -e prod 'it'\\''s'`"), "{}", missing.stderr);
    for arguments in [
        &["get", "none", "--default", "d"][..],
        &["get", "a", "--version", "9", "--default", "d"],
        &["get", "a", "f", "--default", "d"],
    ] {
        assert_eq!(sandbox.vault(arguments).run().ok().stdout, b"d");
    }
    assert_eq!(sandbox.vault(&["get", "a", "--default", "d"]).run().ok().stdout, b"two");
    // A default stands in for what is not there, and never for a key that is wrong or a vault that is not.
    sandbox.write("wrong", [9; 32]);
    sandbox.vault(&["get", "none", "--default", "d", "--key-file", "wrong"]).run().fails(4, "does not open");
    sandbox.vault(&["get", "none", "--default", "d", "--vault", "nope"]).run().fails(5, "no vault");
}

#[test]
fn an_environment_falls_back_to_the_entry_without_one() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "general");
    sandbox.set("only", "general");
    sandbox.vault(&["set", "a", "-e", "prod"]).stdin("prod").run().ok();
    sandbox.vault(&["set", "special", "--env", "prod"]).stdin("prod").run().ok();
    assert_eq!(sandbox.vault(&["get", "a", "-e", "prod"]).run().ok().stdout, b"prod");
    assert_eq!(sandbox.vault(&["-e", "prod", "get", "only"]).run().ok().stdout, b"general");
    assert_eq!(sandbox.vault(&["get", "a", "-e", "stage"]).run().ok().stdout, b"general");
    assert_eq!(sandbox.get("a"), b"general");
    sandbox.vault(&["get", "special"]).run().fails(3, "there is no entry 'special'");
    sandbox.vault(&["get", "none", "-e", "prod"]).run().fails(3, "there is no entry 'none (prod)'");
    // Empty means none.
    assert_eq!(sandbox.vault(&["get", "a", "-e", ""]).run().ok().stdout, b"general");
}

#[test]
fn an_expired_entry_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.vault(&["set", "a", "--ttl", "0s"]).stdin("old").run().ok();
    sandbox.vault(&["get", "a"]).run().fails(9, "'a' has expired");
    sandbox.vault(&["get", "a", "--default", "d"]).run().fails(9, "'a' has expired");
    assert_eq!(sandbox.vault(&["get", "a", "--allow-expired"]).run().ok().stdout, b"old");
    sandbox.vault(&["get", "a", "--version", "1"]).run().fails(9, "'a' has expired");
    sandbox.set("a", "new");
    assert_eq!(sandbox.get("a"), b"new");
    // An old version is read by who asks for it by its number.
    assert_eq!(sandbox.vault(&["get", "a", "--version", "1"]).run().ok().stdout, b"old");
}

#[test]
fn out_writes_a_private_file() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "value\0\n");
    let path = sandbox.write("out", "something longer that was there before");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let got = sandbox.vault(&["get", "a", "--out", "out"]).run().ok();
    assert!(got.stdout.is_empty() && got.stderr.is_empty());
    assert_eq!(fs::read(&path).unwrap(), b"value\0\n");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    sandbox.vault(&["get", "none", "--out", "new"]).run().fails(3, "no entry");
    sandbox.vault(&["get", "a", "--out", "no/such/directory"]).run().fails(13, "write no/such/directory");
    sandbox.vault(&["get", "a", "--out", ".."]).run().fails(13, "not a regular file");
    // A device, a pipe or a directory is no place for a file, and is not replaced by one.
    let fifo = sandbox.path("work/fifo");
    sandbox.program("mkfifo", &["fifo"]).run().ok();
    fs::create_dir(sandbox.path("work/directory")).unwrap();
    for name in ["fifo", "directory"] {
        sandbox.vault(&["get", "a", "--out", name]).run().fails(13, "not a regular file");
    }
    assert!(!fs::metadata(fifo).unwrap().is_file());
    assert_eq!(sandbox.files("work").len(), 3, "{:?}", sandbox.files("work"));
    sandbox.vault(&["get", "a", "--out", "x", "--clip"]).run().ends(2);
}

#[test]
fn the_clipboard_is_cleared_of_its_own_value_only() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "value");
    let bin = sandbox.path("bin");
    fs::create_dir(&bin).unwrap();
    let board = sandbox.path("board");
    // What was on it is kept: it may be cleared before it is looked at.
    for (name, script) in [("wl-copy", "tee \"$BOARD\" >> \"$BOARD.ever\""), ("wl-paste", "cat \"$BOARD\"")] {
        sandbox.script(bin.join(name), script);
    }
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let clip = |seconds: &str| {
        let run = sandbox.vault(&["get", "a", "--clip", seconds]).env("PATH", &path);
        let run = run.env("BOARD", &board).env("WAYLAND_DISPLAY", "x");
        let got = run.run().ok();
        assert!(got.stdout.is_empty() && !got.stderr.contains("value"), "{}", got.stderr);
        let said = format!("copied; the clipboard is cleared in {seconds} seconds");
        assert!(got.stderr.starts_with(&said), "{}", got.stderr);
    };
    let ever = || fs::read(sandbox.path("board.ever")).unwrap();
    clip("1");
    assert_eq!(ever(), b"value");
    crate::sandbox::wait_until("an empty clipboard", || fs::read(&board).unwrap().is_empty());
    // Time enough for somebody else to come before it is cleared.
    clip("5");
    assert_eq!(ever(), b"valuevalue");
    fs::write(&board, "of somebody else").unwrap();
    std::thread::sleep(std::time::Duration::from_secs(6));
    assert_eq!(fs::read(&board).unwrap(), b"of somebody else");
    sandbox.vault(&["get", "a", "--clip"]).run().fails(13, "no clipboard");
}

#[test]
fn whoever_reads_less_is_no_error_and_a_full_disk_is_one() {
    let sandbox = Sandbox::new();
    sandbox.set("a", vec![b'x'; 1 << 20]);
    assert_eq!(sandbox.shell("{ vault get a; echo $? >&2; } | head -c 1").run().ok().stderr, "0\n");
    if std::path::Path::new("/dev/full").exists() {
        sandbox.shell("vault get a > /dev/full").run().fails(13, "write to standard output");
        sandbox.shell("vault list > /dev/full").run().fails(13, "write to standard output");
        sandbox.shell("vault info a > /dev/full").run().fails(13, "write to standard output");
        sandbox.shell("vault export --format json > /dev/full").run().fails(13, "write to standard output");
        sandbox.shell("vault generate > /dev/full").run().fails(13, "write to standard output");
    }
}
