//! `vault import`

use std::fs;

use crate::sandbox::{Sandbox, fields};

#[test]
fn takes_every_format() {
    let sandbox = Sandbox::new();
    for (file, text) in [
        (".env", "# c\nA=1\nexport B='it''s'\nC=\"x\\ny\" # end\n"),
        ("x.env", "DOT_ENV=1\n"),
        ("x.json", "{\"j\":\"text\",\"o\":{\"a\":1.10}}"),
        ("x.yaml", "y: text\nn: 1.10\n"),
        ("x.yml", "yml: text\n"),
        ("x.toml", "t = 'text'\n"),
        ("x.csv", "name,value\nc s v,\"a,b\"\n"),
    ] {
        sandbox.write(file, text.replace("'it''s'", "\"it's\""));
        sandbox.vault(&["import", file]).run().ok();
    }
    for (name, value) in [
        ("A", "1"),
        ("B", "it's"),
        ("C", "x\ny"),
        ("j", "text"),
        ("o", "{\"a\":1.10}"),
        ("y", "text"),
        ("n", "1.10"),
        ("t", "text"),
        ("c s v", "a,b"),
    ] {
        assert_eq!(String::from_utf8(sandbox.get(name)).unwrap(), value, "{name}");
    }
    let piped = sandbox.vault(&["import", "-", "--format", "shell"]).stdin("export S='h'\n").run().ok();
    assert_eq!((piped.stderr.as_str(), sandbox.get("S")), ("1 created, 0 updated, 0 skipped\n", b"h".to_vec()));
    sandbox.vault(&["import", "-"]).stdin("A=1").run().fails(2, "the format cannot be told");
    sandbox.write("unknown.xyz", "");
    sandbox.vault(&["import", "unknown.xyz"]).run().fails(2, "the format cannot be told");
    sandbox.vault(&["import", "none.json"]).run().fails(13, "read none.json");
}

#[test]
fn entries_that_exist() {
    let sandbox = Sandbox::new();
    sandbox.set("A", "old");
    sandbox.write("x.env", "A=new\nB=new\n");
    let before = sandbox.bytes();
    sandbox.vault(&["import", "x.env"]).run().fails(6, "'A' exist already; nothing was imported");
    assert_eq!(
        sandbox.vault(&["import", "x.env", "--dry-run", "--overwrite"]).run().ok().stderr,
        "1 would be created, 1 would be updated, 0 would be skipped\n"
    );
    sandbox.vault(&["import", "x.env", "--dry-run"]).run().fails(6, "exist already");
    assert_eq!(sandbox.bytes(), before);
    let skipped = sandbox.vault(&["import", "x.env", "--skip-existing", "--report", "json"]).run().ok();
    assert_eq!(fields(&skipped.json()), ["version", "dry_run", "created", "updated", "skipped"]);
    assert_eq!((&skipped.json()["created"], &skipped.json()["skipped"], skipped.stderr.as_str()), (&1.into(), &1.into(), ""));
    assert_eq!(sandbox.get("A"), b"old");
    assert_eq!(sandbox.vault(&["import", "x.env", "--overwrite"]).run().ok().stderr, "0 created, 2 updated, 0 skipped\n");
    assert_eq!(sandbox.get("A"), b"new");
    assert_eq!(sandbox.vault(&["get", "A", "--version", "1"]).run().ok().stdout, b"old");
    sandbox.vault(&["import", "x.env", "--overwrite", "--skip-existing"]).run().ends(2);
}

#[test]
fn all_of_it_is_one_commit_or_none() {
    let sandbox = Sandbox::new();
    // So many records would have the vault told how far the log reaches: in a commit of its own.
    fs::create_dir_all(sandbox.path("config/vault")).unwrap();
    fs::write(sandbox.path("config/vault/config.toml"), "[audit]\nenabled = false\n").unwrap();
    let commits = || sandbox.vault(&["check", "--format", "json"]).run().ok().json()["commits"].as_u64().unwrap();
    let text: String = (0..5000).map(|number| format!("N{number}=value {number}\n")).collect();
    sandbox.write("many.env", &text);
    let before = commits();
    sandbox.vault(&["import", "many.env", "-q"]).run().ok();
    assert_eq!(commits(), before + 1);
    assert_eq!((sandbox.list().len(), sandbox.get("N4321")), (5000, b"value 4321".to_vec()));
    let before = sandbox.bytes();
    let long = "n".repeat(256);
    for (name, text) in [
        ("name.json", format!("{{\"ok\":\"1\",\"{long}\":\"2\"}}")),
        ("control.json", "{\"ok\":\"1\",\"a\\u0007\":\"2\"}".to_owned()),
        ("empty.json", "{\"ok\":\"1\",\"\":\"2\"}".to_owned()),
        ("twice.env", "OK=1\nOK=2\n".to_owned()),
        ("broken.env", "OK=1\nnot an assignment\n".to_owned()),
        ("broken.json", "{\"ok\":".to_owned()),
        ("newer.json", "{\"vault_export\":2,\"entries\":[]}".to_owned()),
        ("large.json", format!("{{\"ok\":\"1\",\"large\":\"{}\"}}", "x".repeat((16 << 20) + 1))),
    ] {
        sandbox.write(name, text);
        sandbox.vault(&["import", name]).run().fails(2, "");
    }
    sandbox.write("binary.env", b"OK=1\nA=\xff\n");
    sandbox.vault(&["import", "binary.env"]).run().fails(2, "line 2: this is not UTF-8 text");
    assert!(sandbox.bytes() == before);
}

#[test]
fn environment_category_and_prefix() {
    let sandbox = Sandbox::new();
    sandbox.write("x.json", r#"{"vault_export":1,"entries":[{"name":"own","environment":"e","category":"c","value":"1"},{"name":"none","value":"2"}]}"#);
    sandbox.vault(&["import", "x.json", "-e", "prod", "--category", "imported", "--prefix", "p/"]).run().ok();
    assert_eq!(sandbox.vault(&["list", "-a"]).run().ok().text(), "e\tp/own\nprod\tp/none\n");
    assert_eq!(sandbox.vault(&["list", "-a", "--category", "imported"]).run().ok().text(), "prod\tp/none\n");
}

#[test]
fn errors_show_nothing_of_the_file() {
    let sandbox = Sandbox::new();
    let canary = crate::sandbox::canary();
    for (name, text) in [
        ("a.env", format!("A='{canary}")),
        ("b.json", format!("{{\"a\": {canary}}}")),
        ("c.yaml", format!("a: [{canary}")),
        ("d.toml", format!("a = {canary}")),
        ("e.csv", format!("name,value\n{canary},a,b")),
        ("f.json", format!("{{\"vault_export\":1,\"entries\":[{{\"name\":\"n\",\"kind\":\"bytes\",\"value\":\"{canary}\"}}]}}")),
    ] {
        sandbox.write(name, text);
        let text = sandbox.vault(&["import", name]).run().fails(2, "").stderr;
        let json = sandbox.vault(&["import", name, "--errors", "json"]).run().ends(2).stderr;
        assert!(!text.contains(&canary) && !json.contains(&canary), "{name}: {text}");
    }
}

#[test]
fn two_rows_that_become_one_entry_are_refused() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "two.json",
        r#"{"vault_export":1,"entries":[{"name":"a","kind":"text","value":"1"},{"name":"a","environment":"prod","kind":"text","value":"2"}]}"#,
    );
    let before = sandbox.bytes();
    sandbox.vault(&["import", "two.json", "-e", "prod"]).run().fails(6, "more than once");
    assert!(sandbox.bytes() == before);
    sandbox.vault(&["import", "two.json"]).run().ok();
    sandbox.vault(&["check"]).run().ok();
}
