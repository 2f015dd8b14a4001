//! `vault key import-env`, `vault key export-env`, and Fernet tokens

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::sandbox::Sandbox;

const ENV: &str = "\
# Keys of the old service
OTHER='it is kept'
ENCRYPTION_KEYS__V1=\"first key\"
ENCRYPTION_SALT__v1=old-salt # the library takes it for base64
ENCRYPTION_KEYS__v2='second \\ key \"quoted\"'
ENCRYPTION_SALT__V2=text:old-salt
ACTIVE_ENCRYPTION_VERSION=V2
";

fn filled() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("old.env", ENV);
    let said = sandbox.vault(&["key", "import-env", "old.env"]).run().ok();
    assert_eq!((said.text().as_str(), said.stderr.as_str()), ("", "took over: v1, v2; active: v2\n"));
    sandbox
}

#[test]
fn tokens_return() {
    let sandbox = filled();
    for plaintext in [&b""[..], b"text", &[0xff; 100_000]] {
        let token = sandbox.vault(&["encrypt", "--fernet"]).stdin(plaintext).run().ok();
        assert!(token.text().starts_with("gAAAAA") && token.stderr.contains("under the foreign key 'v2'"));
        let older = sandbox.vault(&["encrypt", "--fernet", "--key-version", "V1", "-q"]).stdin(plaintext).run().ok();
        assert!(older.stderr.is_empty());
        for token in [token.stdout, [&older.stdout[..], b"\n"].concat()] {
            for options in [&[][..], &["--key-version", "v1"], &["--key-version", "V2"], &["--max-age", "1h"]] {
                let back = sandbox.vault(&[&["decrypt"], options].concat()).stdin(&token).run().ok();
                assert!(back.stdout == plaintext && back.stderr.is_empty(), "{}", back.stderr);
            }
        }
    }
    sandbox.vault(&["check"]).run().ok();
    let token = sandbox.vault(&["encrypt", "--fernet"]).stdin("text").run().ok().stdout;
    for change in [&["compact"][..], &["key", "rotate", "--master"], &["key", "rotate", "--data", "--reseal"]] {
        sandbox.vault(change).run().ok();
        sandbox.vault(&["check"]).run().ok();
        assert_eq!(sandbox.vault(&["decrypt"]).stdin(&token).run().ok().stdout, b"text");
    }
}

#[test]
fn tokens_that_do_not_hold() {
    let sandbox = filled();
    let token = sandbox.vault(&["encrypt", "--fernet"]).stdin("text").run().ok().text();
    let decrypt = |token: &str, options: &[&str]| sandbox.vault(&[&["decrypt"], options].concat()).stdin(token).run();
    decrypt(&token, &["--key-version", "v3"]).fails(3, "there is no foreign key 'v3'");
    // Another tag, another version, other padding, cut, more behind it.
    let swapped = if token.as_bytes()[90] == b'A' { "B" } else { "A" };
    decrypt(&format!("{}{swapped}{}", &token[..90], &token[91..]), &[]).fails(8, "damaged, or was made with another key");
    decrypt(&token.replacen("gAAA", "gQAA", 1), &[]).fails(8, "is none");
    decrypt(&token.replacen("gA", "hA", 1), &[]).fails(8, "neither an encrypted stream nor");
    decrypt(token.trim_end_matches('='), &[]).fails(8, "cut");
    for cut in [1, 2, 50, token.len() - 4] {
        decrypt(&token[..cut], &[]).fails(8, "");
    }
    decrypt(&format!("{token}AAAA"), &[]).fails(8, "");
    decrypt(&"gAAA".repeat((64 << 18) + 1), &[]).fails(8, "longer than 64 MiB");
    sandbox.vault(&["decrypt", "--out", "plain"]).stdin(&token[..50]).run().fails(8, "");
    assert!(!sandbox.path("work/plain").exists());
    // Of the year 1985, and of the year 2100; their time counts only when it is asked for.
    let old = Sandbox::new();
    old.vault(&["key", "import-env"]).env("ENCRYPTION_KEYS__v", "my-key").env("ENCRYPTION_SALT__v", "text:salt").run().ok();
    let made: serde_json::Value = serde_json::from_str(include_str!("../vectors-foreign/fernet.json")).unwrap();
    let token = made["tokens"].as_array().unwrap().iter().find(|one| one["plaintext"] == "YQ==").unwrap();
    let token = token["token"].as_str().unwrap();
    assert_eq!(old.vault(&["decrypt"]).stdin(token).run().ok().stdout, b"a");
    old.vault(&["decrypt", "--max-age", "1d"]).stdin(token).run().fails(9, "older than --max-age");
    let info = old.vault(&["decrypt", "--info", "--format", "json"]).stdin(token).without_env("VAULT_KEY_FILE").run().ok().json();
    assert_eq!((&info["kind"], &info["created"]), (&"fernet".into(), &"2023-11-14T22:13:21Z".into()));
}

#[test]
fn keys_of_the_environment_open_without_a_vault() {
    let made: serde_json::Value = serde_json::from_str(include_str!("../vectors-foreign/fernet.json")).unwrap();
    let token = made["tokens"][3]["token"].as_str().unwrap();
    let sandbox = Sandbox::empty();
    let decrypt = |options: &[&str]| {
        sandbox.vault(&[&["decrypt"], options].concat()).env("ENCRYPTION_SALT__V7", "hex:73616c74").stdin(token)
    };
    let with_key = |options: &[&str]| decrypt(options).env("ENCRYPTION_KEYS__v7", "my-key");
    let opened = with_key(&[]).run().ok();
    assert_eq!(opened.text(), "texto é");
    assert!(opened.stderr.contains("the key 'v7' of the environment"), "{}", opened.stderr);
    assert!(with_key(&["--key-version", "v7", "-q"]).run().ok().stderr.is_empty());
    with_key(&["--iterations", "1000"]).run().fails(8, "another key");
    with_key(&["--key-version", "v8"]).run().fails(3, "there is no foreign key 'v8'");
    decrypt(&[]).run().fails(5, "there is no vault");
    // What cannot be used there does not keep the vault's keys from being used.
    let sandbox = filled();
    let token = sandbox.vault(&["encrypt", "--fernet"]).stdin("text").run().ok().stdout;
    let opened = sandbox.vault(&["decrypt"]).env("ENCRYPTION_KEYS__v7", "without a salt").stdin(&token).run().ok();
    assert!(opened.stdout == b"text" && opened.stderr.contains("are not used: the key 'v7' has no salt"), "{}", opened.stderr);
    let opened =
        sandbox.vault(&["decrypt"]).env("ENCRYPTION_KEYS__v7", "k").env("ENCRYPTION_SALT__v7", "s").stdin(&token).run().ok();
    assert!(opened.stdout == b"text" && opened.stderr.is_empty());
    let none = Sandbox::new();
    none.vault(&["decrypt"]).stdin(&token).run().fails(4, "no foreign key");
    none.vault(&["encrypt", "--fernet"]).stdin("x").run().fails(3, "no active foreign key");
}

#[test]
fn a_version_is_never_replaced() {
    let sandbox = filled();
    let before = sandbox.bytes();
    sandbox.vault(&["key", "import-env", "old.env"]).run().fails(6, "'v1' is there already; nothing was changed");
    sandbox.write("more.env", "ENCRYPTION_KEYS__v0=a\nENCRYPTION_SALT__v0=b\nENCRYPTION_KEYS__V2=c\nENCRYPTION_SALT__V2=d\n");
    sandbox.vault(&["recipient", "import-env", "more.env"]).run().fails(6, "'v2' is there already");
    sandbox.write("twice.env", "ENCRYPTION_KEYS__v0=a\nENCRYPTION_SALT__v0=b\nENCRYPTION_KEYS__V0=c\n");
    sandbox.vault(&["key", "import-env", "twice.env"]).run().fails(6, "there twice");
    assert_eq!(sandbox.bytes(), before);
    sandbox.write("v3.env", "ENCRYPTION_KEYS__v3=a\nENCRYPTION_SALT__v3=b\n");
    let said =
        sandbox.vault(&["key", "import-env", "-", "--iterations", "7"]).stdin("ENCRYPTION_KEYS__v3=a\nENCRYPTION_SALT__v3=b\n");
    assert!(said.run().ok().stderr.contains("took over: v3; active: v3"));
}

#[test]
fn what_cannot_be_imported() {
    let sandbox = Sandbox::new();
    let import = |text: &str| sandbox.vault(&["key", "import-env", "-"]).stdin(text).run();
    import("A=1\n").fails(3, "no variable ENCRYPTION_KEYS__");
    sandbox.vault(&["key", "import-env"]).run().fails(3, "no variable ENCRYPTION_KEYS__");
    import("ENCRYPTION_KEYS__v1=k\n").fails(2, "the key 'v1' has no salt");
    import("ENCRYPTION_KEYS__v1=k\nENCRYPTION_SALT__v1=hex:0\n").fails(2, "is not hex digits");
    let two = "ENCRYPTION_KEYS__v1=k\nENCRYPTION_SALT__v1=s\nENCRYPTION_KEYS__v2=k\nENCRYPTION_SALT__v2=s\n";
    import(two).fails(2, "none is said to be the active one");
    import(&format!("{two}ACTIVE_ENCRYPTION_VERSION=v3\n")).fails(2, "'v3' is none of the keys");
    let hash = "ENCRYPTION_SALT_HASH__v1=00\nACTIVE_ENCRYPTION_VERSION=v1\n";
    import(&format!("{two}{hash}")).fails(8, "the salt of the key 'v1'");
    import("ENCRYPTION_KEYS__v1=k\nENCRYPTION_SALT__v1=s\nENCRYPTION_ENV_CHECKSUM=00\n").fails(8, "does not hold");
    import("broken line\n").fails(2, "line 1");
    sandbox
        .vault(&["key", "import-env", "--iterations", "0"])
        .env("ENCRYPTION_KEYS__v1", "k")
        .env("ENCRYPTION_SALT__v1", "s")
        .run()
        .fails(2, "rounds are 1 to");
    sandbox.vault(&["key"]).run().ends(2);
}

#[test]
fn what_is_exported_reads_back() {
    let sandbox = filled();
    let text = sandbox.vault(&["key", "export-env"]).run().ok().text();
    for line in [
        "ENCRYPTION_KEYS__v1='first key'",
        "ENCRYPTION_SALT__v1='a2577eb1a96d'",
        "ENCRYPTION_KEYS__v2='second \\ key \"quoted\"'",
        "ENCRYPTION_SALT__v2='6f6c642d73616c74'",
        "ACTIVE_ENCRYPTION_VERSION='v2'",
    ] {
        assert!(text.lines().any(|found| found == line), "{text}");
    }
    assert_eq!(text.lines().count(), 8);
    sandbox.vault(&["key", "export-env", "--out", "new.env"]).run().ok();
    assert_eq!(fs::read_to_string(sandbox.path("work/new.env")).unwrap(), text);
    assert_eq!(fs::metadata(sandbox.path("work/new.env")).unwrap().permissions().mode() & 0o777, 0o600);
    sandbox.vault(&["key", "export-env", "--out", "new.env"]).run().fails(6, "exists already");
    sandbox.vault(&["key", "export-env", "--out", "new.env", "--force"]).run().ok();

    let token = sandbox.vault(&["encrypt", "--fernet"]).stdin("text").run().ok().stdout;
    let other = Sandbox::new();
    other.write("new.env", &text);
    other.vault(&["key", "export-env"]).run().fails(3, "no foreign keys");
    other.vault(&["key", "import-env", "new.env"]).run().ok();
    assert_eq!(other.vault(&["decrypt"]).stdin(&token).run().ok().stdout, b"text");
    assert_eq!(other.vault(&["key", "export-env"]).run().ok().text(), text);
    other.write("new.env", text.replace("first", "other"));
    Sandbox::new().vault(&["key", "import-env", other.path("work/new.env").to_str().unwrap()]).run().fails(8, "was changed");
}

#[test]
fn what_else_is_in_the_file_stays() {
    let sandbox = filled();
    fs::set_permissions(sandbox.path("work/old.env"), fs::Permissions::from_mode(0o644)).unwrap();
    let more = "ENCRYPTION_KEYS__v9=\"a key\n of another place\"\nENCRYPTION_SALT__v9=x\n# the end";
    sandbox.write("old.env", format!("{ENV}{more}"));
    let said = sandbox.vault(&["key", "export-env", "--out", "old.env", "--append"]).run().ok();
    assert_eq!(said.stderr, "wrote 2 keys; 3 other variables were kept\n");
    let text = fs::read_to_string(sandbox.path("work/old.env")).unwrap();
    assert!(
        text.starts_with(&format!("# Keys of the old service\nOTHER='it is kept'\n{more}\nENCRYPTION_KEYS__v1='first key'\n")),
        "{text}"
    );
    assert_eq!(fs::metadata(sandbox.path("work/old.env")).unwrap().permissions().mode() & 0o777, 0o600);
    // The sum is over all of it; a second time nothing changes.
    sandbox.vault(&["key", "export-env", "--out", "old.env", "--append", "-q"]).run().ok();
    assert_eq!(fs::read_to_string(sandbox.path("work/old.env")).unwrap(), text);
    let other = Sandbox::new();
    other.write("old.env", &text);
    assert!(other.vault(&["key", "import-env", "old.env"]).run().ok().stderr.contains("v1, v2, v9; active: v2"));
    // A file with another key of the same name would lose it.
    let clash = "ENCRYPTION_KEYS__V1=other\nENCRYPTION_SALT__V1=s\n";
    sandbox.write("clash.env", clash);
    sandbox
        .vault(&["key", "export-env", "--out", "clash.env", "--append"])
        .run()
        .fails(6, "another key 'v1', which would be lost");
    assert_eq!(fs::read_to_string(sandbox.path("work/clash.env")).unwrap(), clash);
    sandbox.write("dollar.env", "URL='http://${HOST}/'\n");
    let said = sandbox.vault(&["key", "export-env", "--out", "dollar.env", "--append"]).run().ok();
    assert!(said.stderr.contains("there is no checksum"));
    assert!(!fs::read_to_string(sandbox.path("work/dollar.env")).unwrap().contains("CHECKSUM"));
    sandbox.vault(&["key", "export-env", "--append"]).run().ends(2);
}

#[test]
fn keys_are_not_shown_at_a_terminal() {
    let sandbox = filled();
    let terminal = |command: &str| {
        let session = crate::prompts::at_terminal(&sandbox, command, &[]);
        (session.code, session.screen)
    };
    let (code, screen) = terminal("vault key export-env");
    assert!(code == 2 && !screen.contains("first key"), "{code} {screen}");
    let (code, screen) = terminal("vault key export-env --force");
    assert!(code == 0 && screen.contains("first key"), "{code} {screen}");
}
