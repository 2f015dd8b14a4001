//! `vault git`: diff and merge drivers in a repository, and credential helpers.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use crate::sandbox::{Output, Sandbox, VAULT, canary, is_installed};

fn git(sandbox: &Sandbox, arguments: &[&str]) -> Output {
    let author =
        ["-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main", "-c", "commit.gpgsign=false"];
    sandbox.program("git", &[&author[..], arguments].concat()).run()
}

/// A repository with a vault in it.
fn repository() -> Sandbox {
    let mut sandbox = Sandbox::new();
    git(&sandbox, &["init", "-q"]).ok();
    sandbox.vault(&["init", "--vault", "app.vault", "--key-file", "../test.key", "-q"]).run().ok();
    sandbox.set_env("VAULT_FILE", "app.vault");
    sandbox
}

fn commit(sandbox: &Sandbox, message: &str) {
    git(sandbox, &["add", "-A"]).ok();
    git(sandbox, &["commit", "-qm", message]).ok();
}

#[test]
fn branches_are_merged_and_diffs_show_no_value() {
    if !is_installed("git") {
        return;
    }
    let sandbox = repository();
    let secret = canary();
    sandbox.set("same", "v");
    sandbox.set("both", "v");
    let installed = sandbox.vault(&["git", "install"]).run().ok();
    assert!(installed.stderr.contains("*.vault diff=vault merge=vault -text"));
    sandbox.vault(&["git", "install", "-q"]).run().ok();
    assert_eq!(fs::read_to_string(sandbox.path("work/.gitattributes")).unwrap(), "*.vault diff=vault merge=vault -text\n");
    commit(&sandbox, "base");
    git(&sandbox, &["checkout", "-qb", "side"]).ok();
    sandbox.set("theirs", &secret);
    commit(&sandbox, "theirs");
    git(&sandbox, &["checkout", "-q", "main"]).ok();
    // The older state is expected here: it is another branch.
    sandbox.vault(&["set", "ours", "--accept-older"]).stdin(&secret).run().ok();
    let diff = git(&sandbox, &["diff"]).ok();
    assert!(diff.text().contains("+ours: version 1, text"), "{}", diff.text());
    assert!(!diff.text().contains(&secret));
    commit(&sandbox, "ours");
    git(&sandbox, &["merge", "-q", "--no-edit", "side"]).ok();
    assert_eq!(sandbox.list(), ["both", "ours", "same", "theirs"]);
    sandbox.vault(&["check"]).run().ok();
    // Both write the same entry.
    git(&sandbox, &["checkout", "-qb", "other"]).ok();
    sandbox.set("both", "other");
    commit(&sandbox, "other");
    git(&sandbox, &["checkout", "-q", "main"]).ok();
    sandbox.vault(&["set", "both", "--accept-older"]).stdin("main").run().ok();
    commit(&sandbox, "main");
    let merged = git(&sandbox, &["merge", "--no-edit", "other"]).ends(1);
    assert!(format!("{}{}", merged.text(), merged.stderr).contains("CONFLICT"));
    assert_eq!(sandbox.get("both"), b"main");
    assert_eq!(sandbox.vault(&["get", "both", "--version", "3"]).run().ok().stdout, b"other");
}

#[test]
fn git_joins_the_fields_of_one_entry() {
    if !is_installed("git") {
        return;
    }
    let sandbox = repository();
    sandbox.vault(&["set", "db", "--json"]).stdin(r#"{"host":"h","port":1}"#).run().ok();
    sandbox.vault(&["git", "install", "-q"]).run().ok();
    commit(&sandbox, "base");
    git(&sandbox, &["checkout", "-qb", "side"]).ok();
    sandbox.vault(&["set", "db", "--field", "port", "--json"]).stdin("2").run().ok();
    commit(&sandbox, "theirs");
    git(&sandbox, &["checkout", "-q", "main"]).ok();
    sandbox.vault(&["set", "db", "--field", "host", "--accept-older"]).stdin("here").run().ok();
    commit(&sandbox, "ours");
    git(&sandbox, &["merge", "-q", "--no-edit", "side"]).ok();
    assert_eq!(sandbox.get("db"), br#"{"host":"here","port":2}"#);
    sandbox.vault(&["check"]).run().ok();
}

#[test]
fn a_file_that_is_no_vault_does_not_stop_git_diff() {
    if !is_installed("git") {
        return;
    }
    let sandbox = repository();
    sandbox.vault(&["git", "install", "-q"]).run().ok();
    sandbox.write("other.vault", "no vault");
    sandbox.write("empty.vault", "");
    let whole = fs::read(sandbox.path("work/app.vault")).unwrap();
    sandbox.write("cut.vault", &whole[..whole.len() - 100]);
    sandbox.write("flipped.vault", [&whole[..100], &[whole[100] ^ 1], &whole[101..]].concat());
    sandbox.write("text", "before\n");
    commit(&sandbox, "base");
    for file in ["other.vault", "empty.vault", "cut.vault", "flipped.vault"] {
        sandbox.write(file, "still none");
    }
    sandbox.write("text", "after\n");
    let diff = git(&sandbox, &["diff"]).ok().text();
    assert!(diff.contains("+10 bytes, ") && diff.contains("; it cannot be read as a vault ("), "{diff}");
    assert!(diff.contains("-8 bytes, ") && diff.contains("-0 bytes, ") && diff.contains("+after"), "{diff}");
}

#[test]
fn install_follows_no_link_out_of_the_repository() {
    if !is_installed("git") {
        return;
    }
    let sandbox = repository();
    let outside = sandbox.path("home/attributes");
    fs::write(&outside, "* text\n").unwrap();
    let attributes = sandbox.path("work/.gitattributes");
    symlink(&outside, &attributes).unwrap();
    sandbox.vault(&["git", "install"]).run().fails(13, ".gitattributes is a symbolic link");
    assert_eq!(fs::read_to_string(&outside).unwrap(), "* text\n");
    git(&sandbox, &["config", "--local", "diff.vault.textconv"]).ends(1);
    // What was there stays, with its permissions.
    fs::remove_file(&attributes).unwrap();
    fs::write(&attributes, "* text").unwrap();
    fs::set_permissions(&attributes, fs::Permissions::from_mode(0o640)).unwrap();
    sandbox.vault(&["git", "install", "-q"]).run().ok();
    assert_eq!(fs::read_to_string(&attributes).unwrap(), "* text\n*.vault diff=vault merge=vault -text\n");
    assert_eq!(fs::metadata(&attributes).unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn textconv_without_a_key_and_install_without_a_repository() {
    let mut sandbox = Sandbox::new();
    let secret = canary();
    sandbox.vault(&["set", "a", "--tag", "t", "--meta", &format!("k={secret}"), "-e", "prod"]).stdin(&secret).run().ok();
    let file = sandbox.file();
    let file = file.to_str().unwrap();
    let text = sandbox.vault(&["git", "textconv", file]).run().ok().text();
    assert!(text.starts_with("a (prod): version 1, text, tag t, meta k, modified 2"), "{text}");
    assert!(text.contains("slot ") && !text.contains(&secret));
    sandbox.remove_env("VAULT_KEY_FILE");
    let text = sandbox.vault(&["git", "textconv", file]).run().ok().text();
    assert!(text.starts_with("vault, ") && text.contains("no key"), "{text}");
    sandbox.vault(&["git", "textconv", "none"]).run().fails(5, "no vault");
    if is_installed("git") {
        sandbox.vault(&["git", "install"]).run().fails(13, "git rev-parse failed");
        sandbox.vault(&["git", "install", "--pattern", "a b"]).run().fails(2, "the pattern");
    }
}

#[test]
fn credentials_of_git() {
    let sandbox = Sandbox::new();
    let secret = canary();
    let helper = |operation: &str, text: &str| sandbox.vault(&["git", "credential", operation]).stdin(text).run().ok().text();
    let ask = "protocol=https\nhost=git.example:8443\n";
    assert_eq!(helper("get", ask), "");
    helper("store", &format!("{ask}username=u\npassword={secret}\n"));
    let answer = format!("username=u\npassword={secret}\n");
    assert_eq!(helper("get", ask), answer);
    assert_eq!(helper("get", &format!("{ask}username=u\n")), answer);
    assert_eq!(helper("get", &format!("{ask}username=other\n")), "");
    // What was stored for https is not given away in the clear.
    assert_eq!(helper("get", "protocol=http\nhost=git.example:8443\n"), "");
    helper("store", &format!("{ask}username=other\npassword=second\n"));
    assert_eq!(helper("get", &format!("{ask}username=other\n")), "username=other\npassword=second\n");
    assert_eq!(sandbox.list(), ["git/git.example:8443", "git/git.example:8443/other"]);
    let before = sandbox.bytes();
    helper("store", &format!("{ask}username=u\npassword={secret}\n"));
    helper("erase", &format!("{ask}username=u\npassword=not-that-one\n"));
    helper("something-new", ask);
    assert!(sandbox.bytes() == before);
    helper("erase", &format!("{ask}username=u\npassword={secret}\n"));
    assert_eq!(helper("get", &format!("{ask}username=u\n")), "");
    if is_installed("git") {
        // As git itself runs it.
        let helper = format!("credential.helper=!'{VAULT}' git credential");
        let filled = sandbox.program("git", &["-c", "credential.helper=", "-c", &helper, "credential", "fill"]);
        let filled = filled.stdin(format!("{ask}username=other\n\n")).env("GIT_TERMINAL_PROMPT", "0").run().ok().text();
        assert!(filled.contains("password=second"), "{filled}");
    }
}

#[test]
fn credentials_of_docker() {
    let sandbox = Sandbox::new();
    let secret = format!("{}\"\\n$", canary());
    let link = sandbox.path("tmp/docker-credential-vault");
    symlink(VAULT, &link).unwrap();
    let helper = |operation: &str, text: &str| sandbox.program(&link, &[operation]).stdin(text).run();
    let url = "https://index.docker.io/v1/";
    let missing = helper("get", url).ends(3);
    assert!(missing.text().contains("credentials not found in native keychain"));
    let credential = serde_json::json!({ "ServerURL": url, "Username": "u", "Secret": secret });
    helper("store", &credential.to_string()).ok();
    let answer: serde_json::Value = serde_json::from_str(&helper("get", &format!("{url}\n")).ok().text()).unwrap();
    assert_eq!(answer, credential);
    let listed: serde_json::Value = serde_json::from_str(&helper("list", "").ok().text()).unwrap();
    assert_eq!(listed, serde_json::json!({ url: "u" }));
    helper("erase", url).ok();
    helper("get", url).ends(3);
    helper("store", &format!("no {secret}")).fails(2, "not a credential");
    let link = sandbox.path("tmp/git-credential-vault");
    symlink(VAULT, &link).unwrap();
    sandbox.program(&link, &["get"]).stdin("protocol=https\nhost=h\n").run().ok();
}
