//! `vault otp`

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::prompts::at_terminal;
use crate::sandbox::{Sandbox, fields};

const SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

/// A period that does not end while a test runs.
fn uri() -> String {
    format!("otpauth://totp/site:me?secret={SECRET}&issuer=site&period=1000000000000")
}

/// The code of the counter 0, from RFC 4226, appendix D; it is that of the first period as well.
const FIRST: &str = "755224";

#[test]
fn codes_by_time() {
    let sandbox = Sandbox::new();
    sandbox.vault(&["otp", "site", "--import"]).stdin(format!("{}\n", uri())).run().ok();
    let got = sandbox.vault(&["otp", "site"]).run().ok();
    assert_eq!((got.text().as_str(), got.stderr.as_str()), (FIRST, ""));
    assert_eq!(sandbox.vault(&["otp", "site", "-n"]).run().ok().text(), FIRST);
    let json = sandbox.vault(&["otp", "site", "--format", "json"]).run().ok().json();
    assert_eq!(fields(&json), ["version", "type", "code", "valid_seconds", "period"]);
    assert_eq!((&json["type"], &json["code"], &json["period"]), (&"totp".into(), &FIRST.into(), &1_000_000_000_000_u64.into()));
    // Nothing was written.
    assert_eq!(sandbox.vault(&["info", "site", "--format", "json"]).run().ok().json()["current_version"], 1);

    // By the clock: the time that is left is that of the period.
    sandbox.set("bare", "gezd gnbv gy3t qojq gezd gnbv gy3t qojq\n");
    let seconds = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let before = seconds();
    let json = sandbox.vault(&["otp", "bare", "--format", "json"]).run().ok().json();
    let left = json["valid_seconds"].as_u64().unwrap();
    assert!((before..=seconds()).any(|now| 30 - now % 30 == left), "{left}");
    assert_eq!(json["period"], 30);
    assert_eq!(json["code"].as_str().unwrap().len(), 6);
}

#[test]
fn codes_by_counter_move_it_on() {
    let sandbox = Sandbox::new();
    let uri = format!("otpauth://hotp/site?counter=0&secret={SECRET}");
    sandbox.vault(&["otp", "site", "--import"]).stdin(&uri).run().ok();
    sandbox.vault(&["set", "site", "--meta-only", "--ttl", "1h"]).run().ok();
    let expiry = || sandbox.vault(&["info", "site", "--format", "json"]).run().ok().json()["expires"].clone();
    let before = expiry();
    for code in ["755224", "287082", "359152"] {
        assert_eq!(sandbox.vault(&["otp", "site"]).run().ok().text(), code);
    }
    let json = sandbox.vault(&["otp", "site", "--format", "json"]).run().ok().json();
    assert_eq!((&json["type"], &json["code"]), (&"hotp".into(), &"969429".into()));
    assert!(json["valid_seconds"].is_null() && json["period"].is_null());
    assert_eq!(sandbox.get("site"), uri.replace("counter=0", "counter=4").as_bytes());
    assert_eq!((before.is_string(), expiry()), (true, before));
    // Looking at the URI uses no code.
    assert_eq!(sandbox.vault(&["otp", "site", "--uri"]).run().ok().text(), uri.replace("counter=0", "counter=4"));
    sandbox.vault(&["otp", "site", "--qr"]).run().ok();
    sandbox.vault(&["otp", "site"]).run().ok();

    // Nor does a code that could not be shown.
    sandbox.shell("vault otp site >&-").run().fails(13, "it is closed");
    assert_eq!(sandbox.vault(&["info", "site", "--format", "json"]).run().ok().json()["current_version"], 6);
    // A limited key reads, and uses no counter.
    sandbox.vault(&["set", "site", "--meta-only", "--category", "web"]).run().ok();
    sandbox.vault(&["key", "add", "--label", "ci", "--key-file", "ci.key", "--only", "category:web", "-q"]).run().ok();
    sandbox.vault(&["otp", "site", "--uri", "--key-file", "ci.key"]).run().ok();
    sandbox.vault(&["otp", "site", "--key-file", "ci.key"]).run().fails(12, "");
}

#[test]
fn callers_at_once_get_a_code_each() {
    let sandbox = Sandbox::new();
    sandbox.set("site", format!("otpauth://hotp/site?secret={SECRET}&counter=0"));
    let running: Vec<_> = (0..8).map(|_| sandbox.vault(&["otp", "site"]).spawn()).collect();
    let mut codes: Vec<String> =
        running.into_iter().map(|child| String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()).collect();
    codes.sort();
    let mut expected = ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583"];
    expected.sort_unstable();
    assert_eq!(codes, expected);
    assert!(sandbox.get("site").ends_with(b"&counter=8"));
}

#[test]
fn a_field_of_a_json_value() {
    let sandbox = Sandbox::new();
    sandbox.vault(&["set", "login", "--json"]).stdin(r#"{"user":"u","password":"p"}"#).run().ok();
    sandbox.vault(&["otp", "login", "mail.totp", "--import"]).stdin(uri()).run().ok();
    assert_eq!(sandbox.vault(&["otp", "login", "mail.totp"]).run().ok().text(), FIRST);
    assert_eq!(sandbox.vault(&["otp", "login", "/mail/totp", "--uri"]).run().ok().text(), uri());
    assert_eq!(sandbox.vault(&["get", "login", "password"]).run().ok().text(), "p");
    let counted = format!("otpauth://hotp/x?secret={SECRET}&counter=0");
    sandbox.vault(&["set", "login", "--field", "hotp"]).stdin(&counted).run().ok();
    assert_eq!(sandbox.vault(&["otp", "login", "hotp"]).run().ok().text(), FIRST);
    assert_eq!(sandbox.vault(&["get", "login", "hotp"]).run().ok().text(), counted.replace("counter=0", "counter=1"));
    assert_eq!(sandbox.vault(&["get", "login", "user"]).run().ok().text(), "u");

    sandbox.vault(&["otp", "login"]).run().fails(2, "nothing that one-time codes are made from");
    sandbox.vault(&["otp", "login", "user"]).run().fails(2, "nothing that one-time codes are made from");
    sandbox.vault(&["otp", "login", "none"]).run().fails(3, "no field 'none'");
    sandbox.vault(&["otp", "none"]).run().fails(3, "no entry 'none'");
    sandbox.vault(&["otp"]).run().fails(2, "no entry is named");
}

#[test]
fn environments_and_expiry_are_those_of_get() {
    let sandbox = Sandbox::new();
    sandbox.set("site", uri());
    assert_eq!(sandbox.vault(&["otp", "site", "-e", "prod"]).run().ok().text(), FIRST);
    let counted = format!("otpauth://hotp/x?secret={SECRET}&counter=5");
    sandbox.set("counted", &counted);
    // The counter of the entry that was found moves on, and no other entry is made.
    assert_eq!(sandbox.vault(&["otp", "counted", "-e", "prod"]).run().ok().text(), "254676");
    assert!(sandbox.get("counted").ends_with(b"&counter=6"));
    assert_eq!(sandbox.list(), ["counted", "site"]);

    for uri in [uri(), counted] {
        sandbox.vault(&["set", "old", "--ttl", "0s"]).stdin(uri).run().ok();
        sandbox.vault(&["otp", "old"]).run().fails(9, "'old' has expired");
        sandbox.vault(&["otp", "old", "--uri"]).run().fails(9, "'old' has expired");
        sandbox.vault(&["otp", "old", "--allow-expired"]).run().ok();
    }
    // A new secret is not as old as the one before.
    sandbox.vault(&["otp", "old", "--import"]).stdin(uri()).run().ok();
    sandbox.vault(&["otp", "old"]).run().ok();
}

#[test]
fn an_import_is_read_before_it_is_stored_and_replaces_only_its_like() {
    let sandbox = Sandbox::new();
    sandbox.set("password", "correct horse");
    sandbox.set("bytes", b"\xff");
    let before = sandbox.bytes();
    let canary = "otpauth://totp/x?secret=CANARY1";
    let refused = sandbox.vault(&["otp", "site", "--import"]).stdin(canary).run().fails(2, "the secret is not base32");
    assert!(!refused.stderr.contains("CANARY"), "{}", refused.stderr);
    sandbox.vault(&["otp", "site", "--import"]).stdin("").run().fails(2, "neither an otpauth:// URI nor");
    sandbox.vault(&["otp", "site", "--import"]).run().fails(2, "there is no value");
    for name in ["password", "bytes"] {
        sandbox.vault(&["otp", name, "--import"]).stdin(uri()).run().fails(6, "holds something else");
        sandbox.vault(&["otp", name, "totp", "--import"]).stdin(uri()).run().fails(3, "not JSON");
    }
    for more in ["--uri", "--qr", "--clip", "-n", "--allow-expired"] {
        sandbox.vault(&["otp", "site", "--import", more]).stdin(uri()).run().ends(2);
    }
    assert_eq!(sandbox.bytes(), before);
    sandbox.vault(&["otp", "site", "--import"]).stdin(SECRET).run().ok();
    sandbox.vault(&["otp", "site", "--import"]).stdin(uri()).run().ok();
    assert_eq!(sandbox.get("site"), uri().as_bytes());
    sandbox.vault(&["otp", "new", "totp", "--import"]).stdin(SECRET).run().ok();
    assert_eq!(sandbox.get("new"), format!("{{\"totp\":\"{SECRET}\"}}").as_bytes());
}

#[test]
fn a_uri_for_another_device() {
    let sandbox = Sandbox::new();
    sandbox.set("home/mail", "gezd gnbv gy3t qojq");
    assert_eq!(
        sandbox.vault(&["otp", "home/mail", "--uri"]).run().ok().text(),
        "otpauth://totp/home%2Fmail?secret=GEZDGNBVGY3TQOJQ"
    );
    let drawn = sandbox.vault(&["otp", "home/mail", "--qr"]).run().ok();
    let text = drawn.text();
    assert!(drawn.stderr.is_empty() && text.lines().count() >= 17 && text.contains('▀') && !text.contains('\x1b'), "{text}");
    let widths: Vec<usize> = text.lines().map(|line| line.chars().count()).collect();
    assert!(widths.iter().all(|width| *width == widths[0]), "{text}");
    for more in ["--uri", "--clip", "-n"] {
        sandbox.vault(&["otp", "home/mail", "--qr", more]).run().ends(2);
    }
    let long = format!("otpauth://totp/{}?secret={SECRET}", "x".repeat(3000));
    sandbox.set("long", long);
    sandbox.vault(&["otp", "long", "--qr"]).run().fails(2, "too large");
}

#[test]
fn a_qr_code_at_a_terminal() {
    let sandbox = Sandbox::new();
    sandbox.set("site", uri());
    // Black on white by itself, so that the colours of the terminal do not matter.
    let screen = at_terminal(&sandbox, "stty rows 50 cols 100; vault otp site --qr", &[]).ends(0).screen;
    assert!(screen.lines().count() > 20 && screen.lines().all(|line| line.starts_with("\x1b[30;107m")), "{screen:?}");
    let screen = at_terminal(&sandbox, "stty rows 50 cols 100; NO_COLOR=1 vault otp site --qr", &[]).ends(0).screen;
    assert!(screen.contains('█') && !screen.contains('\x1b'), "{screen:?}");
    for size in ["rows 50 cols 30", "rows 10 cols 100"] {
        let screen = at_terminal(&sandbox, &format!("stty {size}; vault otp site --qr"), &[]).ends(2).screen;
        assert!(screen.contains("error: the QR code is too large: it takes") && !screen.contains('▀'), "{screen:?}");
    }
    assert_eq!(at_terminal(&sandbox, "vault otp site", &[]).ends(0).screen, format!("{FIRST}\r\n"));
    let dialogue = [("URI or secret for the codes of new", "GEZDGNBVGY3TQOJQ\n"), ("(again)", "GEZDGNBVGY3TQOJQ\n")];
    let screen = at_terminal(&sandbox, "vault otp new --import", &dialogue).ends(0).screen;
    assert!(!screen.contains("GEZDGNBV"), "{screen:?}");
}

#[test]
fn a_counter_does_not_move_for_a_code_that_nobody_gets() {
    let sandbox = Sandbox::new();
    let uri = "otpauth://hotp/s?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&counter=0";
    sandbox.vault(&["otp", "h", "--import"]).stdin(uri).run().ok();
    let clip = sandbox.vault(&["otp", "h", "--clip"]).env("PATH", "/nowhere").env("DISPLAY", ":0").run();
    clip.fails(13, "there is no clipboard");
    assert_eq!(sandbox.vault(&["otp", "h"]).run().ok().text(), "755224");
}

#[test]
fn the_clipboard_gets_the_code() {
    let sandbox = Sandbox::new();
    sandbox.set("site", uri());
    let bin = sandbox.path("bin");
    fs::create_dir(&bin).unwrap();
    // What was on it is kept: it may be cleared before it is looked at.
    for (name, script) in [("wl-copy", "tee \"$BOARD\" >> \"$BOARD.ever\""), ("wl-paste", "cat \"$BOARD\"")] {
        sandbox.script(bin.join(name), script);
    }
    let board = sandbox.path("board");
    let clip = |more: &[&str]| {
        let mut arguments = vec!["otp", "site", "--clip", "1"];
        arguments.extend(more);
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let got = sandbox.vault(&arguments).env("PATH", path).env("BOARD", &board).env("WAYLAND_DISPLAY", "x").run().ok();
        assert!(
            got.stdout.is_empty() && got.stderr.starts_with("copied; the clipboard is cleared in 1 seconds"),
            "{}",
            got.stderr
        );
        fs::read_to_string(sandbox.path("board.ever")).unwrap()
    };
    assert_eq!(clip(&[]), FIRST);
    assert_eq!(clip(&["--uri"]), format!("{FIRST}{}", uri()));
    crate::sandbox::wait_until("an empty clipboard", || fs::read(&board).unwrap().is_empty());
}
