//! The keychain of the system: a real one (GNOME Keyring on a bus of its own), one that is locked, one that hangs, and none.

use std::fs;
use std::io::Write as _;
use std::os::unix::net::UnixListener;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use vault::{Credential, Locked, RawKey};

use crate::sandbox::{Output, PATIENCE, Run, Sandbox, is_installed, wait_until, within};

/// A sandbox with a vault, and a session bus that starts nothing by itself.
struct Desktop {
    sandbox: Sandbox,
    started: Vec<Child>,
}

impl Drop for Desktop {
    fn drop(&mut self) {
        for child in self.started.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Desktop {
    /// `None` where the programs are missing: that is said.
    fn without_keychain() -> Option<Self> {
        let all = ["dbus-daemon", "dbus-send", "gnome-keyring-daemon", "secret-tool"].iter().all(|program| is_installed(program));
        assert!(all || std::env::var_os("VAULT_TEST_REQUIRE").is_none(), "what a keychain needs is not installed");
        if !all {
            return None;
        }
        let mut desktop = Self { sandbox: Sandbox::new(), started: Vec::new() };
        let (configuration, bus) = (desktop.sandbox.path("bus.conf"), desktop.sandbox.path("bus"));
        let policy = r#"<allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>"#;
        let text = format!(
            "<busconfig><type>session</type><listen>unix:path={}</listen><auth>EXTERNAL</auth><policy context=\"default\">{policy}</policy></busconfig>",
            bus.display()
        );
        fs::write(&configuration, text).unwrap();
        desktop.start("dbus-daemon", &["--nofork", "--config-file", configuration.to_str().unwrap()], "");
        desktop.sandbox.set_env("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={}", bus.display()));
        wait_until("the bus", || desktop.call("org.freedesktop.DBus", "/", "org.freedesktop.DBus.GetId", &[]).code == 0);
        Some(desktop)
    }

    /// With a keychain that is unlocked and empty.
    fn new() -> Option<Self> {
        let mut desktop = Self::without_keychain()?;
        let control = desktop.sandbox.path("runtime/keyring");
        let arguments = ["--foreground", "--unlock", "--components=secrets", "--control-directory", control.to_str().unwrap()];
        desktop.start("gnome-keyring-daemon", &arguments, "login");
        wait_until("the default collection", || {
            desktop.secrets("ReadAlias", &["string:default"]).text().contains("/collection/login")
        });
        Some(desktop)
    }

    fn start(&mut self, program: &str, arguments: &[&str], input: &str) {
        let mut command = self.sandbox.program(program, arguments).into_command();
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        self.started.push(child);
    }

    fn call(&self, destination: &str, path: &str, method: &str, arguments: &[&str]) -> Output {
        let destination = format!("--dest={destination}");
        let all = [&["--session", "--print-reply", &destination, path, method], arguments].concat();
        self.sandbox.program("dbus-send", &all).run()
    }

    fn secrets(&self, method: &str, arguments: &[&str]) -> Output {
        let method = format!("org.freedesktop.Secret.Service.{method}");
        self.call("org.freedesktop.secrets", "/org/freedesktop/secrets", &method, arguments)
    }

    fn lock(&self) {
        self.secrets("Lock", &["array:objpath:/org/freedesktop/secrets/collection/login"]).ok();
    }

    /// What the keychain keeps for the vault, as another program of the user gets it.
    fn kept(&self) -> Option<String> {
        let id = Locked::open(&self.sandbox.file()).unwrap().id();
        let found = self.sandbox.program("secret-tool", &["lookup", "service", "vault", "account", &id]).run();
        (found.code == 0).then(|| found.text())
    }
}

/// The user's configuration has commands look into the keychain.
fn enable(sandbox: &Sandbox) {
    fs::create_dir_all(sandbox.path("config/vault")).unwrap();
    fs::write(sandbox.path("config/vault/config.toml"), "keychain = true\n").unwrap();
}

/// What a run gives for which the keychain answers in time: of five, one has to be that.
#[track_caller]
fn answered(run: impl Fn() -> Run) -> Output {
    let is_late = |output: &Output| [&output.stderr, &output.text()].iter().any(|said| said.contains("keychain did not answer"));
    (0..5).map(|_| run().run()).find(|output| !is_late(output)).expect("an answer of the keychain")
}

fn get(sandbox: &Sandbox) -> Output {
    answered(|| sandbox.vault(&["get", "a"]).without_env("VAULT_KEY_FILE"))
}

fn remember(sandbox: &Sandbox) -> Output {
    answered(|| sandbox.vault(&["key", "remember"]))
}

#[test]
fn a_remembered_key_opens_the_vault_alone_and_behind_all_that_are_given() {
    let Some(desktop) = Desktop::new() else { return };
    let sandbox = &desktop.sandbox;
    sandbox.set("a", "1");
    sandbox.write("wrong", [9; 32]);
    let said = remember(sandbox).ok();
    assert!(said.stderr.contains("keeps a key for this vault") && said.stderr.contains("keychain = true"), "{}", said.stderr);
    // Not before the user's own configuration says so.
    get(sandbox).fails(4, "no key is given");
    enable(sandbox);
    let got = get(sandbox).ok();
    assert_eq!((got.stdout.as_slice(), got.stderr.as_str()), (&b"1"[..], ""));
    answered(|| sandbox.vault(&["set", "a", "--no-input"]).without_env("VAULT_KEY_FILE").stdin("2")).ok();
    assert!(!remember(sandbox).ok().stderr.contains("hint"));
    for run in [
        sandbox.vault(&["get", "a", "--key-file", "wrong"]),
        sandbox.vault(&["get", "a"]).env("VAULT_KEY_FILE", "wrong"),
        sandbox.vault(&["get", "a"]).without_env("VAULT_KEY_FILE").env("VAULT_PASSPHRASE", "wrong"),
    ] {
        run.run().fails(4, "does not open this vault");
    }
    // It is the slot's: other keys of the vault, and another place of the file, change nothing.
    sandbox.vault(&["compact"]).run().ok();
    sandbox.vault(&["key", "rotate", "--master"]).run().ok();
    assert_eq!(get(sandbox).ok().stdout, b"2");
    fs::copy(sandbox.file(), sandbox.path("work/copy")).unwrap();
    let diff = answered(|| sandbox.vault(&["diff", "copy", "../test.vault", "--exit-code"]).without_env("VAULT_KEY_FILE"));
    assert_eq!((diff.ok().stderr.as_str(), get(sandbox).code), ("", 0));
    // Another vault has no key there.
    sandbox.vault(&["init", "--vault", "other", "--key-file", "other.key", "-q"]).run().ok();
    let list = ["list", "--vault", "other"];
    answered(|| sandbox.vault(&list).without_env("VAULT_KEY_FILE")).fails(4, "no key is given");
    // And gets one of its own, also in a run that opens both.
    answered(|| sandbox.vault(&["key", "remember", "--vault", "other", "--key-file", "other.key"])).ok();
    answered(|| sandbox.vault(&["diff", "other", "../test.vault"]).without_env("VAULT_KEY_FILE")).ok();
}

#[test]
fn what_is_kept_is_the_identity_of_the_slot_and_is_seen_nowhere_else() {
    let Some(desktop) = Desktop::new() else { return };
    let sandbox = &desktop.sandbox;
    sandbox.set("a", "1");
    enable(sandbox);
    let key = RawKey::new(zeroize::Zeroizing::new(fs::read(sandbox.key()).unwrap().try_into().unwrap()));
    let slot = Locked::open(&sandbox.file()).unwrap().slot_identity(&Credential::RawKey(key)).unwrap();
    let secret = slot.expose();
    let mut said = String::new();
    let commands: [&[&str]; 6] = [
        &["key", "remember"],
        &["key", "remember", "-v"],
        &["get", "a"],
        &["doctor"],
        &["get", "a", "--expect-vault", "0"],
        &["key", "forget"],
    ];
    for arguments in commands {
        let log = sandbox.path("trace");
        let traces = is_installed("strace");
        let strace = ["-f", "-v", "-s", "10000", "-e", "trace=execve,openat", "-o"];
        let output = answered(|| {
            let mut run = sandbox.vault(arguments);
            if traces {
                run = sandbox.program("strace", &strace).arg(&log).arg("vault");
                run = arguments.iter().fold(run, |run, argument| run.arg(argument));
            }
            if arguments[0] == "key" { run } else { run.without_env("VAULT_KEY_FILE") }
        });
        said.push_str(&format!("{}{}", output.stderr, output.text()));
        if traces {
            said.push_str(&fs::read_to_string(&log).unwrap());
        }
        if arguments[0] == "key" && arguments[1] == "remember" {
            // The second time it takes the place of the first.
            let found = desktop.secrets("SearchItems", &["dict:string:string:service,vault"]).text();
            assert_eq!(found.matches("object path").count(), 1, "{found}");
            let kept = desktop.kept().unwrap();
            assert_eq!(kept, format!("# vault: {}\n{}\n", sandbox.file().display(), *secret));
        }
    }
    assert!(!said.contains("AGE-SECRET-KEY"), "{said}");
    assert_eq!(desktop.kept(), None);
    for (path, _) in sandbox.files("") {
        let text = fs::read(&path).unwrap_or_default();
        assert!(!text.windows(secret.len()).any(|window| window == secret.as_bytes()), "{}", path.display());
    }
}

#[test]
fn a_key_that_no_longer_opens_is_forgotten_and_that_of_another_copy_is_not() {
    let Some(mut desktop) = Desktop::new() else { return };
    enable(&desktop.sandbox);
    desktop.sandbox.remove_env("VAULT_KEY_FILE");
    fs::remove_file(desktop.sandbox.file()).unwrap();
    for (name, text) in [("old", "seven odd words that nobody tries"), ("new", "seven other words that nobody tries")] {
        desktop.sandbox.write(name, text);
    }
    let sandbox = &desktop.sandbox;
    let by = |name: &str, arguments: &[&str]| sandbox.vault(&[arguments, &["--passphrase-file", name]].concat());
    by("old", &["init", "-q"]).run().ok();
    by("old", &["set", "a"]).stdin("1").run().ok();
    answered(|| by("old", &["key", "remember"])).ok();
    assert_eq!(get(sandbox).ok().stdout, b"1");
    fs::copy(sandbox.file(), sandbox.path("work/copy")).unwrap();

    by("old", &["key", "passwd", "--new-passphrase-file", "new"]).run().ok();
    let stale = get(sandbox);
    assert!(
        stale.stderr.contains("warning: the key in the keychain no longer opens the vault; it was forgotten"),
        "{}",
        stale.stderr
    );
    stale.fails(4, "no key is given");
    assert_eq!(desktop.kept(), None);
    assert!(!get(sandbox).stderr.contains("warning"));

    // The old copy opens by the old passphrase alone. That is no reason to forget the new one's key.
    answered(|| by("new", &["key", "remember"])).ok();
    let copy = answered(|| sandbox.vault(&["get", "a", "--vault", "copy"]));
    assert!(copy.stderr.contains("which does not open this copy; it was passed over"), "{}", copy.stderr);
    copy.fails(4, "no key is given");
    assert_eq!(get(sandbox).ok().stdout, b"1");

    // Nor is it for `doctor`, which changes nothing.
    by("new", &["key", "passwd", "--new-passphrase-file", "old"]).run().ok();
    let report = answered(|| by("old", &["doctor"])).ends(10).text();
    assert!(report.contains("problem  the key in the keychain does not open the vault"), "{report}");
    answered(|| sandbox.vault(&["doctor"])).fails(4, "no key is given");
    assert!(desktop.kept().is_some());
}

#[test]
fn doctor_proves_the_key_that_is_kept() {
    let Some(desktop) = Desktop::new() else { return };
    let sandbox = &desktop.sandbox;
    sandbox.set("a", "1");
    let doctor = || answered(|| sandbox.vault(&["doctor"])).ends(10).text();
    assert!(!doctor().contains("keychain"));
    enable(sandbox);
    assert!(doctor().contains("ok       the keychain keeps no key for this vault"));
    remember(sandbox).ok();
    let proof = "the key in the keychain opens slot 'key file' and reads values";
    assert!(doctor().contains(proof));
    // It is also what the rest is looked at with.
    let alone = answered(|| sandbox.vault(&["doctor"]).without_env("VAULT_KEY_FILE")).ends(10).text();
    assert!(alone.contains(proof), "{alone}");
    desktop.lock();
    assert!(doctor().contains("warning  whether the keychain keeps a key is not known: the keychain is locked"));
}

#[test]
fn forgetting_needs_no_key() {
    let Some(desktop) = Desktop::new() else { return };
    let sandbox = &desktop.sandbox;
    sandbox.set("a", "1");
    enable(sandbox);
    let forget = || answered(|| sandbox.vault(&["key", "forget"]).without_env("VAULT_KEY_FILE"));
    forget().fails(3, "keeps no key for this vault");
    remember(sandbox).ok();
    assert!(desktop.kept().is_some());
    forget().ok();
    assert_eq!(desktop.kept(), None);
    get(sandbox).fails(4, "no key is given");
    forget().fails(3, "keeps no key for this vault");
}

#[test]
fn a_locked_keychain_is_passed_over_and_asks_nobody() {
    let Some(desktop) = Desktop::new() else { return };
    let sandbox = &desktop.sandbox;
    sandbox.set("a", "1");
    enable(sandbox);
    remember(sandbox).ok();
    desktop.lock();
    let start = Instant::now();
    // Whoever waits for an answer to a question waits for longer.
    let got = within(Duration::from_secs(3), || get(sandbox));
    assert!(got.stderr.starts_with("warning: the keychain is locked; it was passed over\n"), "{}", got.stderr);
    got.fails(4, "no key is given");
    assert_eq!(sandbox.get("a"), b"1");
    for command in ["remember", "forget"] {
        answered(|| sandbox.vault(&["key", command])).fails(13, "the keychain is locked");
    }
    // Nor is it asked to open for a vault of which it keeps nothing.
    sandbox.vault(&["init", "--vault", "other", "--key-file", "other.key", "-q"]).run().ok();
    let other = ["key", "remember", "--vault", "other", "--key-file", "other.key"];
    answered(|| sandbox.vault(&other)).fails(13, "the keychain is locked");
    // Whoever waits for an answer to a question waits for ever.
    assert!(start.elapsed() < PATIENCE);
}

#[test]
fn where_there_is_no_keychain_nothing_is_said_of_it() {
    let quiet = |sandbox: &Sandbox, address: Option<&str>| {
        let with = |arguments: &[&str]| {
            let run = sandbox.vault(arguments);
            match address {
                Some(address) => run.env("DBUS_SESSION_BUS_ADDRESS", address),
                None => run.without_env("DBUS_SESSION_BUS_ADDRESS"),
            }
        };
        let got = within(Duration::from_secs(2), || with(&["get", "a"]).without_env("VAULT_KEY_FILE").run());
        assert!(!got.stderr.contains("keychain"), "{address:?}: {}", got.stderr);
        got.fails(4, "no key is given");
        for command in ["remember", "forget"] {
            with(&["key", command]).run().fails(13, "there is no keychain");
        }
    };
    let sandbox = Sandbox::new();
    enable(&sandbox);
    for address in [None, Some("unix:path=/nowhere/bus"), Some("tcp:host=,port=x"), Some("nonsense"), Some("")] {
        quiet(&sandbox, address);
    }
    let Some(desktop) = Desktop::without_keychain() else { return };
    enable(&desktop.sandbox);
    let bus = format!("unix:path={}", desktop.sandbox.path("bus").display());
    quiet(&desktop.sandbox, Some(&bus));
}

#[test]
fn a_keychain_that_hangs_is_not_waited_for() {
    let mut sandbox = Sandbox::new();
    sandbox.set("a", "1");
    enable(&sandbox);
    let listener = UnixListener::bind(sandbox.path("bus")).unwrap();
    sandbox.set_env("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={}", sandbox.path("bus").display()));
    // It accepts and says nothing; the connections stay open.
    std::thread::spawn(move || {
        let mut open = Vec::new();
        open.extend(std::iter::from_fn(|| listener.accept().ok()));
    });
    for arguments in [&["get", "a"][..], &["key", "forget"]] {
        let run = within(Duration::from_secs(6), || {
            let start = Instant::now();
            let run = sandbox.vault(arguments).without_env("VAULT_KEY_FILE").run();
            assert!(start.elapsed() >= Duration::from_secs(3), "{arguments:?}: {:?}", start.elapsed());
            run
        });
        assert!(run.stderr.contains("the keychain did not answer within 3 seconds"), "{}", run.stderr);
        run.ends(if arguments[0] == "key" { 13 } else { 4 });
    }
    // A key that is given is used without a look, of which there would be a word.
    let got = within(Duration::from_secs(2), || sandbox.vault(&["get", "a"]).run().ok());
    assert_eq!((got.stdout.as_slice(), got.stderr.as_str()), (&b"1"[..], ""));
}

#[test]
fn nobody_is_connected_to_unless_the_users_own_configuration_says_so() {
    if !is_installed("strace") {
        return;
    }
    let mut sandbox = Sandbox::new();
    if sandbox.program("strace", &["-o", "/dev/null", "true"]).run().code != 0 {
        eprintln!("skipped: strace may not trace here");
        return;
    }
    sandbox.set("a", "1");
    sandbox.set_env("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={}", sandbox.path("bus").display()));
    let looks = |key: bool| {
        let log = sandbox.path("trace");
        let run = sandbox.program("strace", &["-f", "-e", "trace=connect,socket,clone,clone3,execve", "-o"]).arg(&log);
        let run = run.arg("vault").arg("get").arg("a");
        let code = if key { run.run() } else { run.without_env("VAULT_KEY_FILE").run() }.code;
        assert_eq!(code, if key { 0 } else { 4 });
        let trace = fs::read_to_string(&log).unwrap();
        assert!(trace.contains("execve("), "{trace}");
        // Neither a socket nor a thread to open one on.
        ["connect(", "socket(", "clone"].iter().any(|call| trace.contains(call))
    };
    assert!(!looks(false));
    // A project cannot switch it on.
    sandbox.write("vault.toml", "keychain = true\n");
    assert!(!looks(false));
    enable(&sandbox);
    assert!(looks(false));
    assert!(!looks(true));
}
