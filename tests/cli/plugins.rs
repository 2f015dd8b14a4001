//! Plugins of age: what they open, what they encrypt, and that none runs which the user did not allow.

use std::fs;
use std::time::Duration;

use crate::prompts::at_terminal;
use crate::sandbox::{Sandbox, identity, within};

const PLUGIN: &str = include_str!("../keys/age-plugin-test");

/// The recipient of a plugin's key.
fn recipient(name: &str, key: u8) -> String {
    bech32::encode_lower::<bech32::Bech32>(bech32::Hrp::parse(&format!("age1{name}")).unwrap(), &[key; 5]).unwrap()
}

/// The text of its identity.
fn secret(name: &str, key: u8) -> String {
    let hrp = bech32::Hrp::parse(&format!("age-plugin-{name}-")).unwrap();
    bech32::encode_upper::<bech32::Bech32>(hrp, &[key; 5]).unwrap()
}

/// A vault with the entry `a` that opens by a key file.
fn scene() -> Sandbox {
    let mut sandbox = Sandbox::new();
    sandbox.set("a", "value");
    fs::create_dir(sandbox.path("plugins")).unwrap();
    let mut path = sandbox.path("plugins").into_os_string();
    path.push(":/usr/bin:/bin");
    sandbox.set_env("PATH", path);
    sandbox
}

/// Puts a plugin on the path; its name says what it does.
fn install(sandbox: &Sandbox, name: &str) {
    sandbox.executable(&sandbox.path("plugins").join(format!("age-plugin-{name}")), PLUGIN);
}

fn configure(sandbox: &Sandbox, text: &str) {
    fs::create_dir_all(sandbox.path("config/vault")).unwrap();
    fs::write(sandbox.path("config/vault/config.toml"), text).unwrap();
}

/// Which plugins were run so far, and for what.
fn log(sandbox: &Sandbox) -> String {
    fs::read_to_string(sandbox.path("plugins/log")).unwrap_or_default()
}

fn add(sandbox: &Sandbox, label: &str, recipient: &str) -> crate::sandbox::Output {
    sandbox.vault(&["key", "add", "--label", label, "--recipient", recipient]).run()
}

fn get(sandbox: &Sandbox, identity: &str) -> crate::sandbox::Output {
    sandbox.write("identity", format!("# of a plugin\n{identity}\n"));
    sandbox.vault(&["get", "a", "--identity", "identity"]).run()
}

#[test]
fn a_plugin_opens_what_it_encrypted() {
    let sandbox = scene();
    install(&sandbox, "test");
    configure(&sandbox, "plugins = [\"test\"]\n");
    add(&sandbox, "ann", &recipient("test", 1)).ok();
    add(&sandbox, "bob", &recipient("test", 2)).ok();
    let listed = sandbox.vault(&["key", "list", "--format", "json"]).run().ok().json();
    let kinds: Vec<_> = listed["slots"].as_array().unwrap().iter().map(|slot| slot["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["raw", "plugin", "plugin"]);
    assert_eq!(log(&sandbox), "test --age-plugin=recipient-v1\n".repeat(2));
    // One run for all slots that could be meant.
    for key in [1, 2] {
        assert_eq!(get(&sandbox, &secret("test", key)).ok().stdout, b"value");
    }
    get(&sandbox, &secret("test", 3)).fails(4, "none of the identities opens this vault");
    let opened = "test --age-plugin=identity-v1\n";
    assert_eq!(log(&sandbox), "test --age-plugin=recipient-v1\n".repeat(2) + &opened.repeat(3));

    // A key that needs no other program goes first, wherever it stands.
    let (own, public) = identity();
    add(&sandbox, "own", &public).ok();
    let before = log(&sandbox);
    get(&sandbox, &format!("{}\n{own}", secret("test", 1))).ok();
    assert_eq!(log(&sandbox), before);

    // A rotation encrypts to each of them anew, and what was given up opens nothing.
    sandbox.vault(&["key", "rotate", "--master"]).run().ok();
    sandbox.vault(&["key", "remove", "bob"]).run().ok();
    assert_eq!(get(&sandbox, &secret("test", 1)).ok().stdout, b"value");
    get(&sandbox, &secret("test", 2)).fails(4, "none of the identities");
    sandbox.vault(&["check"]).run().ok();

    // The plugin is told nothing that is not its business.
    sandbox.vault(&["get", "a", "--identity", "identity"]).env("VAULT_PASSPHRASE", "canary").env("VAULT_KEY", "canary").run();
    let seen = fs::read_to_string(sandbox.path("plugins/environment")).unwrap();
    assert!(seen.contains("PATH=") && !seen.contains("canary"), "{seen}");
    assert_eq!(fs::read_to_string(sandbox.path("plugins/directory")).unwrap(), "/\n");

    // A backup, both ways.
    let backup = sandbox.vault(&["export", "--format", "age", "--recipient", &recipient("test", 5)]).run().ok().stdout;
    sandbox.write("backup.age", backup);
    sandbox.write("own", secret("test", 5));
    sandbox.vault(&["import", "backup.age", "--overwrite", "--backup-identity", "own"]).run().ok();
    sandbox.write("own", secret("test", 6));
    sandbox.vault(&["import", "backup.age", "--overwrite", "--backup-identity", "own"]).run().fails(4, "cannot be opened");

    // A new vault.
    sandbox.vault(&["init", "--vault", "new", "--recipient", &recipient("test", 1)]).without_env("VAULT_KEY_FILE").run().ok();
    sandbox.write("own", secret("test", 1));
    sandbox.vault(&["list", "--vault", "new", "--identity", "own"]).run().ok();
}

#[test]
fn only_what_the_user_allows_is_run() {
    let sandbox = scene();
    install(&sandbox, "test");
    configure(&sandbox, "plugins = [\"test\", \"other\"]\n");
    add(&sandbox, "hardware", &recipient("test", 1)).ok();
    fs::remove_file(sandbox.path("plugins/log")).unwrap();
    // Nobody but the user: neither an empty list, nor a project, nor another name.
    for (user, project) in [("", "plugins = [\"test\"]\n"), ("plugins = [\"tes\", \"testy\"]\n", ""), ("plugins = []\n", "")] {
        configure(&sandbox, user);
        sandbox.write("vault.toml", project);
        let before = sandbox.bytes();
        let refused =
            add(&sandbox, "x", &recipient("test", 2)).fails(12, "slot 'x': the plugin age-plugin-test is not allowed to run");
        assert!(refused.stderr.contains("config.toml allows it: plugins = [\"test\"]"), "{}", refused.stderr);
        get(&sandbox, &secret("test", 1)).fails(12, "the plugin age-plugin-test is not allowed to run");
        sandbox.vault(&["init", "--vault", "new", "--recipient", &recipient("test", 1)]).run().fails(12, "not allowed to run");
        assert!(!sandbox.path("work/new").exists());
        // A change of keys that needs it is refused as a whole, and says for which slot.
        for arguments in [&["key", "rotate", "--master"][..], &["key", "remove", "key file", "--force"]] {
            sandbox.vault(arguments).run().fails(12, "slot 'hardware': the plugin age-plugin-test is not allowed to run");
        }
        assert_eq!(sandbox.bytes(), before);
        // One that does not, since full slots keep their master key, goes on.
        sandbox.vault(&["key", "rotate", "--data"]).run().ok();
    }
    sandbox.write("vault.toml", "");
    // One that is allowed, and has no slot here, has nothing to do.
    install(&sandbox, "other");
    configure(&sandbox, "plugins = [\"other\"]\n");
    get(&sandbox, &secret("other", 1)).fails(4, "none of the identities opens this vault");
    // The key file opens the vault without it.
    sandbox.vault(&["get", "a"]).run().ok();
    assert_eq!(log(&sandbox), "");

    // Allowed, and not there; the directory at hand is not one to look in.
    configure(&sandbox, "plugins = [\"test\"]\n");
    fs::rename(sandbox.path("plugins/age-plugin-test"), sandbox.path("work/age-plugin-test")).unwrap();
    let before = sandbox.bytes();
    for path in ["/usr/bin", ".:/usr/bin", ":/usr/bin", "/usr/bin:", "../work:/usr/bin"] {
        let vault = crate::sandbox::VAULT;
        let rotate = sandbox.program(vault, &["key", "rotate", "--master"]).env("PATH", path).run();
        rotate.fails(13, "slot 'hardware': the plugin age-plugin-test is not installed");
        sandbox.write("identity", secret("test", 1));
        let get = sandbox.program(vault, &["get", "a", "--identity", "identity"]).env("PATH", path).run();
        get.fails(4, "the plugin age-plugin-test is not installed");
    }
    assert_eq!(sandbox.bytes(), before);
    assert!(!sandbox.path("work/log").exists());
}

#[test]
fn a_name_is_a_name_and_no_path() {
    let sandbox = scene();
    install(&sandbox, "test");
    fs::create_dir(sandbox.path("plugins/age-plugin-x")).unwrap();
    fs::copy(sandbox.path("plugins/age-plugin-test"), sandbox.path("plugins/planted")).unwrap();
    configure(&sandbox, "plugins = [\"test\"]\n");
    for name in ["x/../planted", "../planted", "a/b", "x\u{7e}y"] {
        add(&sandbox, "x", &recipient(name, 1)).fails(2, "a recipient cannot be used");
        get(&sandbox, &secret(name, 1)).fails(4, "holds no age identity");
    }
    for name in ["x/../planted", "", "A", "a b"] {
        configure(&sandbox, &format!("plugins = [\"test\", \"{name}\"]\n"));
        sandbox.vault(&["list"]).run().fails(2, "is no name of a plugin");
    }
    // A directory of that name is no program.
    configure(&sandbox, "plugins = [\"x\"]\n");
    add(&sandbox, "x", &recipient("x", 1)).fails(13, "is not installed");
    assert_eq!(log(&sandbox), "");
}

/// What a plugin does wrong, and what is said of it.
const WRONG: [(&str, &str); 12] = [
    ("early", "ended before it was done"),
    ("garbage", "does not speak the protocol"),
    ("huge", "sent more than is taken"),
    ("lines", "sends without end"),
    ("sorry", "failed: no [31m key"),
    ("hang", "did not answer in time"),
    ("trickle", "did not answer in time"),
    ("deaf", ""),
    ("nothing", "encrypted nothing"),
    ("foreign", "gave what it was not asked for"),
    ("scrypt", "gave something that is no recipient stanza"),
    ("asked", "gave what it was not asked for"),
];

#[test]
fn a_plugin_that_misbehaves_ends_nothing_but_the_command() {
    let sandbox = scene();
    let names: Vec<String> = WRONG.iter().map(|(name, _)| format!("{name:?}")).collect();
    // Only what gives no answer in time is given little of it: any program may take a while to start.
    let patience = |name: &str| {
        let timeout = if ["hang", "trickle", "deaf"].contains(&name) { "1s" } else { "60s" };
        let names = names.join(", ");
        configure(&sandbox, &format!("plugins = [{names}, \"wrong\", \"far\", \"short\"]\nplugin-timeout = \"{timeout}\"\n"));
    };
    let before = sandbox.bytes();
    for (name, said) in WRONG.into_iter().chain([("short", "gave something that is no recipient stanza")]) {
        install(&sandbox, name);
        patience(name);
        let output = within(Duration::from_secs(20), || add(&sandbox, "x", &recipient(name, 1)).fails(13, said));
        assert!(output.stderr.contains(&format!("age-plugin-{name}")), "{}", output.stderr);
        assert!(!output.stderr.contains('\u{1b}'));
    }
    assert_eq!(sandbox.bytes(), before);

    // When it is to open: the slots were made while it behaved.
    for name in ["early", "garbage", "huge", "lines", "sorry", "hang", "wrong", "far", "nothing"] {
        let file = sandbox.path("plugins").join(format!("age-plugin-{name}"));
        sandbox.executable(&file, &PLUGIN.replace("\n    chat\n    case", "\n    case"));
        patience("");
        add(&sandbox, name, &recipient(name, 1)).ok();
        install(&sandbox, name);
        patience(name);
        let said = match WRONG.iter().find(|(other, _)| *other == name) {
            _ if name == "nothing" => "none of the identities",
            Some((_, said)) => said,
            None if name == "wrong" => "gave a key that is not that of the file",
            None => "gave what it was not asked for",
        };
        get(&sandbox, &secret(name, 1)).fails(4, said);
        // Another identity of the same file does without it.
        let (own, public) = identity();
        add(&sandbox, &format!("beside {name}"), &public).ok();
        get(&sandbox, &format!("{}\n{own}", secret(name, 1))).ok();
    }
}

#[test]
fn messages_and_questions_of_a_plugin_reach_the_person() {
    let sandbox = scene();
    for name in ["chatty", "pin"] {
        install(&sandbox, name);
    }
    configure(&sandbox, "plugins = [\"chatty\", \"pin\"]\n");
    let added = add(&sandbox, "chatty", &recipient("chatty", 1)).ok();
    assert!(added.stderr.contains("age-plugin-chatty: Touch [31m your key\n"), "{}", added.stderr);
    let got = get(&sandbox, &secret("chatty", 1)).ok();
    assert_eq!((got.stdout.as_slice(), got.stderr.as_str()), (&b"value"[..], "age-plugin-chatty: Touch [31m your key\n"));

    // Without anybody to ask, the plugin is told so, and says what that means.
    let add = ["-w", crate::sandbox::VAULT, "key", "add", "--label", "pin", "--recipient", &recipient("pin", 1)];
    sandbox.program("setsid", &add).run().fails(13, "age-plugin-pin failed: wrong PIN");
    let add = add[1..].join(" ");
    let session = at_terminal(&sandbox, &add, &[("age-plugin-pin: PIN", "1234\n"), ("Go on (yes: yes, no: no)", "y")]).ends(0);
    assert!(!session.screen.contains("1234"), "{}", session.screen);
    sandbox.write("identity", secret("pin", 1));
    let get = format!("{} get a --identity identity > out", crate::sandbox::VAULT);
    at_terminal(&sandbox, &get, &[("age-plugin-pin: PIN", "1234\n"), ("Go on", "y")]).ends(0);
    assert_eq!(fs::read(sandbox.path("work/out")).unwrap(), b"value");
    let session = at_terminal(&sandbox, &get, &[("age-plugin-pin: PIN", "4321\n")]).ends(4);
    assert!(session.screen.contains("age-plugin-pin failed: wrong PIN"), "{}", session.screen);
    let session = at_terminal(&sandbox, &format!("{get} --no-input"), &[]).ends(4);
    assert!(!session.screen.contains("PIN:"), "{}", session.screen);
}

#[test]
fn completing_a_name_runs_no_plugin() {
    let sandbox = scene();
    install(&sandbox, "test");
    configure(&sandbox, "plugins = [\"test\"]\n");
    add(&sandbox, "ann", &recipient("test", 1)).ok();
    fs::remove_file(sandbox.path("plugins/log")).unwrap();
    sandbox.write("identity", secret("test", 1));
    let complete = |identity: &str| {
        let line = ["--", "vault", "--identity", identity, "get", ""];
        let run = sandbox.vault(&line).env("VAULT_COMPLETE", "bash").env("_CLAP_IFS", "\n").env("_CLAP_COMPLETE_INDEX", "4");
        run.env("_CLAP_COMPLETE_COMP_TYPE", "9").env("_CLAP_COMPLETE_SPACE", "true").run().ok().text()
    };
    assert!(!complete("identity").lines().any(|name| name == "a"));
    assert_eq!(log(&sandbox), "");
    let (own, public) = identity();
    add(&sandbox, "own", &public).ok();
    sandbox.write("own", own);
    assert!(complete("own").lines().any(|name| name == "a"));
}

#[test]
fn which_slots_withstand_a_quantum_computer_is_listed() {
    let sandbox = scene();
    install(&sandbox, "pq");
    configure(&sandbox, "plugins = [\"pq\"]\n");
    add(&sandbox, "hybrid", &recipient("pq", 1)).ok();
    add(&sandbox, "classical", &identity().1).ok();
    let listed = sandbox.vault(&["key", "list", "--format", "json"]).run().ok().json();
    let slots: Vec<_> = listed["slots"].as_array().unwrap().iter().map(|slot| slot["post_quantum"].as_bool().unwrap()).collect();
    assert_eq!(slots, [false, true, false]);
    let text = sandbox.vault(&["key", "list"]).run().ok().text();
    let marked: Vec<_> = text.lines().map(|line| line.contains("plugin, post-quantum")).collect();
    assert_eq!(marked, slots);
}
