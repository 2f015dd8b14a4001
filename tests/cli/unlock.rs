//! Which key is used, of those that are given.

use std::os::unix::fs::PermissionsExt as _;

use vault::crypto::X25519Identity;
use vault::{Credential, ErrorKind, Locked, Options, Passphrase, RawKey};

use crate::sandbox::{Sandbox, identity, is_installed, is_root};

/// The sources of the documented order that take no key derivation, each as an option or a variable and a good and a bad value.
/// A passphrase opens nothing here, so that a source that is used shows by its error.
#[test]
fn the_first_that_is_given_is_used() {
    let mut sandbox = Sandbox::empty();
    let (mine, recipient) = identity();
    let (other, _) = identity();
    sandbox.write("identity", format!("{mine}\n"));
    sandbox.write("other", format!("{other}\n"));
    sandbox.write("wrong", [9; 32]);
    sandbox.write("phrase", "nope\n");
    sandbox.vault(&["init", "--vault", "v", "--key-file", "k", "--recipient", &recipient, "-q"]).run().ok();
    sandbox.set_env("VAULT_FILE", sandbox.path("work/v"));
    const WRONG: &str = "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=";
    // Each with what it says if it is the one that is used: all of them are wrong.
    let sources: [(&[&str], &str, &str); 11] = [
        (&["--passphrase-fd", "77"], "", "file descriptor 77 cannot be read"),
        (&["--passphrase-file", "none"], "", "the passphrase file cannot be read"),
        (&["--identity", "other"], "", "none of the identities"),
        (&["--key-file", "wrong"], "", "the key does not open this vault"),
        (&[], "VAULT_PASSPHRASE_FD=78", "file descriptor 78 cannot be read"),
        (&[], "VAULT_PASSPHRASE_FILE=none", "the passphrase file cannot be read"),
        (&[], "VAULT_PASSPHRASE_CMD=exit 3", "VAULT_PASSPHRASE_CMD failed"),
        (&[], "VAULT_PASSPHRASE=nope", "the passphrase does not open this vault"),
        (&[], "VAULT_IDENTITY=other", "none of the identities"),
        (&[], &format!("VAULT_KEY={WRONG}"), "the key does not open this vault"),
        (&[], "VAULT_KEY_FILE=no file", "the key file cannot be read"),
    ];
    for from in 0..sources.len() {
        let mut arguments = vec!["list"];
        for (options, _, _) in &sources[from..] {
            arguments.extend(*options);
        }
        let mut run = sandbox.vault(&arguments);
        for (name, value) in sources[from..].iter().filter_map(|(_, variable, _)| variable.split_once('=')) {
            run = run.env(name, value);
        }
        run.run().fails(4, sources[from].2);
    }
    // Right ones, alone, and the empty variable that counts as none.
    for (options, variable) in [
        (&["--identity", "identity"][..], ""),
        (&["--key-file", "k"], ""),
        (&[], "VAULT_IDENTITY=identity"),
        (&[], "VAULT_KEY_FILE=k"),
        (&["--key-file", "k"], "VAULT_IDENTITY=other"),
        (&["--identity", "identity", "--key-file", "wrong"], "VAULT_PASSPHRASE=nope"),
    ] {
        let mut arguments = vec!["list"];
        arguments.extend(options);
        let mut run = sandbox.vault(&arguments).env("VAULT_PASSPHRASE_FD", "").env("VAULT_PASSPHRASE", "");
        if let Some((name, value)) = variable.split_once('=') {
            run = run.env(name, value);
        }
        run.run().ok();
    }
    let key = std::fs::read(sandbox.path("work/k")).unwrap();
    let encoded = sandbox.program("base64", &["-w0", "k"]).run();
    if encoded.code == 0 {
        sandbox.vault(&["list"]).env("VAULT_KEY", encoded.text()).run().ok();
        sandbox.vault(&["list"]).env("VAULT_KEY", format!(" {}\n", encoded.text())).run().ok();
    }
    if !key.contains(&0) {
        use std::os::unix::ffi::OsStrExt as _;
        sandbox.vault(&["list"]).env("VAULT_KEY", std::ffi::OsStr::from_bytes(&key)).run().ok();
    }
    sandbox.vault(&["list"]).env("VAULT_KEY", "short").run().fails(4, "VAULT_KEY does not hold a key");
    sandbox.vault(&["list", "--identity", "k"]).run().fails(4, "holds no age identity");
    sandbox.vault(&["list"]).env("VAULT_PASSPHRASE_FD", "x").run().fails(2, "not the number of a file descriptor");
    let none = sandbox.vault(&["list"]).run().fails(4, "no key is given");
    assert!(none.stderr.contains("hint: this vault opens by key file or age identity"), "{}", none.stderr);
}

#[test]
fn a_passphrase_from_every_source() {
    let mut sandbox = Sandbox::empty();
    let phrase = "seven odd words that nobody will try";
    sandbox.write("phrase", format!("{phrase}\r\nsecond line"));
    sandbox.vault(&["init", "--vault", "v", "--passphrase-file", "phrase", "-q"]).run().ok();
    sandbox.set_env("VAULT_FILE", sandbox.path("work/v"));
    sandbox.shell("vault list --passphrase-fd 5 5< phrase").run().ok();
    sandbox.shell("cat phrase | VAULT_PASSPHRASE_FD=5 vault list 5<&0").run().ok();
    sandbox.vault(&["list"]).env("VAULT_PASSPHRASE_FILE", "phrase").run().ok();
    sandbox.vault(&["list"]).env("VAULT_PASSPHRASE_CMD", "cat phrase").run().ok();
    sandbox.vault(&["list"]).env("VAULT_PASSPHRASE", phrase).run().ok();
    sandbox.vault(&["list"]).env("VAULT_PASSPHRASE", "wrong").run().fails(4, "the passphrase does not open this vault");
    let none = sandbox.program("setsid", &["-w", "vault", "list"]).run();
    assert!(none.code == 4 && none.stderr.contains("no key is given") && none.stderr.contains("no terminal"), "{}", none.stderr);
}

#[test]
fn an_ordinary_user_reads_a_passphrase_from_a_descriptor() {
    if !is_root() || !is_installed("setpriv") {
        return;
    }
    // The process is not dumpable, and what is below /proc/self belongs to root then.
    let sandbox = Sandbox::empty();
    sandbox.copy_binary();
    for directory in ["work", "state", "."] {
        std::fs::set_permissions(sandbox.path(directory), std::fs::Permissions::from_mode(0o777)).unwrap();
    }
    let ordinary = "setpriv --reuid 65534 --regid 65534 --clear-groups";
    let script = format!(
        "{ordinary} ../vault init --vault v -q --passphrase-fd 4 4< ../phrase && \
         cat ../phrase | {ordinary} ../vault list --vault v --passphrase-fd 0"
    );
    std::fs::write(sandbox.path("phrase"), "seven odd words that nobody will try\n").unwrap();
    sandbox.shell(&script).run().ok();
}

#[test]
fn what_belongs_to_the_other_tool_of_this_name_is_not_read() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "v");
    let mut run = sandbox.vault(&["get", "a"]);
    for name in [
        "VAULT_ADDR",
        "VAULT_AGENT_ADDR",
        "VAULT_TOKEN",
        "VAULT_FORMAT",
        "VAULT_NAMESPACE",
        "VAULT_CACERT",
        "VAULT_CAPATH",
        "VAULT_CLIENT_CERT",
        "VAULT_CLIENT_KEY",
        "VAULT_CLIENT_TIMEOUT",
        "VAULT_SKIP_VERIFY",
        "VAULT_MAX_RETRIES",
        "VAULT_MFA",
        "VAULT_LOG_LEVEL",
        "VAULT_OUTPUT",
        "VAULT_CLI_NO_COLOR",
        "VAULT_DETAILED",
        "VAULT_PASSWORD",
        "VAULT_ENV",
        "VAULT_WRAP_TTL",
    ] {
        run = run.env(name, "/nonsense\u{1b}");
    }
    let got = run.run().ok();
    assert_eq!((got.stdout.as_slice(), got.stderr.as_str()), (&b"v"[..], ""));
}

#[test]
fn a_descriptor_is_read_once_for_all_files_of_a_run() {
    let mut sandbox = Sandbox::empty();
    sandbox.write("phrase", "seven odd words that nobody will try\n");
    sandbox.set_env("VAULT_FILE", sandbox.path("work/v"));
    sandbox.vault(&["init", "--passphrase-file", "phrase", "-q"]).run().ok();
    sandbox.shell("cat phrase | vault backup copy --passphrase-fd 5 5<&0").run().ok();
    sandbox.shell("cat phrase | vault diff v copy --passphrase-fd 5 5<&0").run().ok();
}

#[test]
fn an_age_identity_is_not_remembered() {
    let mut sandbox = Sandbox::new();
    let (secret, recipient) = identity();
    sandbox.vault(&["key", "add", "--label", "ann", "--recipient", &recipient]).run().ok();
    sandbox.write("identity", &secret);
    sandbox.remove_env("VAULT_KEY_FILE");
    let locked = Locked::open(&sandbox.file()).unwrap();
    let identities = Credential::Identities(vec![X25519Identity::parse(&secret).unwrap().into()]);
    let error = locked.slot_identity(&identities).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Usage);
    // Nor is it taken for one that was derived: it would open other vaults as well.
    let slot = || Credential::Slot(X25519Identity::parse(&secret).unwrap());
    assert_eq!(locked.slot_identity(&slot()).err().unwrap().kind(), ErrorKind::Locked);
    assert_eq!(locked.unlock(&slot(), Options::default()).err().unwrap().kind(), ErrorKind::Locked);
}

#[test]
fn the_identity_of_a_slot_opens_that_slot_and_nothing_else() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "1");
    sandbox.write("laptop", [7; 32]);
    sandbox.vault(&["key", "add", "--label", "laptop", "--key-file", "laptop"]).run().ok();
    let raw = |byte| Credential::RawKey(RawKey::new([byte; 32].into()));
    let open = || Locked::open(&sandbox.file()).unwrap();
    let slot = Credential::Slot(open().slot_identity(&raw(7)).unwrap());
    let in_use = || {
        let vault = open().unlock(&slot, Options::default())?;
        vault.slots().map(|slots| slots.into_iter().find(|slot| slot.in_use).unwrap().label)
    };
    assert_eq!(in_use().unwrap(), "laptop");
    assert_eq!(open().slot_identity(&raw(8)).err().unwrap().code(), "wrong_key");
    let nobody = Credential::Passphrase(Passphrase::new(b"x".to_vec().into()));
    assert_eq!(open().slot_identity(&nobody).err().unwrap().code(), "wrong_passphrase");
    for arguments in [&["compact"][..], &["key", "rotate", "--master"], &["key", "rotate", "--data"]] {
        sandbox.vault(arguments).run().ok();
        assert_eq!(in_use().unwrap(), "laptop", "{arguments:?}");
    }
    // The same key in another vault becomes something else.
    sandbox.vault(&["init", "--vault", "other", "--key-file", "laptop", "-q"]).run().ok();
    let other = Locked::open(&sandbox.path("work/other")).unwrap();
    let Credential::Slot(identity) = &slot else { unreachable!() };
    assert!(!other.has_slot_of(identity));
    assert_eq!(other.unlock(&slot, Options::default()).err().unwrap().kind(), ErrorKind::Locked);
    sandbox.vault(&["key", "remove", "laptop"]).run().ok();
    assert_eq!(in_use().unwrap_err().code(), "wrong_key");
}
