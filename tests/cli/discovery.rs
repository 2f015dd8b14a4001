//! Which vault is used, and what configuration says.

use std::fs;

use crate::sandbox::Sandbox;

/// A sandbox with vaults named `names` in the working directory; each holds an entry `which` with its own name.
fn vaults(names: &[&str]) -> Sandbox {
    let mut sandbox = Sandbox::empty();
    sandbox.vault(&["init", "--vault", "first", "--key-file", "../test.key", "-q"]).run().ok();
    sandbox.set_env("VAULT_KEY_FILE", sandbox.key());
    fs::remove_file(sandbox.path("work/first")).unwrap();
    for name in names {
        let path = sandbox.path(name);
        sandbox.vault(&["init", "-q", "--key-file", "../test.key", "--vault"]).arg(&path).run().ok();
        sandbox.vault(&["set", "which", "--vault"]).arg(&path).stdin(name).run().ok();
    }
    sandbox
}

fn write(sandbox: &Sandbox, path: &str, text: &str) {
    let path = sandbox.path(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn option_variable_project_user_default() {
    let sandbox = vaults(&["work/option", "work/variable", "work/project", "config/vault/user", "data/vault/default.vault"]);
    let which = |arguments: &[&str]| {
        let mut line = vec!["get", "which"];
        line.extend(arguments);
        sandbox.vault(&line)
    };
    let is = |run: crate::sandbox::Run, name: &str| assert_eq!(run.run().ok().text(), name);
    is(which(&[]), "data/vault/default.vault");
    write(&sandbox, "config/vault/config.toml", "vault = 'user'\n");
    is(which(&[]), "config/vault/user");
    write(&sandbox, "work/vault.toml", "vault = 'project'\nnew-key-of-a-later-version = 1\n");
    is(which(&[]), "work/project");
    is(which(&[]).env("VAULT_FILE", "variable"), "work/variable");
    is(which(&[]).env("VAULT_FILE", ""), "work/project");
    is(which(&["--vault", "option"]).env("VAULT_FILE", "variable"), "work/option");
    // A project that names no vault leaves that to the user.
    write(&sandbox, "work/vault.toml", "environment = 'prod'\n");
    is(which(&[]), "config/vault/user");
}

#[test]
fn the_project_is_found_upward_to_a_git_root_or_home() {
    let mut sandbox = vaults(&["work/project", "data/vault/default.vault"]);
    write(&sandbox, "work/vault.toml", "vault = 'project'\n");
    let deep = sandbox.path("work/a/b/c");
    fs::create_dir_all(&deep).unwrap();
    let which = |sandbox: &Sandbox| sandbox.vault(&["get", "which"]).dir(sandbox.path("work/a/b/c")).run().ok().text();
    assert_eq!(which(&sandbox), "work/project");
    // A git root in between ends the search; its own vault.toml still counts.
    write(&sandbox, "work/a/.git", "gitdir: elsewhere\n");
    assert_eq!(which(&sandbox), "data/vault/default.vault");
    write(&sandbox, "work/a/vault.toml", "vault = '../project'\n");
    assert_eq!(which(&sandbox), "work/project");
    fs::remove_file(sandbox.path("work/a/vault.toml")).unwrap();
    fs::remove_file(sandbox.path("work/a/.git")).unwrap();
    assert_eq!(which(&sandbox), "work/project");
    // So does the home directory, also where it is known under another name.
    sandbox.set_env("HOME", sandbox.path("work/a"));
    assert_eq!(which(&sandbox), "data/vault/default.vault");
    std::os::unix::fs::symlink("work/a", sandbox.path("link")).unwrap();
    sandbox.set_env("HOME", sandbox.path("link"));
    assert_eq!(which(&sandbox), "data/vault/default.vault");
    sandbox.set_env("HOME", sandbox.path("work"));
    assert_eq!(which(&sandbox), "work/project");
}

#[test]
fn the_environment_may_be_configured() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "general");
    sandbox.vault(&["set", "a", "-e", "prod"]).stdin("prod").run().ok();
    sandbox.vault(&["set", "a", "-e", "stage"]).stdin("stage").run().ok();
    write(&sandbox, "config/vault/config.toml", "environment = 'stage'\n");
    assert_eq!(sandbox.get("a"), b"stage");
    write(&sandbox, "work/vault.toml", "environment = 'prod'\n");
    assert_eq!(sandbox.get("a"), b"prod");
    assert_eq!(sandbox.vault(&["get", "a", "-e", "stage"]).run().ok().stdout, b"stage");
    assert_eq!(sandbox.vault(&["get", "a", "-e", ""]).run().ok().stdout, b"general");
}

#[test]
fn the_user_may_name_keys_and_a_project_may_not() {
    let mut sandbox = Sandbox::new();
    sandbox.remove_env("VAULT_KEY_FILE");
    write(&sandbox, "work/vault.toml", "key-file = '../test.key'\nidentity = '../test.key'\n");
    sandbox.vault(&["list"]).run().fails(4, "no key is given");
    write(&sandbox, "config/vault/config.toml", "key-file = '../../test.key'\n");
    sandbox.vault(&["list"]).run().ok();
    let (identity, _) = crate::sandbox::identity();
    write(&sandbox, "config/vault/id", &identity);
    write(&sandbox, "config/vault/config.toml", "key-file = '../../test.key'\nidentity = 'id'\n");
    sandbox.vault(&["list"]).run().fails(4, "none of the identities");
    // Nor may it silence the alarm for an older copy.
    write(&sandbox, "config/vault/config.toml", "key-file = '../../test.key'\n");
    write(&sandbox, "work/vault.toml", "witness = 'off'\n");
    sandbox.set("a", "1");
    let old = sandbox.bytes();
    sandbox.set("a", "2");
    fs::write(sandbox.file(), old).unwrap();
    sandbox.vault(&["set", "a"]).stdin("3").run().fails(11, "older");
}

#[test]
fn a_project_file_of_somebody_else_names_no_vault() {
    let sandbox = Sandbox::new();
    if !crate::sandbox::is_root() {
        eprintln!("skipped: only root gives files away");
        return;
    }
    write(&sandbox, "work/vault.toml", "vault = 'theirs.vault'\nenvironment = 'theirs'\n");
    std::os::unix::fs::chown(sandbox.path("work/vault.toml"), Some(65_534), Some(65_534)).unwrap();
    let listed = sandbox.vault(&["list"]).without_env("VAULT_FILE").env("XDG_DATA_HOME", sandbox.path("data")).run().ends(5);
    assert!(listed.stderr.contains("vault.toml belongs to somebody else and was passed over"), "{}", listed.stderr);
    assert!(listed.stderr.contains("default.vault"), "{}", listed.stderr);
    sandbox.vault(&["set", "a"]).stdin("1").run().ok();
    assert_eq!(sandbox.vault(&["get", "a"]).run().ok().stdout, b"1");
    // A pipe in its place hangs nothing.
    fs::remove_file(sandbox.path("work/vault.toml")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, sandbox.path("work/vault.toml"), rustix::fs::Mode::RUSR).unwrap();
    sandbox.vault(&["list"]).run().fails(13, "not a regular file");
}

#[test]
fn configuration_that_is_malformed_is_named() {
    let sandbox = Sandbox::new();
    for text in ["vault = ", "vault = 1", "keep-versions = 'x'", "keep-versions = -1", "witness = 'never'", "[[["] {
        write(&sandbox, "work/vault.toml", text);
        sandbox.vault(&["list"]).run().fails(2, "vault.toml: ");
        fs::remove_file(sandbox.path("work/vault.toml")).unwrap();
        write(&sandbox, "config/vault/config.toml", text);
        sandbox.vault(&["list"]).run().fails(2, "config.toml: ");
        fs::remove_file(sandbox.path("config/vault/config.toml")).unwrap();
    }
    write(&sandbox, "work/vault.toml", "lock-timeout = 'soon'\n");
    sandbox.vault(&["list"]).run().fails(2, "'soon' is not a duration");
    fs::remove_file(sandbox.path("work/vault.toml")).unwrap();
    fs::create_dir(sandbox.path("work/vault.toml")).unwrap();
    sandbox.vault(&["list"]).run().fails(13, "vault.toml");
}

#[test]
fn without_a_home_there_is_no_default() {
    let sandbox = Sandbox::empty();
    let run = sandbox.vault(&["list"]).without_env("HOME").without_env("XDG_DATA_HOME");
    // The user database may know a home all the same.
    let listed = run.run();
    assert!(listed.code == 5 && listed.stderr.contains("no "), "{}", listed.stderr);
}

#[test]
fn a_directory_that_is_gone_is_no_reason_to_fail() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "v");
    assert_eq!(sandbox.shell("mkdir gone && cd gone && rmdir ../gone && vault get a").run().ok().stdout, b"v");
}
