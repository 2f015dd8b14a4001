//! SSH keys and encrypted identity files, as slots and as what opens them.

use std::path::PathBuf;

use age::armor::{ArmoredWriter, Format};

use crate::prompts::at_terminal;
use crate::sandbox::{Sandbox, identity};

/// The passphrase of the key `locked`.
const PHRASE: &str = "open sesame";

/// A key for tests.
fn key(name: &str) -> String {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/keys").join(name).to_str().unwrap().to_owned()
}

fn public(name: &str) -> String {
    std::fs::read_to_string(key(&format!("{name}.pub"))).unwrap().trim().to_owned()
}

/// A vault with the entry `a` that opens by the SSH key and by the key file.
fn scene(name: &str) -> Sandbox {
    let mut sandbox = Sandbox::new();
    sandbox.set("a", "value");
    sandbox.vault(&["key", "add", "--label", name, "--ssh-key", &key(&format!("{name}.pub"))]).run().ok();
    sandbox.remove_env("VAULT_KEY_FILE");
    sandbox
}

/// The labels and kinds of the slots.
fn slots(sandbox: &Sandbox) -> Vec<String> {
    let key = sandbox.key();
    let listed = sandbox.vault(&["key", "list", "--format", "json", "--key-file", key.to_str().unwrap()]).run().ok().json();
    let show = |slot: &serde_json::Value| format!("{} {}", slot["label"].as_str().unwrap(), slot["kind"].as_str().unwrap());
    listed["slots"].as_array().unwrap().iter().map(show).collect()
}

#[test]
fn private_ssh_keys_open_their_slots_and_no_others() {
    for name in ["ed25519", "rsa", "rsa-pem"] {
        let sandbox = scene(name);
        assert_eq!(slots(&sandbox), ["key file raw".to_owned(), format!("{name} ssh")]);
        let private = key(name);
        assert_eq!(sandbox.vault(&["get", "a", "--identity", &private]).run().ok().stdout, b"value");
        assert_eq!(sandbox.vault(&["get", "a"]).env("VAULT_IDENTITY", &private).run().ok().stdout, b"value");
        std::fs::create_dir_all(sandbox.path("config/vault")).unwrap();
        std::fs::write(sandbox.path("config/vault/config.toml"), format!("identity = {private:?}\n")).unwrap();
        assert_eq!(sandbox.vault(&["get", "a"]).run().ok().stdout, b"value");
        for other in ["ed25519", "rsa", "rsa-pem"].iter().filter(|other| **other != name) {
            sandbox.vault(&["get", "a", "--identity", &key(other)]).run().fails(4, "none of the identities opens this vault");
        }
        // The keys are wrapped anew from the public half alone.
        sandbox.vault(&["key", "rotate", "--master"]).run().ok();
        assert_eq!(sandbox.vault(&["get", "a"]).run().ok().stdout, b"value");
        sandbox.vault(&["check"]).run().ok();
    }
}

#[test]
fn a_vault_is_made_for_ssh_keys() {
    let mut sandbox = Sandbox::empty();
    sandbox.set_env("VAULT_FILE", sandbox.path("work/v"));
    let keys = [key("ed25519.pub"), key("rsa.pub")];
    sandbox.vault(&["init", "--ssh-key", &keys[0], "--ssh-key", &keys[1], "--recipient", &public("rsa-pem")]).run().ok();
    for name in ["ed25519", "rsa", "rsa-pem"] {
        sandbox.vault(&["list", "--identity", &key(name)]).run().ok();
    }
    let listed = sandbox.vault(&["key", "list", "--identity", &key("rsa")]).run().ok().text();
    let labels: Vec<_> = listed.lines().map(|line| line.split("  ").next().unwrap()).collect();
    assert_eq!(labels, ["recipient", "ssh key", "ssh key 2"]);
    sandbox.vault(&["init", "--vault", "w", "--ssh-key", &key("ecdsa.pub")]).run().fails(2, "of the type ecdsa-sha2-nistp256");
    sandbox.vault(&["init", "--vault", "w", "--ssh-key", &key("short-rsa.pub")]).run().fails(2, "less than 2048");
    assert!(!sandbox.path("work/w").exists());
}

#[test]
fn a_private_key_is_refused_where_a_public_one_belongs() {
    let sandbox = Sandbox::new();
    let before = sandbox.bytes();
    let add = |option: &str, file: &str| sandbox.vault(&["key", "add", "--label", "x", option, file]).run();
    for option in ["--ssh-key", "--recipients-file"] {
        let refused = add(option, &key("rsa")).fails(2, "holds a private key");
        assert!(refused.stderr.contains(&format!("hint: the public one is in {}", key("rsa.pub"))), "{}", refused.stderr);
        let text = std::fs::read_to_string(key("ed25519")).unwrap();
        sandbox.write("alone", &text);
        let refused = add(option, "alone").fails(2, "alone holds a private key");
        assert!(refused.stderr.contains("ssh-keygen -y -f alone"), "{}", refused.stderr);
        assert!(!refused.stderr.contains(text.lines().nth(1).unwrap()));
        let (secret, _) = identity();
        sandbox.write("age", &secret);
        let refused = add(option, "age").fails(2, "holds a private key");
        assert!(!refused.stderr.contains(&secret));
    }
    sandbox.write("empty", "# nothing\n");
    add("--ssh-key", "empty").fails(2, "it is empty");
    sandbox.write("two", format!("{}\n{}\n", public("rsa"), public("ed25519")));
    add("--ssh-key", "two").fails(2, "more than one line");
    sandbox.write("recipient", identity().1);
    let refused = add("--ssh-key", "recipient").fails(2, "it is a recipient of age");
    assert!(refused.stderr.contains("hint: --recipient takes it"));
    add("--ssh-key", "none").fails(13, "none");
    let two = ["key", "add", "--label", "x", "--ssh-key", "two", "--recipient", &public("rsa")];
    sandbox.vault(&two).run().fails(2, "name one thing");
    assert_eq!(sandbox.bytes(), before);
}

#[test]
fn all_usable_keys_of_a_file_become_slots_in_one_change() {
    let sandbox = Sandbox::new();
    let (_, recipient) = identity();
    let file = |keys: &[&str]| sandbox.write("keys", format!("# of somebody\n\n{}\n", keys.join("\n")));
    let add = || sandbox.vault(&["key", "add", "--label", "ann", "--from-github-keys", "keys"]).run();
    let (ed25519, rsa) = (public("ed25519"), public("rsa"));
    file(&[&public("ecdsa"), &ed25519, &public("short-rsa"), &format!("  {ed25519} again"), &recipient]);
    let before = epoch(&sandbox);
    let added = add().ok();
    assert_eq!(epoch(&sandbox), before + 1, "one change of the header");
    let expected = "\
warning: line 3 of keys was left out: an SSH key of the type ecdsa-sha2-nistp256 cannot be encrypted to, only ssh-ed25519 and ssh-rsa
warning: line 5 of keys was left out: the RSA key has less than 2048 or more than 4096 bits
slot 'ann' opens everything
slot 'ann 2' opens everything
";
    assert_eq!(added.stderr, expected);
    assert_eq!(slots(&sandbox), ["key file raw", "ann ssh", "ann 2 age"]);
    sandbox.set("a", "value");
    assert_eq!(sandbox.vault(&["get", "a", "--identity", &key("ed25519")]).run().ok().stdout, b"value");

    // Again, when there is one more; and when there is none.
    file(&[&ed25519, &recipient, &rsa]);
    let added = sandbox.vault(&["key", "add", "--label", "ann's new", "--recipients-file", "keys"]).run().ok();
    assert!(added.stderr.contains("slot 'ann' opens by one of the keys already"), "{}", added.stderr);
    assert_eq!(slots(&sandbox), ["key file raw", "ann ssh", "ann 2 age", "ann's new ssh"]);
    let before = sandbox.bytes();
    add().fails(6, "open the vault already");
    // A line that is nothing at all may be somebody who is meant to have access: all of it is refused.
    file(&[&public("rsa-pem"), "age1nonsense"]);
    add().fails(2, "line 4 of keys cannot be used");
    file(&[&public("ecdsa")]);
    add().fails(2, "holds no key that can be used");
    // A label that is taken, though not the first.
    file(&[&public("rsa-pem"), &identity().1]);
    sandbox.vault(&["key", "add", "--label", "key file", "--recipients-file", "keys"]).run().fails(6, "called 'key file'");
    assert_eq!(sandbox.bytes(), before);
    // All of them limited.
    let added = sandbox.vault(&["key", "add", "--label", "ci", "--recipients-file", "keys", "--only", "category:ci"]).run().ok();
    assert!(added.stderr.contains("slot 'ci 2' opens category:ci"), "{}", added.stderr);
    sandbox.vault(&["get", "a", "--identity", &key("rsa-pem")]).run().fails(12, "");
}

/// How often the file was rewritten.
fn epoch(sandbox: &Sandbox) -> u64 {
    let bytes = sandbox.bytes();
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().find_map(|line| line.strip_prefix("epoch = ")).unwrap();
    line.parse().unwrap()
}

#[test]
fn an_encrypted_key_asks_only_for_what_it_could_open() {
    let sandbox = scene("locked");
    let private = key("locked");
    for arguments in [&["get", "a", "--identity", &private][..], &["get", "a", "--identity", &private, "--no-input"]] {
        let refused = sandbox.program("setsid", &[&["-w", "vault"], arguments].concat()).run().fails(4, "is encrypted");
        assert!(refused.stderr.contains("hint: there is no terminal to ask on"), "{}", refused.stderr);
    }
    let get = format!("vault get a --identity {private} > out");
    let question = format!("Passphrase of {private}");
    let session = at_terminal(&sandbox, &get, &[(&question, &format!("{PHRASE}\n"))]).ends(0);
    assert!(!session.screen.contains(PHRASE), "{}", session.screen);
    assert_eq!(std::fs::read(sandbox.path("work/out")).unwrap(), b"value");
    let session = at_terminal(&sandbox, &get, &[(&question, "wrong\n")]).ends(4);
    assert!(session.screen.contains("the passphrase does not open"), "{}", session.screen);
    assert!(!session.screen.contains("wrong\r\n"), "{}", session.screen);
    // Asked once, however many files are opened.
    let backup = format!("vault backup copy --identity {private} > out");
    at_terminal(&sandbox, &backup, &[(&question, &format!("{PHRASE}\n"))]).ends(0);
    at_terminal(&sandbox, &format!("vault diff v copy --identity {private} --vault v; true"), &[]).ends(0);

    // Without a slot of its own nobody is asked.
    let other = scene("ed25519");
    let session = at_terminal(&other, &get, &[]).ends(4);
    assert!(session.screen.contains("none of the identities") && !session.screen.contains("Passphrase"), "{}", session.screen);
}

#[test]
fn keys_that_cannot_decrypt_say_why() {
    let sandbox = scene("ed25519");
    let get = |file: &str| sandbox.vault(&["get", "a", "--identity", file]).run();
    get(&key("ecdsa")).fails(4, "only ssh-ed25519 and ssh-rsa keys can decrypt");
    sandbox.write("pkcs8", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    get("pkcs8").fails(4, "a key of this form is not read");
    let pem = std::fs::read_to_string(key("rsa-pem")).unwrap();
    let locked = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n";
    sandbox.write("locked-pem", pem.replace("-----BEGIN RSA PRIVATE KEY-----\n", locked));
    get("locked-pem").fails(4, "a PEM file that is encrypted is not read");
    let text = std::fs::read_to_string(key("ed25519")).unwrap();
    sandbox.write("cut", &text[..text.len() / 2]);
    get("cut").fails(4, "holds no age identity");
    sandbox.write("crlf", text.replace('\n', "\r\n"));
    assert_eq!(get("crlf").ok().stdout, b"value");
    get(&key("ed25519.pub")).fails(4, "holds no age identity");
}

/// An age file to a passphrase, cheap to open.
fn encrypted(plaintext: &str, armored: bool) -> Vec<u8> {
    use std::io::Write as _;
    let mut recipient = age::scrypt::Recipient::new(PHRASE.to_owned().into());
    recipient.set_work_factor(2);
    let encryptor = age::Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient)).unwrap();
    let mut file = Vec::new();
    let format = if armored { Format::AsciiArmor } else { Format::Binary };
    let mut writer = encryptor.wrap_output(ArmoredWriter::wrap_output(&mut file, format).unwrap()).unwrap();
    writer.write_all(plaintext.as_bytes()).unwrap();
    writer.finish().unwrap().finish().unwrap();
    file
}

#[test]
fn an_identity_file_may_be_encrypted() {
    let mut sandbox = Sandbox::new();
    let (secret, recipient) = identity();
    sandbox.set("a", "value");
    sandbox.vault(&["key", "add", "--label", "own", "--recipient", &recipient]).run().ok();
    sandbox.remove_env("VAULT_KEY_FILE");
    sandbox.write("own.age", encrypted(&format!("# mine\n{secret}\n"), false));
    sandbox.write("own.asc", encrypted(&format!("{secret}\n"), true));
    let bomb = String::from_utf8_lossy(&encrypted("", true)).into_owned();
    assert!(bomb.starts_with("-----BEGIN AGE"));
    let refused = sandbox.program("setsid", &["-w", "vault", "get", "a", "--identity", "own.age"]).run();
    refused.fails(4, "own.age is encrypted, and there is no terminal");
    sandbox.vault(&["get", "a", "--identity", "own.asc", "--no-input"]).run().fails(4, "own.asc is encrypted");
    let typed = format!("{PHRASE}\n");
    for file in ["own.age", "own.asc"] {
        at_terminal(&sandbox, &format!("vault get a --identity {file} > out"), &[(&format!("Passphrase of {file}"), &typed)])
            .ends(0);
        assert_eq!(std::fs::read(sandbox.path("work/out")).unwrap(), b"value");
    }
    let session = at_terminal(&sandbox, "vault get a --identity own.age", &[("Passphrase of own.age", "no\n")]).ends(4);
    assert!(session.screen.contains("the passphrase does not open own.age"), "{}", session.screen);
    // One that would take 64 GiB is refused before any of it is spent.
    let text = encrypted(&secret, false);
    let at = text.windows(3).position(|bytes| bytes == b" 2\n").unwrap();
    sandbox.write("bomb.age", [&text[..at], b" 26", &text[at + 2..]].concat());
    let session = at_terminal(&sandbox, "vault get a --identity bomb.age", &[("Passphrase of bomb.age", &typed)]).ends(4);
    assert!(session.screen.contains("the passphrase does not open bomb.age"), "{}", session.screen);
}

#[test]
fn the_passphrase_of_an_identity_may_be_given() {
    let mut sandbox = scene("locked");
    let (secret, recipient) = identity();
    let raw = sandbox.key();
    sandbox.vault(&["key", "add", "--label", "own", "--recipient", &recipient]).env("VAULT_KEY_FILE", &raw).run().ok();
    sandbox.write("own.age", encrypted(&format!("{secret}\n"), false));
    sandbox.write("phrase", format!("{PHRASE}\n"));
    sandbox.write("wrong", "wrong\n");
    let locked = key("locked");
    for file in [locked.as_str(), "own.age"] {
        let get = |options: &[&str]| sandbox.vault(&[&["get", "a", "--no-input"], options].concat());
        let given = ["--identity", file, "--passphrase-file", "phrase"];
        assert_eq!(get(&given).run().ok().stdout, b"value");
        assert_eq!(get(&["--identity", file, "--passphrase-fd", "0"]).stdin(format!("{PHRASE}\n")).run().ok().stdout, b"value");
        let wrong = get(&["--identity", file, "--passphrase-file", "wrong"]).run().fails(4, "passphrase does not open");
        assert!(!wrong.stderr.contains("wrong\n"), "{}", wrong.stderr);
        for (name, value) in [("", PHRASE), ("_FILE", "phrase"), ("_CMD", "cat phrase")] {
            let name = format!("VAULT_PASSPHRASE{name}");
            assert_eq!(get(&["--identity", file]).env(&name, value).run().ok().stdout, b"value", "{name}");
            assert_eq!(get(&[]).env("VAULT_IDENTITY", file).env(&name, value).run().ok().stdout, b"value", "{name}");
        }
    }
    // Beside one that is not encrypted it is a key of its own, and goes first.
    let other = key("ed25519");
    sandbox.set_env("VAULT_IDENTITY", &other);
    sandbox.vault(&["get", "a", "--passphrase-file", "phrase"]).run().fails(4, "");
    // Nor is it that of a backup's identity.
    sandbox.remove_env("VAULT_IDENTITY");
    let backup = sandbox.vault(&["export", "--format", "age", "--recipient", &public("locked")]).env("VAULT_KEY_FILE", &raw);
    let backup = backup.run().ok().stdout;
    sandbox.write("backup.age", &backup);
    let import = ["-w", "vault", "import", "backup.age", "--overwrite", "--backup-identity", &locked];
    let import = [&import[..], &["--identity", &locked, "--passphrase-file", "phrase"]].concat();
    sandbox.program("setsid", &import).run().fails(4, "its passphrase cannot be asked for");
}

#[test]
fn backups_go_to_ssh_keys_and_come_back() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "value");
    for name in ["ed25519", "rsa"] {
        let backup = sandbox.vault(&["export", "--format", "age", "--recipient", &public(name)]).run().ok().stdout;
        sandbox.write("backup.age", &backup);
        let import = |file: &str| sandbox.vault(&["import", "backup.age", "--overwrite", "--backup-identity", file]).run();
        import(&key(name)).ok();
        import(&key("rsa-pem")).fails(4, "the backup cannot be opened with this key");
        // It is not encrypted to this one, so there is nothing to ask for.
        import(&key("locked")).fails(4, "the backup cannot be opened with this key");
    }
    let backup = sandbox.vault(&["export", "--format", "age", "--recipient", &public("locked")]).run().ok().stdout;
    sandbox.write("backup.age", &backup);
    let import = ["-w", "vault", "import", "backup.age", "--overwrite", "--backup-identity", &key("locked")];
    sandbox.program("setsid", &import).run().fails(4, "is encrypted, and its passphrase cannot be asked for");
}
