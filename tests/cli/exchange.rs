//! Formats of other programs: `vault export` for them, `vault import` from them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use keepass::config::{DatabaseConfig, KdfConfig};
use keepass::{Database, DatabaseKey};
use vault::crypto::{AgeRecipient, encrypt_age_stream};

use crate::sandbox::{Sandbox, canary, identity, is_installed, is_there};

const HOSTILE: &[&str] = &[
    "",
    " ",
    "it's",
    "\"",
    "a\nb\n",
    "\r\n",
    "$HOME ${X} $(id)",
    "`id`",
    "\\",
    "\\n\\'",
    "%s%25",
    "#x",
    "=1",
    "😀",
    "\u{2018}x\u{2019}",
    "\u{201c}$x\u{201d}",
    "EOF\n",
    "\t",
    "-n",
    "~",
    "*",
    "!x",
    "::add-mask::x",
];

fn hostile(sandbox: &Sandbox, lines_only: bool) -> Vec<(String, Vec<u8>)> {
    let large = "x'\"$é ".repeat(1 << 17);
    let values = HOSTILE.iter().copied().chain([large.as_str()]).filter(|value| !lines_only || !value.contains(['\n', '\r']));
    let values: Vec<_> = values.enumerate().map(|(at, value)| (format!("V{at}"), value.as_bytes().to_vec())).collect();
    for (name, value) in &values {
        sandbox.set(name, value);
    }
    values
}

#[test]
fn every_format_gives_hostile_values_back() {
    for (format, file) in
        [("fish", "v.fish"), ("powershell", "v.ps1"), ("github-env", "v"), ("k8s", "v"), ("docker", "v"), ("systemd", "creds")]
    {
        let sandbox = Sandbox::new();
        let mut values = hostile(&sandbox, format == "docker");
        if ["k8s", "systemd"].contains(&format) {
            let bytes: Vec<u8> = (0..=255).collect();
            sandbox.set("BYTES", &bytes);
            values.push(("BYTES".to_owned(), bytes));
        }
        let said = sandbox.vault(&["export", "--format", format, "--out", file]).run().ok();
        assert_eq!(said.stdout.is_empty(), format != "systemd");
        sandbox.vault(&["init", "--vault", "other", "--key-file", "k", "-q"]).run().ok();
        let other = ["--vault", "other", "--key-file", "k"];
        sandbox.vault(&["import", file, "--format", format]).run().fails(6, "exist already");
        sandbox.vault(&[&["import", file, "--format", format][..], &other].concat()).run().ok();
        for (name, value) in values {
            let back = sandbox.vault(&[&["get", &name][..], &other].concat()).run().ok().stdout;
            assert!(back == value, "{format}: {name}");
        }
    }
}

#[test]
fn the_real_programs_read_what_is_written_for_them() {
    let sandbox = Sandbox::new();
    let values = hostile(&sandbox, false);
    // More than a program can be started with is no value of a variable.
    let values = values.iter().filter(|(_, value)| value.len() < 100_000);
    if is_installed("fish") {
        for (name, value) in values.clone() {
            let script = format!("vault export --format fish | source; printf %s \"${name}\"");
            let out = sandbox.program("fish", &["--no-config", "-c", &script]).run();
            assert!(out.stdout == *value, "{name}: {}", out.stderr);
        }
    }
    if is_there("pwsh") {
        for (name, value) in values.filter(|(_, value)| !value.is_empty()) {
            let script =
                format!("vault export --format powershell | Out-String | Invoke-Expression; [Console]::Out.Write($env:{name})");
            assert!(sandbox.program("pwsh", &["-NoProfile", "-Command", &script]).run().stdout == *value, "{name}");
        }
    }
}

#[test]
fn what_a_format_cannot_hold_is_refused_by_name() {
    let sandbox = Sandbox::new();
    let secret = canary();
    sandbox.set("cert", format!("{secret}\nline 2"));
    for arguments in [&["docker"][..], &["docker", "--out", "file"]] {
        let failed = sandbox.vault(&[&["export", "--format"][..], arguments].concat()).run().fails(2, "\"cert\"");
        assert!(!failed.stderr.contains(&secret) && failed.stderr.contains("line end"));
    }
    assert!(!sandbox.path("work/file").exists());
    sandbox.vault(&["rm", "cert"]).run().ok();
    sandbox.set("nul", format!("{secret}\0"));
    for format in ["dotenv", "shell", "fish", "powershell", "docker", "github-env"] {
        let failed = sandbox.vault(&["export", "--format", format]).run().fails(2, "\"nul\"");
        assert!(!failed.stderr.contains(&secret));
    }
    for name in ["Db", "a_b", "-a", "", "a/b"] {
        sandbox.vault(&["export", "--format", "k8s", &format!("--name={name}")]).run().fails(2, "Kubernetes");
    }
    sandbox.vault(&["export", "--format", "k8s", "--namespace", "a.b"]).run().fails(2, "the namespace");
    sandbox.vault(&["export", "--format", "json", "--namespace", "a"]).run().fails(2, "--format k8s");
    sandbox.vault(&["export", "--format", "systemd"]).run().fails(2, "--out");
}

#[test]
fn a_delimiter_cannot_be_guessed() {
    let sandbox = Sandbox::new();
    sandbox.set("A", "x");
    let first = || {
        let text = sandbox.vault(&["export", "--format", "github-env"]).run().ok().text();
        let delimiter = text.lines().next().unwrap().strip_prefix("A<<").unwrap().to_owned();
        assert_eq!(text, format!("A<<{delimiter}\nx\n{delimiter}\n"));
        assert!(delimiter.len() >= 32);
        delimiter
    };
    assert_ne!(first(), first());
}

#[test]
fn a_secret_of_kubernetes() {
    let sandbox = Sandbox::new();
    sandbox.vault(&["set", "db", "--json"]).stdin(r#"{"user":"u","password":"p"}"#).run().ok();
    let text = sandbox.vault(&["export", "--format", "k8s", "--name", "app", "--namespace", "prod"]).run().ok().text();
    assert_eq!(
        text,
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: \"app\"\n  namespace: \"prod\"\ntype: Opaque\ndata:\n  \
         \"DB_USER\": \"dQ==\"\n  \"DB_PASSWORD\": \"cA==\"\n"
    );
}

#[test]
fn credentials_are_private_files_and_the_lines_that_load_them() {
    let sandbox = Sandbox::new();
    sandbox.set("db/password", "p\n");
    let said = sandbox.vault(&["export", "--format", "systemd", "--out", "creds"]).run().ok();
    let directory = sandbox.path("work/creds");
    // What the unit needs is data, and not a note.
    let line = format!("LoadCredential=DB_PASSWORD:{}/DB_PASSWORD\n", directory.display());
    assert_eq!((said.text(), said.stderr.as_str()), (line.clone(), ""));
    assert_eq!(sandbox.vault(&["export", "--format", "systemd", "--out", "creds", "-q"]).run().ok().text(), line);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&directory), mode(&directory.join("DB_PASSWORD"))), (0o700, 0o600));
    assert_eq!(fs::read(directory.join("DB_PASSWORD")).unwrap(), b"p\n");
}

#[test]
fn the_environment() {
    let mut sandbox = Sandbox::new();
    let secret = canary();
    for (name, value) in [
        ("APP_DB_PASSWORD", secret.as_str()),
        ("APP_KEYBOARD", "qwerty"),
        ("APP_PORT", "80"),
        ("APP_EMPTY_TOKEN", ""),
        ("KEY_PORT", "81"),
        ("PGPASSWORD", "pg"),
        ("VAULT_SERVER_TOKEN", "own"),
    ] {
        sandbox.set_env(name, value);
    }
    let import = |arguments: &[&str]| sandbox.vault(&[&["import", "env"][..], arguments].concat()).run().ok();
    let before = sandbox.bytes();
    assert_eq!(import(&["--dry-run"]).text(), "APP_DB_PASSWORD\nKEY_PORT\nPGPASSWORD\n");
    assert_eq!(import(&["--dry-run", "--prefix", "APP_"]).text(), "APP_DB_PASSWORD\n");
    // A prefix that is a word of the list does not make everything a secret.
    assert_eq!(import(&["--dry-run", "--prefix", "KEY_"]).text(), "");
    assert_eq!(import(&["--dry-run", "--prefix", "KEY_", "--classic"]).text(), "KEY_PORT\n");
    assert_eq!(import(&["--dry-run", "--prefix", "APP_", "--classic"]).text(), "APP_DB_PASSWORD\nAPP_KEYBOARD\n");
    assert_eq!(import(&["--dry-run", "--match", "*PORT"]).text(), "APP_PORT\nKEY_PORT\n");
    assert!(sandbox.bytes() == before);
    let done = import(&["--prefix", "APP_"]);
    assert_eq!((done.stderr.as_str(), done.text().as_str()), ("1 created, 0 updated, 0 skipped\n", ""));
    assert_eq!(sandbox.list(), ["APP_DB_PASSWORD"]);
    assert_eq!(sandbox.get("APP_DB_PASSWORD"), secret.as_bytes());
    assert!(sandbox.vault(&["info", "APP_DB_PASSWORD"]).run().ok().text().contains("meta source"));
    sandbox.vault(&["import", "env", "--format", "dotenv"]).run().fails(2, "no format");
    sandbox.write("env", "FILE=1\n");
    sandbox.vault(&["import", "./env", "--format", "dotenv"]).run().ok();
    assert_eq!(sandbox.get("FILE"), b"1");
    sandbox.vault(&["import", "./env", "--format", "dotenv", "--classic"]).run().fails(2, "vault import env");
}

#[test]
fn a_keepass_database() {
    let sandbox = Sandbox::new();
    let mut config = DatabaseConfig::default();
    config.kdf_config = KdfConfig::Aes { rounds: 10 };
    let mut database = Database::with_config(config);
    let mut root = database.root_mut();
    let mut group = root.add_group();
    group.name = "ops".to_owned();
    let mut entry = group.add_entry();
    entry.set_unprotected("Title", "db");
    entry.set_unprotected("UserName", "u");
    entry.set_protected("Password", "p'\"$`\n");
    for (name, key) in [
        ("p.kdbx", DatabaseKey::new().with_password("demo")),
        ("k.kdbx", DatabaseKey::new().with_keyfile(&mut &b"key bytes"[..]).unwrap()),
    ] {
        let mut bytes = Vec::new();
        database.save(&mut bytes, key).unwrap();
        sandbox.write(name, bytes);
    }
    sandbox.write("pass", "demo\n");
    sandbox.write("wrong", "other\n");
    sandbox.write("key", "key bytes");
    sandbox.vault(&["import", "p.kdbx"]).run().fails(4, "needs a key");
    sandbox.vault(&["import", "p.kdbx", "--source-passphrase-file", "wrong"]).run().fails(4, "cannot be opened");
    sandbox.vault(&["import", "key", "--format", "kdbx", "--source-passphrase-file", "pass"]).run().fails(2, "not a KeePass");
    sandbox.vault(&["import", "p.kdbx", "--source-passphrase-file", "pass"]).run().ok();
    assert_eq!(sandbox.vault(&["get", "ops/db", "password"]).run().ok().stdout, b"p'\"$`\n");
    sandbox.vault(&["import", "k.kdbx", "--source-key-file", "key", "--prefix", "k/"]).run().ok();
    assert_eq!(sandbox.vault(&["get", "k/ops/db", "username"]).run().ok().stdout, b"u");
}

#[test]
fn exports_of_password_managers() {
    let sandbox = Sandbox::new();
    sandbox.write("b.json", r#"{"encrypted":false,"items":[{"type":1,"name":"site","login":{"username":"u","password":"p"}}]}"#);
    sandbox.write("o.csv", "Title,Url,Username,Password,OTPAuth,Favorite,Archived,Tags,Notes\nbank,,,\"p\"\"'$\",,,,t,\n");
    sandbox.write("s.yaml", "app:\n  token: \"t'$\"\n");
    sandbox.write("e.yaml", "app: ENC[AES256_GCM,data:x,iv:x,tag:x,type:str]\nsops: {mac: x}\n");
    sandbox.vault(&["import", "b.json", "--format", "bitwarden"]).run().ok();
    sandbox.vault(&["import", "o.csv", "--format", "1password"]).run().ok();
    sandbox.vault(&["import", "s.yaml", "--format", "sops"]).run().ok();
    sandbox.vault(&["import", "e.yaml", "--format", "sops"]).run().fails(2, "encrypted");
    assert_eq!(sandbox.vault(&["get", "site", "password"]).run().ok().stdout, b"p");
    assert_eq!(sandbox.get("bank"), b"p\"'$");
    assert_eq!(sandbox.vault(&["get", "app", "token"]).run().ok().stdout, b"t'$");
}

fn age_file(recipient: &str, content: &str, armor: bool) -> Vec<u8> {
    let mut file = Vec::new();
    encrypt_age_stream(&AgeRecipient::parse(recipient).unwrap(), armor, &mut content.as_bytes(), &mut file).unwrap();
    file
}

#[test]
fn stores_of_age_files() {
    let sandbox = Sandbox::new();
    let (secret, recipient) = identity();
    sandbox.write("id", format!("{secret}\n"));
    fs::create_dir_all(sandbox.path("work/store/web")).unwrap();
    sandbox.write("store/web/site.age", age_file(&recipient, "p\nuser: me\n", false));
    sandbox.write("store/.age-recipients", "x");
    sandbox.vault(&["import", "store", "--format", "gopass"]).run().fails(2, "is an age file");
    sandbox.vault(&["import", "store", "--format", "gopass", "--backup-identity", "id"]).run().ok();
    assert_eq!(sandbox.get("web/site"), br#"{"password":"p","user":"me"}"#);
    fs::create_dir(sandbox.path("work/kbs2")).unwrap();
    let record = r#"{"timestamp":1,"label":"token","body":{"kind":"Environment","fields":{"variable":"T","value":"v'$"}}}"#;
    sandbox.write("kbs2/token", age_file(&recipient, record, true));
    sandbox.vault(&["import", "kbs2", "--format", "kbs2", "--backup-identity", "id"]).run().ok();
    assert_eq!(sandbox.get("token"), b"v'$");
    let (other, _) = identity();
    sandbox.write("other", format!("{other}\n"));
    sandbox.vault(&["import", "kbs2", "--format", "kbs2", "--backup-identity", "other"]).run().fails(4, "cannot be opened");
}

#[test]
fn a_store_of_pass() {
    if !is_installed("gpg") {
        return;
    }
    let mut sandbox = Sandbox::new();
    let home = sandbox.path("home/gnupg");
    fs::create_dir(&home).unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
    sandbox.set_env("GNUPGHOME", &home);
    let gpg = |arguments: &[&str]| {
        let all = [&["--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""][..], arguments].concat();
        sandbox.program("gpg", &all)
    };
    gpg(&["--quick-gen-key", "test@example.org", "default", "default", "never"]).run().ok();
    fs::create_dir_all(sandbox.path("work/store/web")).unwrap();
    for (name, text) in [("plain", "p'\"$`\n"), ("web/site", "p\nuser: me\n")] {
        let out = format!("store/{name}.gpg");
        gpg(&["--trust-model", "always", "--recipient", "test@example.org", "--output", &out, "--encrypt"])
            .stdin(text)
            .run()
            .ok();
    }
    sandbox.write("store/.gpg-id", "test@example.org\n");
    sandbox.vault(&["import", "store", "--format", "pass", "--no-input"]).run().ok();
    assert_eq!(sandbox.list(), ["plain", "web/site"]);
    assert_eq!((sandbox.get("plain"), sandbox.get("web/site")), (b"p'\"$`".to_vec(), b"p\nuser: me\n".to_vec()));
    sandbox.write("store/bad.gpg", "no message");
    let before = sandbox.bytes();
    sandbox.vault(&["import", "store", "--format", "pass", "--prefix", "x/"]).run().fails(4, "gpg does not decrypt");
    assert!(sandbox.bytes() == before);
    // The agent would outlive the directory.
    let mut stop = sandbox.program("gpgconf", &["--kill", "gpg-agent"]).into_command();
    let _ = stop.stdout(Stdio::null()).stderr(Stdio::null()).status();
}

#[test]
fn masks_come_first_and_only_where_they_are_asked_for() {
    let mut sandbox = Sandbox::new();
    let secret = canary();
    sandbox
        .vault(&["set", "db", "--json"])
        .stdin(format!(r#"{{"user":"u","pass":"{secret}","note":"500%\nsecond \"line\""}}"#))
        .run()
        .ok();
    let get = |sandbox: &Sandbox, arguments: &[&str]| sandbox.vault(&[&["get", "db", "pass"][..], arguments].concat()).run().ok();
    let masked = get(&sandbox, &["--ci", "github", "-q"]);
    assert_eq!((masked.text(), masked.stderr), (secret.clone(), format!("::add-mask::{secret}\n")));
    let auto = get(&sandbox, &["--ci", "auto"]);
    assert!(auto.stderr.is_empty() && get(&sandbox, &[]).stderr.is_empty());
    let gitlab = get(&sandbox, &["--ci", "gitlab"]);
    assert!(gitlab.stderr.contains("not masked") && !gitlab.stderr.contains(&secret));
    sandbox.set_env("GITHUB_ACTIONS", "true");
    assert_eq!(get(&sandbox, &["--ci", "auto"]).stderr, format!("::add-mask::{secret}\n"));
    assert!(get(&sandbox, &[]).stderr.is_empty());
    let whole = sandbox.vault(&["export", "--format", "github-env", "--ci", "auto"]).run().ok();
    let masks: Vec<&str> = whole.stderr.lines().collect();
    for mask in [secret.as_str(), "500%25", "second \"line\"", "second \\\"line\\\""] {
        let line = format!("::add-mask::{mask}");
        assert!(masks.iter().any(|mask| *mask == line), "{mask}: {masks:?}");
    }
    // Of the commands that hand values on, only what they hand on.
    sandbox.write("t", "x {{ vault://db#pass }}");
    for (arguments, text) in [
        (&["inject", "-i", "t"][..], format!("x {secret}")),
        (&["run", "--no-mask", "--map", "A=db#pass", "--shell", "printf %s \"x $A\""], format!("x {secret}")),
    ] {
        let run = |ci: &[&str]| sandbox.vault(&[&arguments[..1], ci, &arguments[1..]].concat()).run().ok();
        let masked = run(&["--ci", "auto"]);
        assert_eq!((masked.text(), masked.stderr), (text.clone(), format!("::add-mask::{secret}\n")));
        assert!(run(&[]).stderr.is_empty());
    }
    // Three characters are no mask, and it is said so.
    assert!(masks.last().unwrap().contains("not masked"), "{masks:?}");
    assert!(whole.text().contains(&secret));
}
