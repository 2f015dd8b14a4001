//! `vault doctor`

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use vault::crypto::Argon2Cost;
use vault::{NewSlot, Passphrase, RawKey, Vault};

use crate::sandbox::{Output, Sandbox, identity, is_installed};

/// The codes of what is not as it should be.
fn codes(output: &Output) -> Vec<String> {
    let found = output.json()["findings"].as_array().unwrap().clone();
    let bad = found.into_iter().filter(|finding| finding["severity"] != "ok");
    bad.map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
}

/// A vault with two full slots whose keys are both in reach, in directories that are one's own.
fn sound() -> Sandbox {
    let mut sandbox = Sandbox::new();
    sandbox.set("a", "1");
    let (secret, recipient) = identity();
    sandbox.vault(&["key", "add", "--label", "ann", "--recipient", &recipient]).run().ok();
    sandbox.write("identity", secret);
    fs::set_permissions(sandbox.path("work/identity"), fs::Permissions::from_mode(0o600)).unwrap();
    sandbox.set_env("VAULT_IDENTITY", sandbox.path("work/identity"));
    sandbox
}

#[test]
fn a_sound_vault_has_no_findings_and_nothing_is_changed() {
    let sandbox = sound();
    let before = sandbox.bytes();
    let text = sandbox.vault(&["doctor"]).run().ok().text();
    assert!(
        text.contains("opens slot 'ann' and reads values") && text.contains("opens slot 'key file' and reads values"),
        "{text}"
    );
    assert!(text.contains("if 'ann' (age) is lost, 'key file' still open everything"), "{text}");
    assert!(codes(&sandbox.vault(&["doctor", "--format", "json"]).run().ok()).is_empty());
    assert_eq!(sandbox.bytes(), before);
}

#[test]
fn who_is_locked_out_when_a_key_is_lost() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "1");
    assert_eq!(codes(&sandbox.vault(&["doctor", "--format", "json"]).run().ends(10)), ["single_way_in"]);
    let lost = sandbox.vault(&["doctor", "--lost", "key file", "--format", "json"]).run().ends(10);
    assert_eq!(codes(&lost), ["single_way_in", "locked_out"]);
    // A limited slot is no way in.
    let (_, recipient) = identity();
    sandbox.vault(&["key", "add", "--label", "ci", "--recipient", &recipient, "--only", "category:ci"]).run().ok();
    assert_eq!(codes(&sandbox.vault(&["doctor", "--format", "json"]).run().ends(10)), ["single_way_in"]);
    let sandbox = sound();
    let left = sandbox.vault(&["doctor", "--lost", "key file"]).run().ok().text();
    assert!(left.contains("without 'key file' these still open everything: 'ann' (age)"), "{left}");
    sandbox.vault(&["doctor", "--lost", "nobody"]).run().fails(3, "no slot 'nobody'");
    // What was not tried is not taken for granted.
    let untried = sandbox.vault(&["doctor", "--format", "json"]).without_env("VAULT_IDENTITY").run().ends(10);
    assert_eq!(codes(&untried), ["unproved_way_in"]);
}

#[test]
fn keys_that_open_nothing_and_files_that_others_read_are_found() {
    let sandbox = sound();
    fs::set_permissions(sandbox.key(), fs::Permissions::from_mode(0o640)).unwrap();
    fs::set_permissions(sandbox.file(), fs::Permissions::from_mode(0o666)).unwrap();
    sandbox.write("identity", identity().0);
    let found = sandbox.vault(&["doctor", "--format", "json"]).without_env("VAULT_IDENTITY").run().ends(10);
    assert_eq!(codes(&found), ["unproved_way_in", "vault_writable", "vault_readable", "key_readable"]);
    // A key that opens nothing is reported, and the vault is looked at with one that does.
    let found = sandbox.vault(&["doctor", "--format", "json"]).run().ends(10);
    assert_eq!(codes(&found)[0], "key_opens_nothing", "{}", found.text());
}

#[test]
fn keys_in_git_are_found() {
    if !is_installed("git") {
        return;
    }
    let sandbox = sound();
    let git = |line: &str| sandbox.shell(&format!("git -c user.name=a -c user.email=a@b {line}")).run().ok();
    git("init -q .");
    let found = || codes(&sandbox.vault(&["doctor", "--format", "json"]).run());
    assert_eq!(found(), ["key_in_work_tree"]);
    sandbox.write(".gitignore", "identity\n");
    assert!(found().is_empty());
    git("add -f identity");
    assert_eq!(found(), ["key_in_git"]);
}

#[test]
fn cheap_passphrases_backups_and_worklists_are_looked_at() {
    let sandbox = sound();
    let path = sandbox.path("work/weak.vault");
    let floor = Argon2Cost { m: 19 * 1024, t: 2, p: 1 };
    let phrase = NewSlot::Passphrase(Passphrase::new(b"old".to_vec().into()), floor);
    let key = RawKey::new(<[u8; 32]>::try_from(fs::read(sandbox.key()).unwrap()).unwrap().into());
    Vault::create(&path, &[("old".to_owned(), phrase), ("key".to_owned(), NewSlot::RawKey(key))], 1).unwrap();
    let weak =
        sandbox.vault(&["doctor", "--format", "json", "--vault", "weak.vault"]).without_env("VAULT_IDENTITY").run().ends(10);
    assert_eq!(codes(&weak), ["unproved_way_in", "weak_kdf"]);

    sandbox.vault(&["backup", "good"]).run().ok();
    let mut bytes = fs::read(sandbox.path("work/good")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    sandbox.write("bad", bytes);
    sandbox.set("b", "2");
    let found = sandbox.vault(&["doctor", "--format", "json", "--backup", "good", "--backup", "bad", "--backup", "weak.vault"]);
    let found = found.without_env("VAULT_IDENTITY").run().ends(10);
    assert_eq!(codes(&found), ["unproved_way_in", "backup_unreadable", "backup_of_another"]);
    assert!(
        found.text().contains("2 entries") || found.text().contains("1 entries, 1 values, 1 commits behind"),
        "{}",
        found.text()
    );

    let (_, recipient) = identity();
    sandbox.vault(&["key", "add", "--label", "leaver", "--recipient", &recipient]).run().ok();
    sandbox.vault(&["key", "remove", "leaver"]).run().ok();
    assert_eq!(codes(&sandbox.vault(&["doctor", "--format", "json"]).run().ends(10)), ["exposed"]);
}

#[test]
fn production_has_a_list_of_its_own() {
    let sandbox = sound();
    let found = |arguments: &[&str]| {
        let output = sandbox.vault(&[&["doctor", "--production", "--format", "json"], arguments].concat()).run();
        let mut codes = codes(&output);
        // What depends on where and as whom the tests run.
        codes.retain(|code| !["root", "in_memory", "in_container"].contains(&code.as_str()));
        codes
    };
    assert_eq!(found(&[]), ["rate_limit", "audit_optional", "audit_retention", "no_backup"]);
    let config = |text: &str| {
        fs::create_dir_all(sandbox.path("config/vault")).unwrap();
        fs::write(sandbox.path("config/vault/config.toml"), text).unwrap();
    };
    sandbox.vault(&["backup", "copy"]).run().ok();
    let audit = "[audit]\nrequired = true\nretention-days = 90\n";
    config(&format!("{audit}[serve]\nrate-per-credential = 100\n"));
    assert!(found(&["--backup", "copy"]).is_empty(), "{:?}", found(&["--backup", "copy"]));

    config(
        "[audit]\nenabled = false\nretention-days = 0\n[serve]\nlisten = [\"0.0.0.0:9000\"]\ninsecure-plain-http = true\nopen-secret-api = true\n",
    );
    let open = ["plain_http", "insecure_plain_http", "open_secret_api", "allow_list", "rate_limit", "audit_off"];
    assert_eq!(found(&["--backup", "copy"]), open);
    config(&format!(
        "{audit}[serve]\nlisten = [\"[::]:9000\"]\ntls-cert = \"c\"\ntls-key = \"k\"\nallow = [\"10.0.0.0/8\"]\nrate-per-address = 1\n"
    ));
    assert!(found(&["--backup", "copy"]).is_empty(), "{:?}", found(&["--backup", "copy"]));

    for options in [&["--admin", "--expires", "1d"][..], &["--read"]] {
        sandbox.vault(&[&["token", "create", "--label", "t"], options].concat()).run().ok();
    }
    assert_eq!(found(&["--backup", "copy"]), ["token_without_end", "admin_token"]);
    for token in sandbox.vault(&["token", "list"]).run().ok().text().lines() {
        sandbox.vault(&["token", "revoke", token.split(' ').next().unwrap()]).run().ok();
    }
    sandbox.vault(&["token", "create", "--label", "t", "--admin", "--expires", "1d", "--network", "127.0.0.1"]).run().ok();
    assert!(found(&["--backup", "copy"]).is_empty());

    sandbox.shell("touch -d '3 days ago' copy").run().ok();
    assert_eq!(found(&["--backup", "copy"]), ["old_backup"]);
    let key = sandbox.vault(&["doctor", "--production", "--format", "json"]).env("MASTER_KEY", "canary").run();
    assert!(codes(&key).contains(&"key_in_environment".to_owned()) && !key.text().contains("canary"));
}
