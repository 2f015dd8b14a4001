//! What is left in the memory of a command that has done its work: no value, no key, no passphrase.
//!
//! strace holds a command where it ends, with its memory as it is; root looks through that, map by map.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::{Pid, Signal, kill_process};
use vault::{Credential, Locked, RawKey};

use crate::memory::{self, Needle};
use crate::remote::{Server, token};
use crate::sandbox::{Sandbox, VAULT, canary, identity, is_installed, wait_until};

/// Commands that work on one vault, one after the other; groups run beside one another. `< FILE` is standard input, `NAME=VALUE` before a command a
/// variable, a number the exit code if it is not 0; behind `new:` stands a command that makes a value and prints it, or whose value the entry `new` has
/// afterwards.
const GROUPS: &[&str] = &[
    "
    get text
    get long
    get bytes
    get json password
    get json
    get text --version 1
    get text --out out
    get text --clip 1
    get text --ci github
    get json --ci github
    get nothing --default x
    3 get json nofield
    list
    list --long
    list --format json --reveal
    info json --format json
    history text
    find hidden --values
    find text
    ",
    "
    set one < text
    set one --raw < long
    set two --from-file text
    set three --json < json
    set three --field password < text
    set three --field more --json < json
    set four --editor
    6 set one --if-version 99 < text
    2 set five --json < text
    edit text
    2 edit json
    rotate one < text
    rotate three < json
    new: set new --generate base64url:48
    new: rotate new --generate hex:32
    new: generate alnum:40
    new: generate random:48
    rollback text --version 1
    cp text copied
    mv copied moved
    rm moved
    rm one --purge
    ",
    "
    export --format json
    export --format yaml
    export --format toml
    export --format k8s
    export --format csv
    export --format json --out out
    export --format csv --out out
    export --format systemd --out credentials
    export --format age --recipient RECIPIENT --out out.age
    export --format age --recipient RECIPIENT
    2 export --format dotenv
    rm bytes
    export --format dotenv
    export --format dotenv --ci github
    export --format shell
    export --format fish
    export --format powershell
    export --format docker --category docker
    export --format github-env
    import out.age --backup-identity identity --overwrite
    ",
    "
    import flat.json --overwrite
    import - --format json --overwrite < flat.json
    import - --format dotenv --overwrite < file.env
    import file.env --overwrite
    import flat.yaml --overwrite
    import flat.toml --overwrite
    import flat.csv --overwrite
    import - --format shell --overwrite < file.env
    import - --format docker --overwrite < docker.env
    import - --format github-env --overwrite < docker.env
    import - --format fish --overwrite < file.fish
    import - --format powershell --overwrite < file.ps1
    import manifest --format k8s --overwrite
    import bitwarden --format bitwarden --overwrite
    import logins --format 1password --overwrite
    import flat.yaml --format sops --overwrite
    import credentials --format systemd --overwrite
    2 import broken.env
    2 import broken.json
    import flat.json --dry-run --overwrite
    ",
    "
    run --mask -- ./show
    run --mask --only text,json -- ./show
    run --files -- ./show
    run --files=fifo -- true
    run --files=fifo -- ./show
    run --env-file references.env -- ./show
    run --map MINE=json#password --clean-env -- ./show
    inject < template
    inject -i template -o out
    redact < log
    mask document.json
    mask document.yaml
    mask document.toml
    mask < document.json
    10 scan tree
    10 scan - < log
    scan export-fingerprints --out list
    10 scan tree --fingerprints list
    10 scan --staged
    10 scan --history
    ",
    "
    encrypt text --out enc
    encrypt --armor < text
    decrypt enc
    decrypt < enc
    decrypt enc --out out
    decrypt enc --info
    key import-env foreign.env
    key export-env
    key export-env --out foreign
    encrypt --fernet text --out token
    decrypt token
    decrypt < token
    git credential get < asked
    git credential store < credential
    git credential erase < credential
    git docker-credential store < docker.json
    git docker-credential get < server
    git docker-credential list
    git docker-credential erase < server
    git textconv copy
    ",
    "
    backup other --force
    diff copy other
    diff copy other --exit-code
    merge copy ../test.vault --out merged
    set text < json
    merge other
    restore other --force
    check
    compact
    10 doctor
    trust
    key list
    key status
    3 key exposure test
    key add --label file --key-file new.key
    key add --label age --recipient RECIPIENT
    key add --label part --key-file part.key --only category:docker
    --identity identity get text
    --key-file new.key get text
    --key-file part.key get docker
    12 --key-file part.key get text
    --key-file base64.key get text
    key rename age old
    key rotate --data --reseal
    key rotate --master
    key remove old
    init --vault another --key-file another.key
    4 --key-file text get text
    4 --key-file new.key --vault copy get text
    VAULT_KEY=KEY get text
    ",
    "
    --passphrase-file passphrase init --vault phrase
    --passphrase-file passphrase --vault phrase list
    key add --label phrase --new-passphrase-file passphrase
    key add --label ssh --ssh-key ed25519.pub
    --identity ed25519 get text
    4 --passphrase-file wrong --vault phrase list
    VAULT_PASSPHRASE_CMD=./say --vault phrase key passwd --new-passphrase-file wrong
    ",
    "
    otp code --import < uri
    otp code
    otp code --format json
    otp code --uri
    otp code --qr
    otp code --clip 1
    10 check --values
    set one < text
    rotate one --command ./say
    rotate one --apply true --verify true < json
    10 rotate one --apply false < long
    10 rotate one --resume
    rotate one --abort
    get one --previous
    rotate one --every 1d --command ./say --now
    rotate --due
    prune
    file encrypt text --out text.vault
    file decrypt text.vault --out plain
    file edit text.vault
    file encrypt document.yaml
    config render layer.json
    config render layer.json document.yaml.vault
    config render layer.json --mask --out rendered
    config get a layer.json
    config explain a layer.json
    audit show
    audit verify
    stats
    used-by text tree
    list --hot 1
    ",
    "
    user add admin --role admin < user-password
    user add other --password-file user-password
    6 user add other < user-password
    2 user passwd other < text
    user passwd other < user-password
    user import users.json --data data.json --keys keys.json --pepper-file user-pepper --dry-run
    user import users.json --data data.json --keys keys.json --pepper-file user-pepper
    6 user import users.json --data data.json --keys keys.json --pepper-file user-pepper
    2 user import users.json --data data.json --keys broken.json --no-pepper
    user list --format json
    user show ann
    user export ann
    user export ann --reveal
    user export ann --reveal --out out
    user 2fa-off ann
    6 user rm ann
    user rm ann --force
    ",
];

/// Commands whose vault the agent holds.
const HELD: &str = "
    get text
    get json password
    set one < text
    list --format json --reveal
    export --format json
    run --mask -- ./show
    unlock
    status
    key rotate --master
    lock
";

/// Commands whose entries are with a server.
const REMOTE: &str = "
    get text
    get long
    get bytes
    get json password
    set one < text
    set three --json < json
    set three --field password < text
    rotate one < text
    list --format json --reveal
    export --format json
    inject < template
    run --mask -- ./show
    rm one
    3 get one
";

/// What is left all the same: of which command, which secret, and why.
const LEFT: &[(&str, &str, &str)] = &[(
    "VAULT_KEY=KEY",
    "the raw key in base64 in [stack]",
    "the system puts the variables of a process above its stack, where they stay as long as it lives",
)];

/// A vault with secrets of every kind, files that hold them, and what may be in no memory afterwards.
struct Scene {
    sandbox: Sandbox,
    needles: Vec<Needle>,
    recipient: String,
}

impl Scene {
    fn new() -> Self {
        let mut sandbox = Sandbox::new();
        let (identity, recipient) = identity();
        let [text, password, quoted, long, phrase, wrong, stored] = std::array::from_fn(|_| canary());
        let long = long.repeat(200);
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).unwrap();
        let seed: String =
            seed.iter().map(|byte| char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[usize::from(byte % 32)])).collect();
        let mut bytes = vec![0; 64];
        getrandom::fill(&mut bytes).unwrap();
        bytes[0] = 0xff;
        let json =
            format!("{{\n \"user\": \"hidden\", \"password\": \"{password}\",\n \"list\": [\"a\\n\\\"{quoted}\\u00e9\"]\n}}");
        let users: serde_json::Value = serde_json::from_str(include_str!("../vectors-foreign/users.json")).unwrap();
        let (pepper, user_password) = (users["pepper"].as_str().unwrap(), format!("Aa1!{text}"));
        let (user_master, user_value) =
            (users["keys"]["master_key"].as_str().unwrap(), users["values"]["ann"][0].as_str().unwrap());
        let name = "a/long name of a secret";
        let files: &[(&str, String)] = &[
            ("text", text.clone()),
            ("json", json.clone()),
            ("long", long.clone()),
            ("flat.json", format!("{{\"{name}\":\"{text}\",\"escaped\":\"\\u00e9{quoted}\",\"object\":{json}}}")),
            ("flat.yaml", format!("{name}: {text}\nescaped: \"\\n{quoted}\"\nobject:\n  password: {password}\n")),
            ("flat.toml", format!("plain = '{text}'\nescaped = \"\\n{quoted}\"\n[object]\npassword = \"{password}\"\n")),
            ("flat.csv", format!("name,value\n{name},{text}\nescaped,\"\"\"{quoted}\n\"\n")),
            ("file.env", format!("PLAIN={text}\nSINGLE='{password}'\nDOUBLE=\"{quoted}\"\n")),
            ("docker.env", format!("PLAIN={text}\nOTHER={password}\n")),
            ("file.fish", format!("set -gx PLAIN '{text}'\n")),
            ("file.ps1", format!("$env:PLAIN = '{text}'\n")),
            ("manifest", format!("kind: Secret\nstringData:\n  PLAIN: {text}\ndata:\n  OTHER: {}\n", STANDARD.encode(&password))),
            (
                "bitwarden",
                format!("{{\"items\":[{{\"type\":1,\"name\":\"b\",\"login\":{{\"username\":\"u\",\"password\":\"{text}\"}}}}]}}"),
            ),
            ("logins", format!("Title,Username,Password\nt,u,{text}\n")),
            ("broken.env", format!("PLAIN={text}\n{password}\n")),
            ("broken.json", format!("{{\"a\":\"\\u00e9{text}\",\"b\":{password}")),
            ("template", "a {{ vault://text }} {{ vault://json#password }}\n".to_owned()),
            ("references.env", "ONE=vault://text\nTWO=\"x {{ vault://json#password }}\"\n".to_owned()),
            ("log", format!("one {text}\ntwo {}\nthree {}\n", STANDARD.encode(&password), &long[..900])),
            ("document.json", format!("{{\"password\":\"{text}\",\"deep\":{{\"token\":[\"\\u00e9{quoted}\"]}}}}")),
            ("document.yaml", format!("password: {text}\ntoken: [\"{quoted}\"]\n")),
            ("document.toml", format!("password = \"{text}\"\ntoken = [\"\\n{quoted}\"]\n")),
            ("foreign.env", format!("ENCRYPTION_KEYS__v1={text}\nENCRYPTION_SALT__v1=salt\n")),
            ("asked", "protocol=https\nhost=example.org\n".to_owned()),
            ("credential", format!("protocol=https\nhost=example.org\nusername=u\npassword={text}\n")),
            ("docker.json", format!("{{\"ServerURL\":\"example.org\",\"Username\":\"u\",\"Secret\":\"{text}\"}}")),
            ("server", "example.org".to_owned()),
            ("passphrase", format!("{phrase}\n")),
            ("wrong", format!("{wrong}\n")),
            ("identity", format!("{identity}\n")),
            ("uri", format!("otpauth://totp/site?secret={seed}")),
            ("user-password", format!("{user_password}\n")),
            ("user-pepper", format!("{pepper}\n")),
            ("users.json", users["users"].to_string()),
            ("data.json", users["data"].to_string()),
            ("keys.json", users["keys"].to_string()),
            ("layer.json", "{\"a\":\"vault://text\",\"b\":\"x {{ vault://json#password }}\"}".to_owned()),
        ];
        for (name, content) in files {
            sandbox.write(name, content);
        }
        for (name, script) in [
            ("show", "env".to_owned()),
            ("editor", "printf more >> \"$1\"".to_owned()),
            ("say", "cat passphrase".to_owned()),
            ("wl-copy", "cat > /dev/null".to_owned()),
            ("wl-paste", "true".to_owned()),
        ] {
            sandbox.script(name, &script);
        }
        for name in ["ed25519", "ed25519.pub"] {
            fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keys").join(name), sandbox.path("work").join(name))
                .unwrap();
        }
        for name in ["tree", "credentials"] {
            fs::create_dir(sandbox.path("work").join(name)).unwrap();
            fs::copy(sandbox.path("work/log"), sandbox.path("work").join(name).join("log")).unwrap();
        }
        if is_installed("git") {
            let git = "git init -q && git add tree && git -c user.name=T -c user.email=t@example.org commit -qm m && git add log";
            sandbox.shell(git).run().ok();
        }
        let raw = fs::read(sandbox.key()).unwrap();
        sandbox.write("base64.key", STANDARD.encode(&raw));
        sandbox.set_env("EDITOR", sandbox.path("work/editor"));
        sandbox.set_env("WAYLAND_DISPLAY", "x");
        let path = format!("{}:{}", sandbox.path("work").display(), std::env::var("PATH").unwrap());
        sandbox.set_env("PATH", path);
        for (name, value) in
            [("text", text.as_bytes()), ("long", long.as_bytes()), ("bytes", &bytes), ("docker", text.as_bytes())]
        {
            sandbox.vault(&["set", name, "--raw", "--category", name]).stdin(value).run().ok();
        }
        sandbox.vault(&["set", "json", "--json"]).stdin(&json).run().ok();
        let credential = format!("{{\"protocol\":\"https\",\"username\":\"u\",\"password\":\"{stored}\"}}");
        sandbox.vault(&["set", "git/example.org", "--json"]).stdin(credential).run().ok();
        sandbox.vault(&["backup", "copy"]).run().ok();

        let foreign_master: Vec<u8> =
            (0..64).step_by(2).map(|at| u8::from_str_radix(&user_master[at..at + 2], 16).unwrap()).collect();
        let mut needles = Vec::new();
        for (name, secret) in [
            ("text", text.as_bytes()),
            ("a field", password.as_bytes()),
            ("a field with escapes", quoted.as_bytes()),
            ("the long value", &long.as_bytes()[..canary().len()]),
            ("bytes", &bytes),
            ("a passphrase", phrase.as_bytes()),
            ("a passphrase", wrong.as_bytes()),
            ("the password of git", stored.as_bytes()),
            ("the seed of codes", seed.as_bytes()),
            ("the pepper", pepper.as_bytes()),
            ("what a user keeps", user_value.as_bytes()),
            ("the master key of another service", &foreign_master),
            ("the raw key", &raw),
            ("the identity", &identity.as_bytes()[b"AGE-SECRET-KEY-1".len()..]),
        ] {
            needles.extend(Needle::pieces(name, secret));
            for shift in 0..3 {
                let encoded = STANDARD.encode([&vec![0; shift], secret].concat());
                needles.extend(Needle::pieces(&format!("{name} in base64"), &encoded.as_bytes()[4..encoded.len() - 4]));
            }
            let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
            needles.extend(Needle::pieces(&format!("{name} in hex"), hex.as_bytes()));
        }
        let (_, scalar) = bech32::decode(&identity).unwrap();
        needles.extend(Needle::pieces("the scalar of the identity", &scalar));
        Self { sandbox, needles, recipient }
    }

    /// The master key as it is now.
    fn master(&self) -> Vec<Needle> {
        let key: [u8; 32] = fs::read(self.sandbox.key()).unwrap().try_into().unwrap();
        let locked = Locked::open(&self.sandbox.file()).unwrap();
        let kept = locked.keep(&locked.open_slot(&Credential::RawKey(RawKey::new(key.into()))).unwrap()).unwrap();
        let secret = kept.secret.expose();
        let at = secret.windows(3).position(|part| part == [0x02, 0x58, 0x20]).unwrap() + 3;
        Needle::pieces("the master key", &secret[at..at + 32])
    }

    /// What is in the memory of a command where it ends.
    fn left(&self, line: &str) -> Vec<String> {
        let (learn, line) = line.strip_prefix("new: ").map_or((false, line), |line| (true, line));
        let failing = line.split_once(' ').and_then(|(code, rest)| Some((code.parse().ok()?, rest)));
        let (code, line) = failing.unwrap_or((0, line));
        let mut needles = [self.needles.clone(), self.master()].concat();
        let ended = self.run(VAULT, line);
        if learn {
            let printed = fs::read(self.sandbox.path("stdout")).unwrap();
            let value = if printed.is_empty() { self.sandbox.get("new") } else { printed };
            assert!(value.len() >= 16, "`{line}`");
            needles.extend(Needle::pieces("the new value", &value));
        }
        needles.extend(self.master());
        let said = fs::read_to_string(self.sandbox.path("stderr")).unwrap();
        assert_eq!(ended.code, code, "`{line}`: {said}");
        let found: BTreeSet<_> = memory::found(ended.child.id(), &needles).into_iter().collect();
        found.iter().map(|found| format!("`{line}`: {found}")).collect()
    }

    /// Runs a command up to its end, and not through it.
    fn run(&self, program: &str, line: &str) -> Ended {
        let mut words: Vec<&str> = line.split(' ').collect();
        let stdin = words.iter().position(|word| *word == "<").map(|at| words.split_off(at)[1]);
        let hold = ["-D", "-o", "/dev/null", "-e", "trace=exit_group", "-e", "inject=exit_group:delay_enter=60000000", program];
        let mut run = self.sandbox.program("strace", &hold);
        for word in words {
            run = match word.split_once('=') {
                Some((name, "KEY")) => run.env(name, fs::read_to_string(self.sandbox.path("work/base64.key")).unwrap()),
                Some((name, value)) if name.starts_with("VAULT_") => run.env(name, value),
                _ if word == "RECIPIENT" => run.arg(&self.recipient),
                _ => run.arg(word),
            };
        }
        let mut command = run.into_command();
        command.stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() });
        for (name, is_error) in [("stdout", false), ("stderr", true)] {
            let file = fs::File::create(self.sandbox.path(name)).unwrap();
            if is_error {
                command.stderr(file)
            } else {
                command.stdout(file)
            };
        }
        let mut child = command.spawn().unwrap();
        if let Some(name) = stdin {
            let content = fs::read(self.sandbox.path("work").join(name)).unwrap();
            let mut pipe = child.stdin.take().unwrap();
            // A command that reads nothing may have ended before.
            let _ = pipe.write_all(&content);
        }
        let mut ended = Ended { child, code: 0 };
        let is_end = format!("{} 0x", libc::SYS_exit_group);
        wait_until(&format!("the end of `{line}`"), || {
            let call = fs::read_to_string(format!("/proc/{}/syscall", ended.child.id())).unwrap_or_default();
            let code = call.strip_prefix(&is_end).and_then(|rest| rest.split(' ').next());
            ended.code = code.map_or(0, |code| i32::from_str_radix(code, 16).unwrap());
            code.is_some()
        });
        ended
    }
}

/// A command that stands at its end.
struct Ended {
    child: Child,
    code: i32,
}

impl Drop for Ended {
    fn drop(&mut self) {
        // strace looks again only when its delay is over; without it the command goes on to its end.
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:")?.trim().parse().ok());
        if let Some(tracer) = tracer.and_then(Pid::from_raw) {
            let _ = kill_process(tracer, Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn can_be_held() -> bool {
    let may = memory::can_be_read() && is_installed("strace");
    let may = may && Sandbox::empty().program("strace", &["-o", "/dev/null", "true"]).run().code == 0;
    assert!(may || std::env::var_os("VAULT_TEST_REQUIRE").is_none(), "this takes root, and strace that may trace");
    may
}

fn judge(found: &[String]) {
    let is = |found: &str, (command, secret, _): &(&str, &str, &str)| found.contains(command) && found.contains(secret);
    let unexpected: Vec<&String> = found.iter().filter(|found| !LEFT.iter().any(|left| is(found, left))).collect();
    assert!(unexpected.is_empty(), "left in memory: {unexpected:#?}");
}

#[test]
fn what_a_program_keeps_is_found_where_it_ends() {
    if !can_be_held() {
        return;
    }
    let scene = Scene::new();
    scene.sandbox.write("script", "read -r held; exit 3");
    let ended = scene.run("sh", "script < text");
    assert_eq!(ended.code, 3);
    let found = memory::found(ended.child.id(), &scene.needles);
    assert!(found.iter().any(|found| found.starts_with("text in ")), "{found:?}");
    assert!(!found.iter().any(|found| found.starts_with("the raw key")), "{found:?}");
}

#[test]
fn no_command_leaves_a_secret_in_its_memory() {
    if !can_be_held() {
        return;
    }
    let found: Vec<String> = std::thread::scope(|scope| {
        let work = |group: &'static str| {
            scope.spawn(move || {
                let scene = Scene::new();
                let lines = group.lines().map(str::trim).filter(|line| !line.is_empty());
                lines.flat_map(|line| scene.left(line)).collect::<Vec<_>>()
            })
        };
        let groups: Vec<_> = GROUPS.iter().copied().map(work).collect();
        groups.into_iter().flat_map(|group| group.join().unwrap()).collect()
    });
    judge(&found);
    for (command, secret, _) in LEFT {
        assert!(found.iter().any(|found| found.contains(command) && found.contains(secret)), "{command} leaves {secret} no more");
    }
}

#[test]
fn nor_does_one_that_is_unlocked_by_the_agent() {
    if !can_be_held() {
        return;
    }
    let mut scene = Scene::new();
    scene.sandbox.vault(&["unlock", "--ttl", "10m"]).run().ok();
    scene.sandbox.remove_env("VAULT_KEY_FILE");
    let lines = HELD.lines().map(str::trim).filter(|line| !line.is_empty());
    judge(&lines.flat_map(|line| scene.left(line)).collect::<Vec<_>>());
    scene.sandbox.vault(&["lock"]).run();
}

#[test]
fn nor_does_one_that_asks_a_server() {
    if !can_be_held() {
        return;
    }
    let mut scene = Scene::new();
    let server = Server::start(&scene.sandbox, &["--listen", "127.0.0.1:0"]);
    let token = token(&scene.sandbox, &[]);
    scene.needles.extend(Needle::pieces("the token", crate::remote::proof(&token).as_bytes()));
    let file = scene.sandbox.write("token", &token);
    scene.sandbox.set_env("VAULT_SERVER", &server.addresses[0]);
    scene.sandbox.set_env("VAULT_SERVER_TOKEN_FILE", file);
    for name in ["VAULT_FILE", "VAULT_KEY_FILE"] {
        scene.sandbox.remove_env(name);
    }
    let lines = REMOTE.lines().map(str::trim).filter(|line| !line.is_empty());
    judge(&lines.flat_map(|line| scene.left(line)).collect::<Vec<_>>());
}

#[test]
fn a_run_that_stays_keeps_no_key() {
    if !memory::can_be_read() {
        return;
    }
    let scene = Scene::new();
    let mut child = scene.sandbox.vault(&["run", "--mask", "--", "sh", "-c", "echo started > started; exec sleep 60"]).spawn();
    wait_until("the start of the program", || scene.sandbox.path("work/started").exists());
    let keys = [scene.master(), Needle::pieces("the raw key", &fs::read(scene.sandbox.key()).unwrap())].concat();
    let found = memory::found(child.id(), &keys);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(found.is_empty(), "{found:?}");
}
