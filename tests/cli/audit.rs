//! `vault audit`, and what every command records.

use std::fs;
use std::io::BufRead as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::sandbox::{Output, PATIENCE, Sandbox, VAULT, canary, fields, identity, is_installed, is_root, now, wait_until};

/// What a record is shown as.
const RECORD: [&str; 22] = [
    "sequence",
    "time",
    "action",
    "result",
    "name",
    "environment",
    "uid",
    "entry_version",
    "source",
    "user",
    "user_name",
    "process",
    "pid",
    "directory",
    "client",
    "request_id",
    "user_agent",
    "error",
    "key",
    "key_label",
    "detail",
    "authentic",
];

fn log(sandbox: &Sandbox) -> PathBuf {
    sandbox.path("test.vault.audit")
}

#[track_caller]
fn records(sandbox: &Sandbox) -> Vec<Value> {
    let json = sandbox.vault(&["audit", "show", "--format", "json"]).run().ok().json();
    json["records"].as_array().unwrap().clone()
}

/// `action result entry version`, as far as there is something to say.
fn short(record: &Value) -> String {
    let text = |field: &str| record[field].as_str().map(str::to_owned);
    let version = record["entry_version"].as_u64().map(|version| version.to_string());
    let name = match (text("name"), text("environment")) {
        (Some(name), Some(environment)) => Some(format!("{name}@{environment}")),
        (name, _) => name,
    };
    [text("action"), text("result"), name, version].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn configure(sandbox: &Sandbox, text: &str) {
    fs::create_dir_all(sandbox.path("config/vault")).unwrap();
    fs::write(sandbox.path("config/vault/config.toml"), text).unwrap();
}

/// What each command records, `;` between records; nothing behind `=` is nothing.
fn table(recipient: &str) -> Vec<(String, String)> {
    let lines = "
        printf v | vault set a --category c = set ok a 1
        printf w | vault set a = set ok a 2
        printf v | vault set a -e prod = set ok a@prod 1
        vault set a --meta-only --tag t = set ok a 2
        printf v | vault set a --create-only; true = set conflict a
        printf v | vault set a --if-version 9; true = set conflict a
        printf v | vault set new --meta-only --tag t; true = set not_found new
        echo '{\"f\":\"v\"}' | vault set j --json = set ok j 1
        printf x | vault set j --field f = set ok j 2
        vault get a = get ok a 2
        vault get a --version 1 = get ok a 1
        vault get a -e prod = get ok a@prod 1
        vault get j -e prod = get ok j 2
        vault get j f = get ok j 2
        vault get j nothing; true = get not_found j 2
        vault get none; true = get not_found none
        vault get none --default x = get not_found none
        vault get a --version 9; true = get not_found a 2
        vault get a --out out = get ok a 2
        printf v | vault set old --ttl 0s = set ok old 1
        vault get old; true = get expired old 1
        vault get old --allow-expired = get ok old 1
        vault rm old = rm ok old 1
        vault rm none; true = rm not_found none
        vault list =
        vault list --format json --reveal = reveal ok a 2;reveal ok j 2
        vault info a =
        vault history a =
        vault find v; true =
        vault find x --values; true = find ok
        vault rollback a --version 1 = rollback ok a 3
        vault rollback a --version 9; true = rollback not_found a
        printf r | vault rotate a = rotate ok a 4
        printf r | vault rotate none; true = rotate not_found none
        vault cp a b = cp ok b 1
        vault cp a b; true = cp conflict a
        vault mv b c = mv ok c 1
        vault mv b c; true = mv not_found b
        EDITOR=true vault edit c = edit ok c 1
        EDITOR='printf new >' vault edit c = edit ok c 1;set ok c 2
        vault export --format json --category c = export ok a 4;export ok c 2
        vault export --format dotenv > out = export ok a 4;export ok c 2;export ok j 2
        echo '{{ vault://a }} {{ vault://j#f }}' | vault inject = inject ok a 4;inject ok j 2
        echo '{{ vault://none }}' | vault inject; true = inject not_found none
        vault run --only a -- true = run ok a 4
        vault run --map X=j#f --no-mask -- true = run ok j 2
        vault run --map X=none -- true; true = run not_found none
        vault run --only none -- true; true = run not_found none
        echo '{\"i\":\"v\"}' > i.json; vault import i.json = import ok;import ok i 1
        vault import i.json; true = import conflict
        vault import i.json --dry-run --overwrite =
        vault scan i.json; true = scan ok
        vault redact < i.json = redact ok
        vault mask i.json =
        vault encrypt i.json --out enc = encrypt ok
        vault decrypt enc = decrypt ok
        head -c -5 enc | vault decrypt; true = decrypt ok;decrypt error
        vault check = check ok
        vault compact = compact ok
        vault backup copy = backup ok
        vault diff copy ../test.vault = diff ok;diff ok
        vault merge copy = merge ok
        vault restore copy --force = restore ok;restore ok a 4;restore ok c 2;restore ok i 1;restore ok j 2;restore ok a@prod 1
        vault trust = trust ok
        vault key list =
        vault key add --label r --recipient RECIPIENT = key-add ok
        vault key add --label r --recipient RECIPIENT; true = key-add conflict
        vault key rename r s = key-rename ok
        vault key trust s = key-trust ok
        vault key rotate --master = key-rotate ok
        vault key rotate --data --reseal = key-rotate ok
        vault key remove s = key-remove ok
        vault key remove s; true = key-remove not_found
        printf 'ENCRYPTION_KEYS__v1=k\\nENCRYPTION_SALT__v1=s\\n' > f.env; vault key import-env f.env = key-import-env ok
        vault key export-env = key-export-env ok
        vault encrypt --fernet i.json --out token = encrypt ok
        vault decrypt token = decrypt ok
        printf 'protocol=https\\nhost=h\\nusername=u\\npassword=p\\n' | vault git credential store = set ok git/h 1
        printf 'protocol=https\\nhost=h\\n' | vault git credential get = credential ok git/h 1
        printf 'protocol=https\\nhost=h\\n' | vault git credential erase = rm ok git/h 1
        printf 'Passw0rd!' | vault user add ann = user-add ok
        printf 'Passw0rd!' | vault user add bob; vault user rm bob = user-add ok;user-remove ok
        printf 'Passw0rd!' | vault user add Ann; true = user-add conflict
        printf 'Passw0rd!' | vault user passwd ann = user-change ok
        vault user disable ann; vault user enable ann; vault user enable ann = user-change ok;user-change ok
        vault user role bob admin; true = user-change not_found
        vault user list; vault user show ann =
        vault user export ann --reveal = user-export ok
        vault user rm bob; true = user-remove not_found
        printf '{\"username\":\"eve\",\"salt\":\"\",\"password\":\"$2b$12$JragOS3tyq.cFBuKVGhNVeAL9rbhZRPNuHxwzyHRt2afDiuV3fX/y\"}' > u.json =
        vault user import u.json --no-pepper --dry-run =
        vault user import u.json --no-pepper = user-import ok;user-import ok
        vault status; true =
        vault doctor; true =
        vault generate pin:4 =
        vault audit verify =
        vault audit prune --keep 1000 =
    ";
    let line = |line: &str| {
        let (command, expected) = line.trim().rsplit_once('=')?;
        Some((command.trim().replace("RECIPIENT", recipient), expected.trim().to_owned()))
    };
    lines.lines().filter_map(line).collect()
}

#[test]
fn every_command_records_what_it_does() {
    let sandbox = Sandbox::new();
    let (_, recipient) = identity();
    let mut seen = 0;
    let mut all = Vec::new();
    for (command, expected) in table(&recipient) {
        let output = sandbox.shell(&command).run();
        assert_eq!(output.code, 0, "`{command}`: {}", output.stderr);
        assert!(!output.stderr.contains("not recorded"), "`{command}`: {}", output.stderr);
        all = records(&sandbox);
        if seen == 0 {
            assert_eq!(short(&all[0]), "init ok");
            seen = 1;
        }
        let new: Vec<String> = all[seen..].iter().map(short).collect();
        assert_eq!(new.join(";"), expected, "`{command}`");
        seen = all.len();
    }
    for (at, record) in all.iter().enumerate() {
        assert_eq!(fields(record), RECORD);
        assert_eq!((record["sequence"].as_u64(), &record["authentic"]), (Some(at as u64 + 1), &Value::Bool(true)));
        assert_eq!(record["source"], "cli");
        assert!(record["directory"].as_str().unwrap().ends_with("/work"), "{record}");
        let is_entry = record["name"].is_string() && record["result"] == "ok";
        assert_eq!(is_entry, record["uid"].is_string() && record["result"] == "ok", "{record}");
    }
    let run = all.iter().find(|record| record["action"] == "run").unwrap();
    assert_eq!(run["process"], "true");
    let slot = all.iter().find(|record| record["action"] == "key-rename").unwrap();
    assert_eq!((&slot["detail"], &slot["key_label"]), (&"slot 'r' to 's'".into(), &"key file".into()));
    sandbox.vault(&["audit", "verify"]).run().ok();
}

#[test]
fn the_whole_table_shows_neither_names_nor_values_in_the_log() {
    let sandbox = Sandbox::new();
    let (secret, name) = (canary(), format!("n{}", canary()));
    sandbox.set(&name, &secret);
    sandbox
        .vault(&["set", &name, "-e", &name[..20], "--category", &name[..10], "--meta", &format!("k={secret}")])
        .stdin(&secret)
        .run()
        .ok();
    sandbox.vault(&["get", &name]).run().ok();
    sandbox.vault(&["run", "--only", &name, "--", "true"]).run().ok();
    sandbox.vault(&["info", &name]).run().ok();
    sandbox.write("wrong", [9; 32]);
    sandbox.vault(&["get", &name, "--key-file", "wrong"]).run().fails(4, "does not open");
    let bytes = fs::read(log(&sandbox)).unwrap();
    for needle in [&secret, &name, &name[..10]] {
        assert!(!bytes.windows(needle.len()).any(|window| window == needle.as_bytes()));
    }
    // Whoever may open the vault sees the names, and no value.
    let shown = sandbox.vault(&["audit", "show", "--format", "json"]).run().ok().text();
    assert!(shown.contains(&name) && !shown.contains(&secret));
    // A key that was refused stands there without a name, and not as if the vault had said so.
    let last = records(&sandbox).pop().unwrap();
    assert_eq!(
        (short(&last).as_str(), &last["error"], &last["authentic"]),
        ("unlock denied", &"wrong_key".into(), &false.into())
    );
    assert!(last["directory"].is_null());
    let verified = sandbox.vault(&["audit", "verify", "--format", "json"]).run().ok().json();
    assert_eq!((&verified["clear"], &verified["sound"]), (&1.into(), &true.into()));
}

fn filled() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.set("svc/a", "1");
    sandbox.set("svc/b", "2");
    sandbox.vault(&["set", "svc/a", "-e", "prod"]).stdin("3").run().ok();
    sandbox.get("svc/a");
    sandbox.vault(&["get", "none"]).run().ends(3);
    sandbox.shell("vault get svc/b > out").run().ok();
    sandbox
}

#[test]
fn filters() {
    let sandbox = filled();
    let me = rustix::process::getuid().as_raw().to_string();
    for (options, expected) in [
        (&[][..], "init,set svc/a,set svc/b,set svc/a,get svc/a,get none,get svc/b"),
        (&["--entry", "svc/a"], "set svc/a,set svc/a,get svc/a"),
        (&["--entry", "svc/*", "--action", "get"], "get svc/a,get svc/b"),
        (&["--action", "get", "--action", "init"], "init,get svc/a,get none,get svc/b"),
        (&["-e", "prod"], "set svc/a"),
        (&["-e", "", "--entry", "svc/a"], "set svc/a,get svc/a"),
        (&["--result", "not_found"], "get none"),
        (&["--user", &me, "--limit", "2"], "get none,get svc/b"),
        (&["--user", "nobody at all"], ""),
        (&["--process", "sh"], "get svc/b"),
        (&["--since", "1h", "--limit", "1"], "get svc/b"),
        (&["--since", "2999-01-01"], ""),
        (&["--until", "2020-01-01T00:00:00Z"], ""),
        (&["--until", "2999-01-01", "--entry", "svc/b", "--action", "set"], "set svc/b"),
        (&["--limit", "0"], ""),
    ] {
        let mut arguments = vec!["audit", "show", "--format", "json"];
        arguments.extend(options);
        let shown = sandbox.vault(&arguments).run().ok().json();
        let shown = shown["records"].as_array().unwrap().iter().map(|record| {
            let name = record["name"].as_str().map(|name| format!(" {name}")).unwrap_or_default();
            format!("{}{name}", record["action"].as_str().unwrap())
        });
        assert_eq!(shown.collect::<Vec<_>>().join(","), expected, "{options:?}");
        let text = sandbox.vault(&[&["audit", "show"], options].concat()).run().ok().text();
        assert_eq!(text.lines().count(), expected.split(',').filter(|part| !part.is_empty()).count());
    }
    for (options, words) in [
        (["--action", "frobnicate"], "there is no action 'frobnicate'"),
        (["--result", "well"], "there is no result 'well'"),
        (["--since", "soon"], "'soon' is not a time"),
        (["--entry", "["], "the pattern is malformed"),
    ] {
        sandbox.vault(&["audit", "show", options[0], options[1]]).run().fails(2, words);
    }
}

#[test]
fn exports() {
    let sandbox = filled();
    let lines = sandbox.vault(&["audit", "export"]).run().ok().text();
    let parsed: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(parsed, records(&sandbox));
    sandbox.vault(&["set", "=1+2,\"x\""]).stdin("v").run().ok();
    let csv = sandbox.vault(&["audit", "export", "--format", "csv", "--action", "set", "--out", "log.csv"]).run().ok();
    assert!(csv.stdout.is_empty());
    let text = fs::read_to_string(sandbox.path("work/log.csv")).unwrap();
    let mut rows = text.split_terminator("\r\n");
    assert_eq!(rows.next().unwrap(), RECORD.join(","));
    let rows: Vec<&str> = rows.collect();
    assert_eq!(rows.len(), 4);
    assert!(rows[3].contains(",set,ok,\"'=1+2,\"\"x\"\"\",,"), "{}", rows[3]);
    assert!(sandbox.files("work").iter().any(|(path, mode)| path.ends_with("log.csv") && *mode == 0o600));
}

#[test]
fn tail_follows() {
    let sandbox = filled();
    let text = sandbox.vault(&["audit", "tail", "-n", "2"]).run().ok().text();
    assert!(text.lines().count() == 2 && text.contains("none") && text.contains("not_found"), "{text}");
    let mut follow = sandbox.vault(&["audit", "tail", "-n", "1", "-f", "--format", "json"]).spawn();
    let lines = std::io::BufReader::new(follow.stdout.take().unwrap());
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || lines.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line))));
    let next = || -> Value { serde_json::from_str(&receiver.recv_timeout(PATIENCE).unwrap()).unwrap() };
    let first = next();
    assert_eq!((&first["version"], short(&first).as_str()), (&1.into(), "get ok svc/b 1"));
    sandbox.get("svc/a");
    assert_eq!(short(&next()), "get ok svc/a 1");
    // Over a log that was pruned.
    sandbox.vault(&["audit", "prune", "--keep", "1"]).run().ok();
    assert_eq!(short(&next()), "audit-prune ok");
    sandbox.get("svc/b");
    assert_eq!(short(&next()), "get ok svc/b 1");
    // Over a change of keys: what is sealed by the new ones is read as well.
    sandbox.vault(&["key", "add", "--label", "gone", "--recipient", &identity().1]).run().ok();
    assert_eq!(short(&next()), "key-add ok");
    sandbox.vault(&["key", "remove", "gone"]).run().ok();
    assert_eq!(short(&next()), "key-remove ok");
    sandbox.get("svc/a");
    assert_eq!(short(&next()), "get ok svc/a 1");
    assert!(follow.try_wait().unwrap().is_none());
    follow.kill().unwrap();
    follow.wait().unwrap();
}

#[test]
fn a_limited_key_follows_over_a_change_of_keys() {
    let sandbox = Sandbox::new();
    sandbox.vault(&["set", "a", "--category", "ci"]).stdin("v").run().ok();
    let (secret, recipient) = identity();
    sandbox.vault(&["key", "add", "--label", "ci", "--recipient", &recipient, "--only", "category:ci"]).run().ok();
    sandbox.vault(&["key", "add", "--label", "gone", "--recipient", &identity().1]).run().ok();
    sandbox.write("identity", &secret);
    let as_limited = sandbox.vault(&["audit", "tail", "-n", "1", "-f", "--format", "json"]).without_env("VAULT_KEY_FILE");
    let mut follow = as_limited.env("VAULT_IDENTITY", sandbox.path("work/identity")).spawn();
    let lines = std::io::BufReader::new(follow.stdout.take().unwrap());
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || lines.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line))));
    let next = || -> Value { serde_json::from_str(&receiver.recv_timeout(PATIENCE).unwrap()).unwrap() };
    assert_eq!(short(&next()), "key-add ok");
    sandbox.vault(&["key", "remove", "gone"]).run().ok();
    assert_eq!(short(&next()), "key-remove ok");
    sandbox.get("a");
    assert_eq!(short(&next()), "get ok a 1");
    follow.kill().unwrap();
    follow.wait().unwrap();
}

#[test]
fn verify_names_what_is_wrong() {
    let sandbox = filled();
    let json = |code: i32| sandbox.vault(&["audit", "verify", "--format", "json"]).run().ends(code).json();
    let sound = json(0);
    let known = ["version", "sound", "log", "records", "first", "last", "since", "bytes", "clear", "unreadable", "in_vault"];
    assert_eq!(fields(&sound), [&known[..], &["other_logs", "findings", "more_findings"]].concat());
    assert_eq!((&sound["records"], &sound["first"], &sound["last"]), (&7.into(), &1.into(), &7.into()));
    let bytes = fs::read(log(&sandbox)).unwrap();
    let codes = |code: i32| -> Vec<String> {
        let found = json(code)["findings"].as_array().unwrap().clone();
        found.iter().map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
    };
    let mut bad = bytes.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    fs::write(log(&sandbox), &bad).unwrap();
    assert!(!codes(10).is_empty());
    let text = sandbox.vault(&["audit", "verify"]).run().ends(10).text();
    assert!(text.contains(" at byte "), "{text}");
    // The last record cut away.
    let last = u32::from_le_bytes(bytes[bytes.len() - 4..].try_into().unwrap()) as usize;
    fs::write(log(&sandbox), &bytes[..bytes.len() - last]).unwrap();
    assert_eq!(codes(10), ["cut"]);
    // Whoever goes on keeps the evidence.
    sandbox.get("svc/a");
    assert_eq!(codes(10), ["mismatch"]);
    fs::write(log(&sandbox), &bytes[..bytes.len() - 9]).unwrap();
    assert!(codes(10).contains(&"torn".to_owned()));
    fs::remove_file(log(&sandbox)).unwrap();
    assert_eq!(codes(10), ["gone"]);
    fs::write(log(&sandbox), "something else").unwrap();
    sandbox.vault(&["audit", "verify"]).run().fails(8, "is none");
    assert!(sandbox.vault(&["get", "svc/a"]).run().ok().stderr.contains("warning: not recorded: what stands at the place"));
    assert_eq!(fs::read(log(&sandbox)).unwrap(), b"something else");
    // Where there never was one.
    let other = Sandbox::new();
    fs::remove_file(log(&other)).unwrap();
    fs::remove_dir_all(other.path("state/vault/audit")).unwrap();
    other.vault(&["audit", "verify"]).run().fails(3, "there is no audit log");
    other.vault(&["audit", "show"]).run().fails(3, "there is no audit log");
}

#[test]
fn the_vault_itself_knows_how_far_the_log_reaches() {
    let sandbox = Sandbox::new();
    sandbox.shell("n=0; while [ $n -lt 130 ]; do printf $n | vault set a; vault get a > out; n=$((n + 1)); done").run().ok();
    let known = || sandbox.vault(&["audit", "verify", "--format", "json"]).run().ok().json()["in_vault"].clone();
    let at = known().as_u64().unwrap();
    assert!((256..=258).contains(&at), "{at}");
    // On a machine that has never seen the log.
    fs::remove_dir_all(sandbox.path("state/vault/audit")).unwrap();
    let bytes = fs::read(log(&sandbox)).unwrap();
    fs::write(log(&sandbox), &bytes[..bytes.len() / 2]).unwrap();
    sandbox.get("a");
    let found = sandbox.vault(&["audit", "verify"]).run().ends(10).text();
    assert!(found.contains("the vault knows of record"), "{found}");
    sandbox.vault(&["check"]).run().ok();
}

#[test]
fn pruning() {
    let sandbox = filled();
    sandbox.vault(&["audit", "prune"]).run().fails(2, "nothing says how long records are kept");
    let report = |options: &[&str]| {
        let json = sandbox.vault(&[&["audit", "prune", "--report", "json"], options].concat()).run().ok().json();
        (json["removed"].as_u64().unwrap(), json["kept"].as_u64().unwrap())
    };
    assert_eq!(report(&["--keep", "2", "--dry-run"]), (5, 2));
    assert_eq!(report(&["--older-than", "1h"]), (0, 7));
    assert_eq!(report(&["--keep", "2"]), (5, 2));
    let left: Vec<String> = records(&sandbox).iter().map(short).collect();
    assert_eq!(left, ["get not_found none", "get ok svc/b 1", "audit-prune ok"]);
    assert!(sandbox.vault(&["audit", "verify"]).run().ok().text().contains("records up to number 5 were pruned"));
    assert_eq!(sandbox.files("").iter().filter(|(path, _)| path.to_string_lossy().contains(".prune")).count(), 0);
    configure(&sandbox, "[audit]\nretention-days = 1\n");
    assert_eq!(report(&[]), (0, 3));
    assert_eq!(report(&["--older-than", "0s"]), (3, 0));
}

#[test]
fn other_keys_read_what_is_theirs() {
    let mut sandbox = Sandbox::new();
    sandbox.vault(&["set", "a", "--category", "ci"]).stdin("v").run().ok();
    sandbox.set("b", "v");
    let (secret, recipient) = identity();
    sandbox.vault(&["key", "add", "--label", "ci", "--recipient", &recipient, "--only", "category:ci"]).run().ok();
    sandbox.write("identity", &secret);
    let as_limited = |arguments: &[&str]| {
        sandbox.vault(arguments).without_env("VAULT_KEY_FILE").env("VAULT_IDENTITY", sandbox.path("work/identity")).run()
    };
    as_limited(&["get", "a"]).ok();
    as_limited(&["get", "b"]).fails(12, "does not open");
    as_limited(&["set", "c", "--generate", "pin:4"]).ends(12);
    let seen: Vec<String> = records(&sandbox).iter().skip(4).map(short).collect();
    assert_eq!(seen, ["get ok a 1", "get denied b 1", "set denied c"]);
    assert_eq!(records(&sandbox)[4]["key_label"], "ci");
    let shown = as_limited(&["audit", "show", "--format", "json"]).ok().json();
    assert_eq!(shown["records"].as_array().unwrap().len(), 7);
    as_limited(&["audit", "verify"]).ok();
    // Another index key: who has a full key reads on, the limited one what is new.
    sandbox.vault(&["key", "add", "--label", "gone", "--recipient", &identity().1]).run().ok();
    sandbox.vault(&["key", "remove", "gone"]).run().ok();
    sandbox.vault(&["check"]).run().ok();
    as_limited(&["get", "a"]).ok();
    assert!(records(&sandbox).iter().all(|record| record["action"].is_string()));
    assert_eq!(sandbox.vault(&["audit", "verify", "--format", "json"]).run().ok().json()["unreadable"], 0);
    let limited = as_limited(&["audit", "verify", "--format", "json"]).ok().json();
    assert_eq!((&limited["records"], &limited["unreadable"]), (&11.into(), &8.into()));
    let shown = as_limited(&["audit", "show", "--format", "json"]).ok().json();
    let readable = shown["records"].as_array().unwrap().iter().filter(|record| record["action"].is_string());
    assert_eq!(readable.map(short).collect::<Vec<_>>(), ["key-remove ok", "check ok", "get ok a 1"]);
    // Records under keys that this vault never had are found by the full key.
    sandbox.set_env("VAULT_FILE", sandbox.path("other.vault"));
    sandbox.vault(&["init", "-q", "--key-file", sandbox.key().to_str().unwrap()]).run().ok();
    fs::copy(log(&sandbox), sandbox.path("other.vault.audit")).unwrap();
    sandbox.vault(&["audit", "verify"]).run().fails(8, "that of another vault");
}

#[test]
fn a_new_vault_at_the_place_keeps_the_log_of_the_old_one() {
    let sandbox = filled();
    fs::remove_file(sandbox.file()).unwrap();
    let made = sandbox.vault(&["init", "--key-file", sandbox.key().to_str().unwrap()]).run().ok();
    assert!(made.stderr.contains("is kept as ") && sandbox.path("test.vault.audit.before-1").exists(), "{}", made.stderr);
    assert_eq!(records(&sandbox).len(), 1);
}

#[test]
fn copies_are_recorded_in_the_log_of_the_vault() {
    let sandbox = filled();
    sandbox.vault(&["backup", "copy.vault"]).run().ok();
    sandbox.vault(&["diff", "copy.vault", "../test.vault"]).run().ok();
    assert!(!sandbox.path("work/copy.vault.audit").exists());
    assert_eq!(records(&sandbox).iter().filter(|record| record["action"] == "diff").count(), 2);
    // What is used as a vault has a log of its own.
    sandbox.vault(&["get", "svc/a", "--vault", "copy.vault"]).run().ok();
    assert!(sandbox.path("work/copy.vault.audit").exists());
}

#[test]
fn logs_may_be_in_a_directory_or_not_at_all() {
    let sandbox = Sandbox::new();
    configure(&sandbox, "[audit]\ndirectory = \"logs\"\n");
    fs::create_dir(sandbox.path("config/vault/logs")).unwrap();
    fs::remove_file(log(&sandbox)).unwrap();
    sandbox.set("a", "v");
    let files = sandbox.files("config/vault/logs");
    assert_eq!(files.len(), 1);
    let name = files[0].0.file_name().unwrap().to_str().unwrap();
    assert!(name.len() == 32 + 1 + 16 + 6 && name.ends_with(".audit"), "{name}");
    assert!(!log(&sandbox).exists());
    // A project does not decide.
    sandbox.write("vault.toml", "[audit]\nenabled = false\n");
    sandbox.get("a");
    let length = fs::metadata(&files[0].0).unwrap().len();
    configure(&sandbox, "[audit]\nenabled = false\ndirectory = \"logs\"\n");
    sandbox.get("a");
    assert_eq!(fs::metadata(&files[0].0).unwrap().len(), length);
    configure(&sandbox, "[audit]\nenabled = false\nrequired = true\n");
    sandbox.vault(&["get", "a"]).run().fails(2, "audit.required needs audit.enabled");
    configure(&sandbox, "[audit]\nsync = \"soon\"\n");
    sandbox.vault(&["get", "a"]).run().fails(2, "'soon' is not a duration");
    configure(&sandbox, "[audit]\nsync = \"always\"\n");
    sandbox.get("a");
}

#[test]
fn what_is_planted_at_the_name_is_not_followed_and_hangs_nothing() {
    for kind in ["symlink", "dangling", "fifo", "directory", "hard link", "empty hard link"] {
        for required in [false, true] {
            let sandbox = Sandbox::new();
            sandbox.set("a", "v");
            configure(&sandbox, &format!("[audit]\nrequired = {required}\n"));
            let victim = sandbox.write("victim", if kind == "empty hard link" { "" } else { "untouched" });
            let before = fs::read(&victim).unwrap();
            fs::remove_file(log(&sandbox)).unwrap();
            match kind {
                "symlink" => std::os::unix::fs::symlink(&victim, log(&sandbox)).unwrap(),
                "dangling" => std::os::unix::fs::symlink(sandbox.path("work/made"), log(&sandbox)).unwrap(),
                "fifo" => drop(sandbox.program("mkfifo", &[log(&sandbox).to_str().unwrap()]).run().ok()),
                "directory" => fs::create_dir(log(&sandbox)).unwrap(),
                _ => fs::hard_link(&victim, log(&sandbox)).unwrap(),
            }
            let start = Instant::now();
            let get = sandbox.vault(&["get", "a"]).run();
            assert!(start.elapsed() < PATIENCE);
            let set = sandbox.vault(&["set", "b", "--generate", "pin:4"]).run();
            if required {
                get.fails(13, "nothing left, for it could not be recorded");
                set.fails(13, "nothing was changed, for it could not be recorded");
                assert_eq!(sandbox.list(), ["a"]);
            } else {
                let get = get.ok();
                assert!(get.stdout == b"v" && get.stderr.contains("warning: not recorded"), "{kind}: {}", get.stderr);
                set.ok();
            }
            assert_eq!(fs::read(&victim).unwrap(), before, "{kind}");
            assert!(!sandbox.path("work/made").exists());
        }
    }
}

#[test]
fn a_time_without_an_offset_is_no_time() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "v");
    for text in ["2020-01-01T12:00:00", "2020-01-01 12:00", "2020-01-01T12:00"] {
        sandbox.vault(&["audit", "show", "--since", text]).run().fails(2, "is not a time");
    }
    for text in ["2020-01-01", "2020-01-01T12:00:00Z", "2020-01-01T12:00:00+01:00"] {
        assert!(!sandbox.vault(&["audit", "show", "--since", text]).run().ok().text().is_empty());
    }
}

#[test]
fn a_stopped_writer_of_the_log_hangs_no_read() {
    if !is_installed("flock") {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.set("a", "v");
    let held = sandbox.path("held");
    let script = format!("touch '{}'; exec sleep 600", held.display());
    let mut holder = sandbox.program("flock", &["-F", log(&sandbox).to_str().unwrap(), "-c", &script]).into_command();
    let mut holder = holder.stdout(std::process::Stdio::null()).spawn().unwrap();
    wait_until("the lock", || held.exists());
    let start = Instant::now();
    let get = sandbox.vault(&["get", "a"]).run().ok();
    assert!(get.stderr.contains("another process holds the audit log"), "{}", get.stderr);
    assert!(start.elapsed() >= Duration::from_millis(900) && start.elapsed() < PATIENCE);
    sandbox.vault(&["audit", "verify"]).run().ok();
    configure(&sandbox, "[audit]\nrequired = true\n");
    sandbox.vault(&["get", "a", "--lock-timeout", "200ms"]).run().fails(13, "another process holds the audit log");
    holder.kill().unwrap();
    holder.wait().unwrap();
}

#[test]
fn many_processes_leave_one_chain() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "v");
    // Otherwise who cannot have the log within a second goes on without it.
    configure(&sandbox, "[audit]\nrequired = true\n");
    let script = "for p in 1 2 3 4 5 6 7 8; do (n=0; while [ $n -lt 25 ]; do vault get a > /dev/null || echo failed; n=$((n + 1)); done) & done; wait";
    let output = sandbox.shell(script).run().ok();
    assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{} {}", output.text(), output.stderr);
    let verified = sandbox.vault(&["audit", "verify", "--format", "json"]).run().ok().json();
    assert_eq!((&verified["records"], &verified["last"]), (&202.into(), &202.into()));
}

#[test]
fn a_read_only_place_is_silent() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "v");
    fs::remove_file(log(&sandbox)).unwrap();
    let read_only = |mode: u32| {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(sandbox.file(), fs::Permissions::from_mode(mode)).unwrap();
    };
    read_only(0o444);
    let get = sandbox.vault(&["get", "a"]).run().ok();
    assert!(get.stderr.is_empty() && !log(&sandbox).exists(), "{}", get.stderr);
    configure(&sandbox, "[audit]\nrequired = true\n");
    sandbox.vault(&["get", "a"]).run().fails(13, "nothing left");
    read_only(0o600);
    sandbox.vault(&["get", "a"]).run().ok();
}

#[test]
fn a_full_disk_costs_the_record_and_not_the_value() {
    if !is_root() || !is_installed("unshare") {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.set("a", "v");
    fs::create_dir(sandbox.path("work/disk")).unwrap();
    let script = "rm -rf $XDG_STATE_HOME; mount -t tmpfs -o size=64k none disk || exit 99
        cp ../test.vault ../test.vault.audit disk
        head -c 100000 /dev/zero > disk/filler 2> /dev/null
        vault get a --vault disk/test.vault; code=$?
        size=$(wc -c < disk/test.vault.audit); rm disk/filler
        vault get a --vault disk/test.vault > out && vault audit verify --vault disk/test.vault > out || cat out
        echo $code";
    // The last page of the small file system's log is to have no room for another record.
    let full = "n=0; while [ $(($(wc -c < ../test.vault.audit) % 4096)) -lt 3900 ] && [ $n -lt 200 ]; do vault get a > out; n=$((n + 1)); done";
    let output = sandbox.program("unshare", &["-rm", "sh", "-c", &format!("{full}\n{script}")]).run();
    if output.code == 99 || output.stderr.contains("unshare:") {
        eprintln!("skipped: no small file system may be mounted here");
        return;
    }
    assert_eq!(output.text(), "v0\n", "{}", output.stderr);
    assert!(output.stderr.contains("warning: not recorded: write the audit log: No space left on device"), "{}", output.stderr);
}

#[test]
fn what_the_agent_gives_is_recorded_as_such() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "v");
    sandbox.shell("vault unlock > /dev/null 2>&1").run().ok();
    sandbox.vault(&["get", "a"]).without_env("VAULT_KEY_FILE").run().ok();
    sandbox.vault(&["lock"]).run().ok();
    sandbox.vault(&["lock", "--stop"]).run().ok();
    let seen: Vec<String> = records(&sandbox)
        .iter()
        .skip(2)
        .map(|record| format!("{} {}", short(record), record["source"].as_str().unwrap()))
        .collect();
    assert_eq!(seen, ["unlock ok cli", "get ok a 1 agent", "lock ok agent"]);
}

#[test]
fn info_says_how_often_and_by_whom() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "v");
    let info = || sandbox.vault(&["info", "a", "--format", "json"]).run().ok().json();
    assert_eq!((&info()["reads"], &info()["last_read"], &info()["last_read_by"]), (&0.into(), &Value::Null, &Value::Null));
    sandbox.get("a");
    sandbox.vault(&["run", "--only", "a", "--", "true"]).run().ok();
    assert_eq!((&info()["reads"], &info()["last_read_by"]), (&2.into(), &"true".into()));
    // By whatever name.
    sandbox.vault(&["mv", "a", "b"]).run().ok();
    let text = sandbox.vault(&["info", "b"]).run().ok().text();
    assert!(text.contains("reads          2\n") && text.contains(" by true\n"), "{text}");
}

/// A log with so many records of ten days ago, and so many of now.
fn aged(old: usize, new: usize) -> Sandbox {
    let sandbox = Sandbox::new();
    fs::remove_file(log(&sandbox)).unwrap();
    fs::remove_dir_all(sandbox.path("state/vault/audit")).unwrap();
    append(&sandbox, 10, old);
    append(&sandbox, 0, new);
    sandbox
}

/// Appends so many records of so many days ago.
fn append(sandbox: &Sandbox, days: u64, count: usize) {
    use vault::audit::{Action, Actor, Event, Keys, Log, Settings, Source, Sync, place};
    let key: [u8; 32] = fs::read(sandbox.key()).unwrap().try_into().unwrap();
    let key = vault::Credential::RawKey(vault::RawKey::new(key.into()));
    let vault = vault::Locked::open(&sandbox.file()).unwrap().unlock(&key, vault::Options::default()).unwrap();
    let source = vault.audit_source().unwrap();
    let settings = Settings {
        anchor_every: Duration::ZERO,
        log: log(sandbox),
        anchor: Some(sandbox.path("state/vault/audit").join(place(&source.id, &source.path))),
        create_like: Some(sandbox.file()),
        patience: Duration::from_secs(5),
        sync: Sync::Always,
    };
    let events: Vec<Event> = (0..count).map(|_| Event::new(Action::Check)).collect();
    Log::new(settings, Keys::new(source)).append(now() - days * 86_400_000, &Actor::new(Source::Cli), &events).unwrap();
}

#[test]
fn old_records_go_by_themselves_but_never_most_of_them() {
    // At once at most half goes, of 32, and the next day as much of the rest as may.
    for (old, new, days, left) in [(10, 20, 5, 20 + 2), (10, 20, 20, 31), (10, 20, 0, 31), (20, 10, 5, 16)] {
        let sandbox = aged(old, new);
        configure(&sandbox, &format!("[audit]\nretention-days = {days}\n"));
        // A read does not do it.
        sandbox.vault(&["get", "none", "--default", "x"]).run().ok();
        assert_eq!(records(&sandbox).len(), 31);
        sandbox.set("a", "v");
        let count = records(&sandbox).len();
        assert_eq!(count, left + 1, "{old} old, {new} new, {days} days");
        sandbox.vault(&["audit", "verify"]).run().ok();
        // Once a day is enough: what was written just now is no reason to look again.
        sandbox.set("a", "w");
        assert_eq!(records(&sandbox).len(), count + 1);
    }
}

#[test]
fn a_log_that_does_not_hold_stays_and_that_is_said_once_a_day() {
    let sandbox = aged(10, 20);
    configure(&sandbox, "[audit]\nretention-days = 5\n");
    let mut bytes = fs::read(log(&sandbox)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(log(&sandbox), &bytes).unwrap();
    let set = || sandbox.vault(&["set", "a"]).stdin("v").run().ok().stderr;
    let said = set();
    let words = "warning: records of the audit log that are older than 5 days were not removed: the audit log does not hold";
    assert!(said.starts_with(words), "{said}");
    assert_eq!(set(), "");
    assert!(fs::read(log(&sandbox)).unwrap().starts_with(&bytes));
    // The day after.
    let remembered: Vec<_> = sandbox
        .files("state/vault/audit")
        .into_iter()
        .filter(|(path, _)| path.extension().is_some_and(|extension| extension == "retention"))
        .collect();
    assert_eq!(remembered.len(), 1);
    fs::write(&remembered[0].0, (now() - 86_400_001).to_string()).unwrap();
    assert!(set().starts_with(words));
}

#[test]
fn neither_pruning_nor_retention_removes_what_verify_finds() {
    let sandbox = aged(10, 20);
    let bytes = fs::read(log(&sandbox)).unwrap();
    let last = u32::from_le_bytes(bytes[bytes.len() - 4..].try_into().unwrap()) as usize;
    let cut = &bytes[..bytes.len() - last];
    fs::write(log(&sandbox), cut).unwrap();
    let codes = || -> Vec<String> {
        let json = sandbox.vault(&["audit", "verify", "--format", "json"]).run().ends(10).json();
        json["findings"].as_array().unwrap().iter().map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(codes(), ["cut"]);
    sandbox.vault(&["audit", "prune", "--keep", "2"]).run().fails(8, "may be evidence");
    assert_eq!(fs::read(log(&sandbox)).unwrap(), cut);
    // A writer first writes down what is wrong, and what is written down may be followed by what it says.
    configure(&sandbox, "[audit]\nretention-days = 5\n");
    sandbox.set("a", "v");
    assert_eq!(codes(), ["mismatch"]);
    fs::write(log(&sandbox), cut).unwrap();
    sandbox.vault(&["audit", "prune", "--keep", "2", "--force"]).run().ok();
    assert_eq!(codes(), ["mismatch"]);
    assert_eq!(records(&sandbox).len(), 2 + 2);
}

/// Whether a vault of which this machine remembers nothing says how far its log reached.
fn in_vault(sandbox: &Sandbox) -> Option<u64> {
    let json = sandbox.vault(&["audit", "verify", "--format", "json"]).run().json();
    json["in_vault"].as_u64()
}

#[test]
fn a_log_that_is_gone_is_found_by_what_the_vault_says() {
    let sandbox = aged(0, 300);
    sandbox.set("a", "v");
    assert_eq!(in_vault(&sandbox), Some(301));
    let forget = || {
        fs::remove_file(log(&sandbox)).unwrap();
        fs::remove_dir_all(sandbox.path("state/vault")).unwrap();
    };
    let codes = || -> Vec<String> {
        let json = sandbox.vault(&["audit", "verify", "--format", "json"]).run().ends(10).json();
        json["findings"].as_array().unwrap().iter().map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
    };
    // A copy of the vault elsewhere has no log, and never had one.
    fs::copy(sandbox.file(), sandbox.path("work/copy.vault")).unwrap();
    forget();
    let copy = sandbox.vault(&["audit", "verify", "--vault", "copy.vault"]).run().fails(3, "there is no audit log");
    assert!(copy.stderr.contains("logs of other places that the vault knows of: 1"), "{}", copy.stderr);
    sandbox.vault(&["get", "a", "--vault", "copy.vault"]).run().ok();
    sandbox.vault(&["audit", "verify", "--vault", "copy.vault"]).run().ok();
    // Where it was that is a finding, and whoever begins another one writes it down.
    assert_eq!(codes(), ["gone"]);
    let text = sandbox.vault(&["audit", "verify"]).run().ends(10).text();
    assert!(text.contains("there is no log, and the vault knows of record 301 of log "), "{text}");
    sandbox.get("a");
    assert_eq!(codes(), ["mismatch"]);
    let first = &records(&sandbox)[0];
    assert!(first["detail"].as_str().unwrap().starts_with("the vault expected record 301 of log "), "{first}");
    // Another log in its place, on a machine that knows neither.
    fs::remove_dir_all(sandbox.path("state/vault")).unwrap();
    assert_eq!(codes(), ["mismatch", "other_log"]);
    // A refusal is recorded with a key as well.
    forget();
    sandbox.vault(&["get", "none"]).run().ends(3);
    assert_eq!(records(&sandbox).iter().map(short).collect::<Vec<_>>(), ["audit-mismatch error", "get not_found none"]);
}

#[test]
fn what_the_vault_alone_knows_keeps_a_log_from_being_pruned() {
    let sandbox = aged(200, 100);
    let before = fs::read(log(&sandbox)).unwrap();
    sandbox.set("a", "v");
    assert_eq!(in_vault(&sandbox), Some(301));
    // An older log that was put back, and a machine that has never seen either.
    fs::write(log(&sandbox), &before).unwrap();
    fs::remove_dir_all(sandbox.path("state/vault/audit")).unwrap();
    sandbox.vault(&["audit", "prune", "--keep", "2"]).run().fails(8, "may be evidence");
    configure(&sandbox, "[audit]\nretention-days = 5\n");
    let set = sandbox.vault(&["set", "a", "--meta-only", "--tag", "t"]).run().ok();
    // What was appended meanwhile is another record of that number.
    assert!(set.stderr.contains("were not removed: the audit log does not hold"), "{}", set.stderr);
    assert!(fs::read(log(&sandbox)).unwrap().starts_with(&before));
    sandbox.get("a");
    sandbox.vault(&["audit", "prune", "--keep", "0", "--force"]).run().ok();
    let left = records(&sandbox);
    assert_eq!(left.iter().map(short).collect::<Vec<_>>(), ["audit-mismatch error", "audit-prune ok"]);
    assert!(left[0]["detail"].as_str().unwrap().starts_with("the vault expected record 301 of log "), "{}", left[0]);
}

#[test]
fn the_vault_is_told_of_the_log_every_256_records_whoever_told_it_last() {
    let sandbox = aged(0, 300);
    sandbox.set("a", "v");
    assert_eq!(in_vault(&sandbox), Some(301));
    append(&sandbox, 0, 99);
    // A machine that remembers nothing of it yet finds what the vault was told.
    fs::remove_dir_all(sandbox.path("state/vault/audit")).unwrap();
    sandbox.set("a", "w");
    assert_eq!(in_vault(&sandbox), Some(301));
    append(&sandbox, 0, 155);
    sandbox.set("a", "x");
    assert_eq!(in_vault(&sandbox), Some(557));
}

#[test]
fn a_log_is_open_to_whom_the_vault_is() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let sandbox = Sandbox::new();
    let of = |path: PathBuf| {
        let metadata = fs::metadata(path).unwrap();
        (metadata.mode() & 0o777, metadata.uid(), metadata.gid())
    };
    let share = |path: PathBuf, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    for (mode, expected) in [(0o660, 0o660), (0o640, 0o640), (0o644, 0o640), (0o666, 0o666), (0o600, 0o600)] {
        share(sandbox.file(), mode);
        fs::remove_file(log(&sandbox)).unwrap();
        fs::remove_dir_all(sandbox.path("state/vault/audit")).unwrap();
        sandbox.shell("umask 077; echo v | vault set a").run().ok();
        assert_eq!(of(log(&sandbox)).0, expected, "{mode:o}");
        // Whatever it was given since stays, under the narrowest umask and the widest.
        share(log(&sandbox), 0o664);
        sandbox.shell("umask 077; vault audit prune --keep 0").run().ok();
        assert_eq!(of(log(&sandbox)).0, 0o664);
        share(log(&sandbox), 0o600);
        sandbox.shell("umask 000; vault audit prune --keep 0").run().ok();
        assert_eq!(of(log(&sandbox)).0, 0o600);
    }
    if !is_root() {
        return;
    }
    let give = |path: PathBuf, user: u32, group: u32| std::os::unix::fs::chown(path, Some(user), Some(group)).unwrap();
    share(sandbox.file(), 0o660);
    give(sandbox.file(), 12345, 12346);
    fs::remove_file(log(&sandbox)).unwrap();
    sandbox.get("a");
    assert_eq!(of(log(&sandbox)), (0o660, 12345, 12346));
    give(log(&sandbox), 12347, 12348);
    sandbox.vault(&["audit", "prune", "--keep", "0"]).run().ok();
    assert_eq!(of(log(&sandbox)), (0o660, 12347, 12348));
}

#[test]
fn pruning_leaves_a_summary_of_what_stayed() {
    let sandbox = aged(0, 5000);
    let summaries = || sandbox.files("cache/vault/audit").into_iter().map(|(path, _)| path).collect::<Vec<_>>();
    sandbox.vault(&["audit", "prune", "--keep", "4500"]).run().ok();
    assert_eq!(summaries().len(), 1, "{:?}", summaries());
    let made = fs::read(&summaries()[0]).unwrap();
    sandbox.vault(&["stats"]).run().ok();
    assert!(fs::read(&summaries()[0]).unwrap() == made, "it is that of the log as it is now");
}

/// What a run calls of these, in order; `None` where nothing may be traced.
fn calls(sandbox: &Sandbox, names: &str, arguments: &[&str]) -> Option<(String, Output)> {
    let trace = sandbox.path("work/trace");
    let _ = fs::remove_file(&trace);
    if !is_installed("strace") || sandbox.program("strace", &["-o", "/dev/null", "true"]).run().code != 0 {
        assert!(std::env::var_os("VAULT_TEST_REQUIRE").is_none(), "strace may not trace here");
        eprintln!("skipped: strace may not trace here");
        return None;
    }
    let run = sandbox.program("strace", &["-f", "-y", "-e", names, "-o"]).arg(&trace).arg(VAULT);
    let output = arguments.iter().fold(run, |run, argument| run.arg(argument)).run().ok();
    Some((fs::read_to_string(trace).unwrap(), output))
}

#[test]
fn a_summary_is_durable_before_it_has_its_name() {
    let sandbox = aged(0, 5000);
    let Some((calls, _)) = calls(&sandbox, "trace=fdatasync,fsync,rename,renameat,renameat2", &["stats"]) else { return };
    let lines: Vec<&str> = calls.lines().collect();
    let renamed = lines.iter().position(|line| line.contains(".summary\"")).unwrap();
    assert!(renamed > 0 && lines[renamed - 1].contains("sync(") && lines[renamed - 1].contains(".new>"), "{calls}");
}

#[test]
fn a_run_that_stays_makes_its_record_durable_in_its_time() {
    let sandbox = Sandbox::new();
    // Of a shorter value nothing is masked, and the program takes the place of this one.
    sandbox.set("a", canary());
    let names = "trace=fdatasync,fsync,nanosleep,clock_nanosleep";
    let run = |seconds: &str| calls(&sandbox, names, &["run", "--only", "a", "--mask", "--", "sleep", seconds]);
    let Some((stayed, _)) = run("10") else { return };
    let durable = stayed.lines().find(|line| line.contains("sync(") && line.contains(".audit>"));
    let (thread, _) = durable.unwrap_or_else(|| panic!("{stayed}")).split_once(' ').unwrap();
    // A tenth of a second, where nothing else is said; the one who does it waits for that.
    let thread = format!("{thread} ");
    assert!(stayed.lines().any(|line| line.starts_with(&thread) && line.contains("{tv_sec=0, tv_nsec=100000000}")), "{stayed}");
    // Who ends at once leaves it to the system. How long that is depends on what else the machine does.
    let at_once = |interval: &str| {
        configure(&sandbox, &format!("[audit]\nsync = \"{interval}\"\n"));
        run("0").unwrap().0
    };
    let ended = at_once("50s");
    assert!(!ended.contains(".audit>"), "{ended}");
    configure(&sandbox, "[audit]\nsync = \"always\"\n");
    let (always, _) = calls(&sandbox, names, &["get", "a"]).unwrap();
    assert!(always.contains(".audit>"), "{always}");
}

#[test]
fn what_many_entries_at_once_became_is_recorded_of_each() {
    let sandbox = Sandbox::new();
    sandbox.write("three.json", r#"{"a":"1","b":"2","c":"3"}"#);
    sandbox.set("b", "old");
    let since = |seen: usize| records(&sandbox)[seen..].iter().map(short).collect::<Vec<_>>();
    sandbox.vault(&["import", "three.json", "--overwrite"]).run().ok();
    assert_eq!(since(2), ["import ok", "import ok a 1", "import ok b 2", "import ok c 1"]);
    sandbox.vault(&["import", "three.json", "--skip-existing"]).run().ok();
    assert_eq!(since(6), ["import ok"]);
    // Of a merge: what came, what was changed, what went.
    fs::copy(sandbox.file(), sandbox.path("work/theirs")).unwrap();
    sandbox.vault(&["rm", "a", "--vault", "theirs"]).run().ok();
    for name in ["b", "new"] {
        sandbox.vault(&["set", name, "--vault", "theirs"]).stdin("theirs").run().ok();
    }
    sandbox.set("own", "v");
    sandbox.vault(&["merge", "theirs", sandbox.file().to_str().unwrap(), "--out", "out"]).run().ok();
    assert_eq!(since(8), [""; 0]);
    sandbox.vault(&["merge", "theirs"]).run().ok();
    let merged = records(&sandbox).split_off(8);
    let mut told: Vec<String> =
        merged[1..].iter().map(|record| format!("{} {}", short(record), record["detail"].as_str().unwrap())).collect();
    told.sort();
    assert_eq!(told, ["merge ok a 1 removed", "merge ok b 3 changed", "merge ok new 1 added"]);
    assert!(merged.iter().skip(1).all(|record| record["uid"].is_string()));
    assert_eq!((short(&merged[0]), merged[0]["name"].is_null()), ("merge ok".to_owned(), true));
    // Each entry that a backup brings.
    sandbox.vault(&["restore", "theirs", "--force"]).run().ok();
    assert_eq!(since(12), ["restore ok", "restore ok b 3", "restore ok c 1", "restore ok new 1"]);
}
