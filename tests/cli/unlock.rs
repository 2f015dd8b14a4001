//! Which key is used, of those that are given.

use std::os::unix::fs::PermissionsExt as _;

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
    std::fs::copy(crate::sandbox::VAULT, sandbox.path("vault")).unwrap();
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
