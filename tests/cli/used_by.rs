//! `vault used-by`

use std::fs;

use serde_json::Value;

use crate::sandbox::{Sandbox, fields};

#[track_caller]
fn used_by(sandbox: &Sandbox, arguments: &[&str]) -> Value {
    sandbox.vault(&[&["used-by", "--format", "json"], arguments].concat()).run().ok().json()
}

/// `program directory reads` of each reader, with the environment where there is one.
fn readers(json: &Value) -> Vec<String> {
    let reader = |reader: &Value| {
        let directory = reader["directory"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        let environment = reader["environment"].as_str().map(|name| format!(" {name}")).unwrap_or_default();
        format!("{} {directory} {}{environment}", reader["process"].as_str().unwrap(), reader["reads"])
    };
    let mut readers: Vec<_> = json["readers"].as_array().unwrap().iter().map(reader).collect();
    readers.sort();
    readers
}

fn places(json: &Value) -> Vec<String> {
    let place =
        |place: &Value| format!("{}:{} {}", place["path"].as_str().unwrap(), place["line"], place["kind"].as_str().unwrap());
    json["references"].as_array().unwrap().iter().map(place).collect()
}

#[test]
fn readers_are_grouped_by_who_they_are() {
    let sandbox = Sandbox::new();
    sandbox.set("db", "v");
    sandbox.set("other", "v");
    sandbox.vault(&["set", "db", "-e", "prod"]).stdin("p").run().ok();
    assert_eq!(readers(&used_by(&sandbox, &["db"])), [""; 0]);
    let said = sandbox.vault(&["used-by", "db"]).run().ok();
    assert!(said.stdout.is_empty() && said.stderr.starts_with("note: nobody read it since "), "{}", said.stderr);
    for _ in 0..3 {
        sandbox.vault(&["run", "--only", "db", "--", "true"]).run().ok();
    }
    fs::create_dir(sandbox.path("work/shop")).unwrap();
    sandbox.vault(&["run", "--only", "db", "--", "true"]).dir(sandbox.path("work/shop")).run().ok();
    sandbox.shell("vault get db > out; vault get other > out").run().ok();
    sandbox.vault(&["run", "-e", "prod", "--only", "db", "--", "true"]).run().ok();
    // Neither a refusal nor a write is a read.
    sandbox.vault(&["get", "db", "--version", "9"]).run().ends(3);
    sandbox.set("db", "w");
    let json = used_by(&sandbox, &["db"]);
    assert_eq!(readers(&json), ["sh work 1", "true shop 1", "true work 1 prod", "true work 3"]);
    let known = ["version", "name", "since", "readers", "references", "files", "unread_files", "unread_records"];
    assert_eq!(fields(&json), known);
    let first = &json["readers"][0];
    let known = ["environment", "source", "user", "user_name", "process", "directory", "key", "key_label", "reads", "last_read"];
    assert_eq!(fields(first), known);
    assert_eq!(
        (&first["source"], &first["key_label"], &first["environment"]),
        (&"cli".into(), &"key file".into(), &"prod".into())
    );
    let me = rustix::process::getuid().as_raw();
    assert_eq!(first["user"], me.to_string());
    if me == 0 {
        assert_eq!(first["user_name"], "root");
    }
    assert_eq!(readers(&used_by(&sandbox, &["db", "-e", "prod"])), ["true work 1 prod"]);
    assert_eq!(readers(&used_by(&sandbox, &["db", "-e", ""])), ["sh work 1", "true shop 1", "true work 3"]);
    assert_eq!(readers(&used_by(&sandbox, &["db", "--since", "2999-01-01"])), [""; 0]);
    assert_eq!(readers(&used_by(&sandbox, &["db", "--since", "1h"])).len(), 4);
    let text = sandbox.vault(&["used-by", "db", "-e", ""]).run().ok().text();
    assert!(
        text.lines().any(|line| line.contains("  true  ") && line.contains("/work  ") && line.contains("  key file  3 reads  ")),
        "{text}"
    );
    // By whatever name it is called now, and by that by which it was asked for.
    sandbox.vault(&["mv", "db", "database"]).run().ok();
    assert_eq!(readers(&used_by(&sandbox, &["database"])), ["sh work 1", "true shop 1", "true work 3"]);
    assert_eq!(readers(&used_by(&sandbox, &["db"])).len(), 4);
}

#[test]
fn references_are_found_in_files() {
    let sandbox = Sandbox::new();
    sandbox.vault(&["set", "svc/db one", "--category", "web"]).stdin("v").run().ok();
    sandbox.set("svc/db", "v");
    fs::create_dir_all(sandbox.path("work/app/.github")).unwrap();
    fs::create_dir_all(sandbox.path("work/app/.git")).unwrap();
    fs::create_dir_all(sandbox.path("work/app/ignored")).unwrap();
    fs::create_dir_all(sandbox.path("work/app/web")).unwrap();
    for (path, text) in [
        ("app/.env", "A=1\nDB=vault://svc/db%20one#password\nB=vault://svc/db\n"),
        (
            "app/config.yaml",
            "url: \"{{ vault://svc/db%20one | default \"x\" }}\"\nother: vault://svc/db%20one?env=prod\nno: vault://svc/db%20onex\n",
        ),
        ("app/vault.toml", "[run]\nonly = [\n  \"x\",\n  \"svc/db one\",\n]\n[run.variables]\nDB = \"vault://svc/db%20one\"\n"),
        (
            "app/web/vault.toml",
            "[config]\nfiles = [\"base.yaml\"]\n[config.map]\n\"db.password\" = \"svc/db one#password\"\nother = \"svc/db\"\nurl = \"vault://svc/db%20one\"\n",
        ),
        ("app/.github/job.yml", "x\n\nvault://svc%2Fdb%20one\n"),
        ("app/.git/x", "vault://svc/db%20one\n"),
        ("app/.gitignore", "ignored/\n"),
        ("app/ignored/x", "vault://svc/db%20one\n"),
        ("all.toml", "x"),
    ] {
        fs::write(sandbox.path("work").join(path), text).unwrap();
    }
    fs::create_dir(sandbox.path("work/web")).unwrap();
    fs::write(sandbox.path("work/web/vault.toml"), "[run]\ncategory = \"web\"\n").unwrap();
    let json = used_by(&sandbox, &["svc/db one", "app", "web", "all.toml"]);
    assert_eq!(
        places(&json),
        [
            "app/.env:2 reference",
            "app/.github/job.yml:3 reference",
            "app/config.yaml:1 template",
            "app/config.yaml:2 reference",
            "app/vault.toml:4 run.only",
            "app/vault.toml:7 reference",
            "app/web/vault.toml:4 config.map",
            "app/web/vault.toml:6 reference",
            "web/vault.toml:2 run.category",
        ]
    );
    assert_eq!((&json["files"], &json["unread_files"]), (&8.into(), &0.into()));
    let all = places(&used_by(&sandbox, &["svc/db one", "app", "--no-ignore"]));
    assert!(all.contains(&"app/ignored/x:1 reference".to_owned()), "{all:?}");
    let text = sandbox.vault(&["used-by", "svc/db", "."]).run().ok().text();
    assert_eq!(text, "app/.env:3: reference\napp/web/vault.toml:5: config.map\n");
    // Also of an entry that is not there any more.
    sandbox.vault(&["rm", "svc/db"]).run().ok();
    assert_eq!(places(&used_by(&sandbox, &["svc/db", "app"])), ["app/.env:3 reference", "app/web/vault.toml:5 config.map"]);
    sandbox.vault(&["used-by", "svc/db"]).run().fails(3, "there is no entry 'svc/db'");
}

#[test]
fn what_is_not_known_is_said() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "v");
    fs::remove_file(sandbox.path("test.vault.audit")).unwrap();
    sandbox.vault(&["used-by", "a"]).run().fails(3, "there is no audit log");
    let json = used_by(&sandbox, &["a", "."]);
    assert_eq!((&json["readers"], &json["since"]), (&Value::Null, &Value::Null));
    sandbox.vault(&["used-by", "a", "none"]).run().fails(13, "read none");
    sandbox.vault(&["used-by", "a", "--since", "soon"]).run().fails(2, "'soon' is not a time");
    sandbox.vault(&["used-by", ""]).run().fails(2, "name is empty");
    if !crate::sandbox::is_root() {
        use std::os::unix::fs::PermissionsExt as _;
        let path = sandbox.write("closed", "vault://a");
        fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
        sandbox.vault(&["used-by", "a", "."]).run().fails(13, "1 files could not be read");
    }
}
