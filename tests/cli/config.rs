//! `vault config`

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use crate::sandbox::{Sandbox, canary, code, wait_until};

fn render(sandbox: &Sandbox, arguments: &[&str]) -> String {
    sandbox.vault(&[&["config", "render"], arguments].concat()).run().ok().text()
}

/// On one line.
fn compact(sandbox: &Sandbox, arguments: &[&str]) -> String {
    let text = render(sandbox, &[arguments, &["--format", "json"]].concat());
    serde_json::from_str::<serde_json::Value>(&text).unwrap().to_string()
}

#[test]
fn layers_in_three_formats_are_laid_over_one_another() {
    let sandbox = Sandbox::empty();
    sandbox.write("a.yaml", "db:\n  host: a\n  port: 5432\n  tls: true\nlist: [1, 2]\nkeep: 1.10\n");
    sandbox.write("b.toml", "when = 1979-05-27\n[db]\nhost = 'b'\npool.max = 10\n");
    sandbox.write("c.json", r#"{"list":[3],"db":{"tls":null},"keep":{"x":[]}}"#);
    // Without a reference neither vault nor key is needed.
    let merged = r#"{"db":{"host":"b","port":5432,"tls":null,"pool":{"max":10}},"list":[3],"keep":{"x":[]},"when":"1979-05-27"}"#;
    assert_eq!(compact(&sandbox, &["a.yaml", "b.toml", "c.json"]), merged);
    let order = r#"{"list":[1,2],"db":{"tls":true,"host":"a","port":5432},"keep":1.10}"#;
    assert_eq!(compact(&sandbox, &["c.json", "a.yaml"]), order);
    // The format is that of the first; types are kept.
    assert_eq!(
        render(&sandbox, &["b.toml", "a.yaml"]),
        "when = 1979-05-27\nlist = [1, 2]\nkeep = 1.10\n\n[db]\nhost = \"a\"\nport = 5432\ntls = true\n\n[db.pool]\nmax = 10\n"
    );
    assert_eq!(render(&sandbox, &["a.yaml"]), "db:\n  host: a\n  port: 5432\n  tls: true\nlist:\n  - 1\n  - 2\nkeep: 1.10\n");
    let piped =
        sandbox.vault(&["config", "render", "a.yaml", "-", "--input-format", "json", "--format", "json"]).stdin(r#"{"db":1}"#);
    assert_eq!(piped.run().ok().on_one_line(), r#"{"db":1,"list":[1,2],"keep":1.10}"#);
    for (arguments, code, words) in [
        (&["a.yaml", "c.json", "--format", "toml"][..], 2, "db.tls: TOML has no null"),
        (&["-"], 2, "format of standard input"),
        (&["nofile.yaml"], 13, "nofile.yaml"),
        (&["a.yaml", "--watch"], 2, "required arguments"),
        (&["-", "--input-format", "json", "--watch", "-o", "x"], 2, "cannot be watched"),
        (&["a.yaml", "-o", "a.yaml"], 2, "is a layer"),
        (&["a.yaml", "--from-env", ""], 2, "prefix of variables is empty"),
        (&[], 2, "no layers"),
    ] {
        sandbox.vault(&[&["config", "render"], arguments].concat()).run().fails(code, words);
    }
    sandbox.write("bad.yaml", "a: 1\na: 2\n");
    sandbox.vault(&["config", "render", "bad.yaml"]).run().fails(2, "bad.yaml: line 2");
}

#[test]
fn variables_are_laid_over_files_in_the_order_of_the_command_line() {
    let sandbox = Sandbox::empty();
    sandbox.write("base.json", r#"{"db":{"host":"h","port":1,"tls":false,"maxConns":5},"name":"n"}"#);
    sandbox.write("last.json", r#"{"name":"last"}"#);
    sandbox.write("x.env", "APP_DB__PORT=2\nNAME=env\n");
    let run = |arguments: &[&str]| {
        let run = sandbox.vault(&[&["config", "render", "--format", "json"], arguments].concat());
        let run = run.env("APP_DB__PORT", "3").env("APP_DB__TLS", "true").env("APP_DB__MAXCONNS", "7").env("APP_NEW__A", "8");
        run.env("APPLE", "no").env("VAULT_KEY", "canary").run().ok().on_one_line()
    };
    let with = r#"{"db":{"host":"h","port":3,"tls":true,"maxConns":7},"name":"n","new":{"a":"8"}}"#;
    assert_eq!(run(&["base.json", "--from-env", "APP"]), with);
    assert_eq!(run(&["base.json", "--environment-prefix", "APP_"]), with);
    let dotenv_last = r#"{"db":{"host":"h","port":2,"tls":true,"maxConns":7},"name":"env","new":{"a":"8"}}"#;
    assert_eq!(run(&["base.json", "--from-env", "APP", "--env-file", "x.env"]), dotenv_last);
    assert_eq!(run(&["base.json", "--env-file", "x.env", "--from-env", "APP", "last.json"]), with.replace("\"n\"", "\"last\""));
    // A dotenv file may be a layer like any other.
    assert_eq!(run(&["last.json", "x.env"]), r#"{"name":"env","app_db":{"port":"2"}}"#);
    assert_eq!(run(&["last.json", "--from-env", "VAULT"]), r#"{"name":"last"}"#);
    sandbox.write("twice.env", "A__B=1\na__b=2\n");
    sandbox.vault(&["config", "render", "twice.env"]).run().fails(6, "two variables are for a.b");
}

#[test]
fn references_become_values_with_their_types() {
    let sandbox = Sandbox::new();
    sandbox.set("db", r#"{"host":"h","port":5432,"tls":true,"pool":[1,{"max":2}]}"#);
    sandbox.vault(&["set", "obj", "--json"]).stdin(r#"{"a":1.10,"b":null}"#).run().ok();
    sandbox.set("number", "5");
    sandbox.set("pass", "p\"w\n");
    sandbox.vault(&["set", "pass", "-e", "prod", "--raw"]).stdin("prod").run().ok();
    sandbox.write(
        "c.yaml",
        "port: vault://db#port\ntls: \"{{ vault://db#tls }}\"\npool: vault://db#/pool/1\nobj: vault://obj\nnumber: vault://number\n\
         url: \"pg://u:{{ vault://pass }}@{{vault://db#host}}:{{ vault://db#port }}\"\nnone: \"{{ vault://none | default \\\"d\\\" }}\"\n\
         list: [vault://pass, {x: vault://number}]\nplain: \"a vault://x {{ y }}\"\n",
    );
    let expected = serde_json::json!({
        "port": 5432, "tls": true, "pool": {"max": 2}, "obj": serde_json::from_str::<serde_json::Value>(r#"{"a":1.10,"b":null}"#).unwrap(),
        "number": "5", "url": "pg://u:p\"w\n@h:5432", "none": "d", "list": ["p\"w\n", {"x": "5"}], "plain": "a vault://x {{ y }}",
    });
    assert_eq!(compact(&sandbox, &["c.yaml"]), expected.to_string());
    assert!(compact(&sandbox, &["c.yaml", "-e", "prod"]).contains(r#""list":["prod""#));
    // What is overridden is not asked for.
    sandbox.write("a.json", r#"{"x":"vault://gone","y":{"z":1}}"#);
    sandbox.write("b.json", r#"{"x":1}"#);
    assert_eq!(compact(&sandbox, &["a.json", "b.json"]), r#"{"x":1,"y":{"z":1}}"#);
    // Places of the command line and of a file.
    sandbox.write("map.toml", "'y.z' = 'db#port'\n[n]\nm = 'vault://pass?env=prod'\n");
    let mapped = compact(&sandbox, &["b.json", "--map-file", "map.toml", "--map", "x=number"]);
    assert_eq!(mapped, r#"{"x":"5","y":{"z":5432},"n":{"m":"prod"}}"#);
    sandbox.vault(&["config", "render", "b.json", "--map", "x"]).run().fails(2, "PATH=NAME");
}

#[test]
fn what_is_not_there_stops_everything_and_is_named() {
    let sandbox = Sandbox::new();
    let canary = canary();
    sandbox.set("db", format!("{{\"password\":\"{canary}\"}}"));
    sandbox.vault(&["set", "old", "--ttl", "1s"]).stdin(&canary).run().ok();
    sandbox.vault(&["set", "bytes", "--raw"]).stdin([0xff, 0xfe]).run().ok();
    let out = sandbox.write("out.json", "as it was");
    for (value, code, words) in [
        ("vault://db#nofield", 3, "a.b.1: vault://db#nofield: "),
        ("vault://none?env=x", 3, "a.b.1: vault://none?env=x: "),
        ("u:{{ vault://none#f }}", 3, "vault://none#f"),
        ("vault://none", 3, "a.b.1: vault://none: there is no entry"),
        ("vault://bytes", 2, "not text"),
        ("vault://", 2, "a.b.1: "),
    ] {
        sandbox.write("c.json", format!(r#"{{"a":{{"b":[0,"{value}"]}},"canary":"{canary}"}}"#));
        let failed = sandbox.vault(&["config", "render", "c.json", "-o", "out.json"]).run().fails(code, words);
        assert!(!failed.stderr.contains(&canary), "{}", failed.stderr);
        // Masking does not make it be there.
        sandbox.vault(&["config", "render", "c.json", "--mask"]).run().fails(code, words);
    }
    assert_eq!(fs::read_to_string(&out).unwrap(), "as it was");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    sandbox.write("c.json", r#"{"a":"vault://old"}"#);
    sandbox.vault(&["config", "render", "c.json"]).run().fails(9, "a: vault://old: ");
    assert!(compact(&sandbox, &["c.json", "--allow-expired"]).contains(&canary));
}

#[test]
fn masks() {
    let sandbox = Sandbox::new();
    let canary = canary();
    sandbox.set("s", &canary);
    sandbox.set("j", format!("{{\"n\":7777,\"t\":\"{canary}\"}}"));
    let text = format!(
        "a: vault://s\nb: 'x {{{{ vault://s }}}} y'\nc: vault://j#n\nd: vault://j\npassword: [1, {canary}]\nurl: http://u:{canary}@h/\n\
         pem: \"-----BEGIN PRIVATE KEY-----\\n{canary}\"\nmonkey: m\nplain: p\ndefault: '{{{{ vault://no | default \"dd\" }}}}'\n"
    );
    sandbox.write("c.yaml", text);
    sandbox.write("s.yaml", format!("inner: {canary}\nlist: [1, true]\n"));
    sandbox.vault(&["file", "encrypt", "s.yaml"]).run().ok();
    let masked = compact(&sandbox, &["c.yaml", "s.yaml.vault", "--mask"]);
    let expected = r#"{"a":"[MASKED]","b":"x [MASKED] y","c":"[MASKED]","d":"[MASKED]","password":["[MASKED]","[MASKED]"],"url":"http://u:[MASKED]@h/","pem":"[MASKED]","monkey":"m","plain":"p","default":"dd","inner":"[MASKED]","list":["[MASKED]","[MASKED]"]}"#;
    assert_eq!(masked, expected);
    for format in ["json", "yaml", "toml"] {
        let masked = render(&sandbox, &["c.yaml", "s.yaml.vault", "--mask", "--format", format]);
        assert!(!masked.contains(&canary) && !masked.contains("7777"), "{masked}");
    }
    let substrings = compact(&sandbox, &["c.yaml", "--mask", "--rule", "substrings"]);
    assert!(substrings.contains(r#""monkey":"[MASKED]""#), "{substrings}");
    let real = render(&sandbox, &["c.yaml", "s.yaml.vault"]);
    assert_eq!(real.matches(&canary).count(), 7, "{real}");
    assert!(real.contains("7777"));
    let seen = |options: &str| {
        let command = format!("vault config render c.yaml {options}");
        crate::prompts::at_terminal(&sandbox, &command, &[]).ends(0).screen
    };
    let at_terminal = seen("");
    assert!(at_terminal.contains("[MASKED]") && !at_terminal.contains(&canary), "{at_terminal}");
    assert!(seen("--reveal").contains(&canary));
    assert!(!seen("--reveal --mask").contains(&canary));
}

#[test]
fn profiles_add_files() {
    let sandbox = Sandbox::empty();
    sandbox.write("a.yaml", "x: 1\ny: 1\nz: 1\n");
    sandbox.write("a.prod.yaml", "y: 2\nz: 2\n");
    sandbox.write("b.json", r#"{"z":3}"#);
    assert_eq!(compact(&sandbox, &["a.yaml", "b.json"]), r#"{"x":1,"y":1,"z":3}"#);
    assert_eq!(compact(&sandbox, &["a.yaml", "b.json", "--profile", "prod"]), r#"{"x":1,"y":2,"z":3}"#);
    let run = |profile: &str, variable: &str| {
        let run = sandbox.vault(&["config", "render", "a.yaml", "--format", "json", "--profile", profile]).env(variable, "prod");
        run.run()
    };
    for variable in ["ENVIRONMENT", "ENV", "NODE_ENV", "PYTHON_ENV", "CONFIG_ENV", "APP_ENV"] {
        assert!(run("auto", variable).ok().text().contains("\"y\": 2"), "{variable}");
        // Not unless it is asked for.
        let silent = sandbox.vault(&["config", "render", "a.yaml"]).env(variable, "prod").run().ok();
        assert!(silent.text().contains("z: 1") && silent.stderr.is_empty());
    }
    assert!(run("none", "ENV").ok().stderr.contains("no file of the profile 'none'"));
    run("../x", "ENV").fails(2, "not a profile");
}

#[test]
fn a_project_names_its_layers() {
    let sandbox = Sandbox::new();
    sandbox.set("db", r#"{"password":"pw"}"#);
    fs::create_dir_all(sandbox.path("work/conf/deep")).unwrap();
    sandbox.write("conf/base.toml", "[db]\nhost = 'h'\n");
    sandbox.write("conf/base.prod.toml", "[db]\nhost = 'p'\n");
    let table =
        "[config]\nfiles = ['conf/base.toml']\nprofile = 'prod'\nfrom-env = 'APP'\n[config.map]\n'db.password' = 'db#password'\n";
    sandbox.write("vault.toml", table);
    let run = |arguments: &[&str]| {
        let run = sandbox.vault(&[&["config"], arguments].concat()).dir(sandbox.path("work/conf/deep")).env("APP_A", "1");
        run.run().ok().text()
    };
    assert_eq!(run(&["render"]), "a = \"1\"\n\n[db]\nhost = \"p\"\npassword = \"pw\"\n");
    assert_eq!(run(&["get", "db.password"]), "pw");
    // Files of the command line stand in the place of the project's; its map stays.
    assert_eq!(run(&["render", "../base.toml", "--profile", "none", "-q"]), "[db]\nhost = \"h\"\npassword = \"pw\"\n");
}

#[test]
fn one_value() {
    let sandbox = Sandbox::new();
    sandbox.set("db", r#"{"host":"h\n","port":5432,"deep":{"x":[1,2]}}"#);
    sandbox.vault(&["set", "all", "--json"]).stdin(r#"{"deep":{"x":[1,"y"]}}"#).run().ok();
    sandbox.write("c.json", r#"{"a":{"b":"vault://db#host","c":[1,{"d.e":true}]},"all":"vault://all","text":"{{ vault://db }}","gone":"vault://gone","n":null}"#);
    let get = |path: &str| sandbox.vault(&["config", "get", path, "c.json"]).run();
    for (path, expected) in [
        ("a.b", "h\n"),
        ("a", r#"{"b":"h\n","c":[1,{"d.e":true}]}"#),
        ("/a/c/1/d.e", "true"),
        ("a.c", r#"[1,{"d.e":true}]"#),
        ("all.deep.x.1", "y"),
        ("all.deep", r#"{"x":[1,"y"]}"#),
        ("text.deep.x.0", "1"),
        ("n", "null"),
    ] {
        assert_eq!(get(path).ok().text(), expected, "{path}");
    }
    for path in ["nope", "a.c.9", "a.b.c", "all.nope", "a..b"] {
        get(path).fails(if path == "a..b" { 2 } else { 3 }, "");
    }
    get("nope").fails(3, "no layer has 'nope'");
    get("gone").fails(3, "gone: vault://gone");
    // Only what is needed: no key is.
    let without_key = sandbox.vault(&["config", "get", "a.c.0", "c.json", "--no-input"]).without_env("VAULT_KEY_FILE");
    assert_eq!(without_key.run().ok().text(), "1");
}

#[test]
fn where_a_value_comes_from() {
    let sandbox = Sandbox::new();
    let canary = canary();
    sandbox.write("a.yaml", format!("db:\n  host: {canary}\n  port: 1\nx: {canary}\n"));
    sandbox.write("b.yaml", "db:\n  host: vault://db#host\n");
    let explain = |path: &str| sandbox.vault(&["config", "explain", path, "a.yaml", "b.yaml", "--map", "x=s"]).run();
    let lines = |path: &str| explain(path).ok().text();
    assert_eq!(lines("db.host"), "a.yaml    hidden  text\nb.yaml    counts  text\nmap of x  -\nreference  vault://db#host\n");
    assert_eq!(lines("db"), "a.yaml    counts  table\nb.yaml    counts  table\nmap of x  -\n");
    assert!(lines("x").contains("map of x  counts  reference") && lines("x").contains("vault://s"), "{}", lines("x"));
    assert!(!["db.host", "x"].map(lines).concat().contains(&canary));
    let json = sandbox.vault(&["config", "explain", "db.port", "a.yaml", "b.yaml", "--format", "json"]).run().ok().json();
    assert_eq!(json["layers"][0], serde_json::json!({"layer": "a.yaml", "kind": "number", "counts": true}));
    explain("nope").fails(3, "no layer has");
}

#[test]
fn the_file_is_private_and_takes_the_place_of_a_link() {
    let sandbox = Sandbox::new();
    sandbox.write("c.json", r#"{"a":1}"#);
    let target = sandbox.write("target", "mine");
    let out = sandbox.path("work/out.json");
    symlink(&target, &out).unwrap();
    sandbox.vault(&["config", "render", "c.json", "-o", "out.json"]).run().ok();
    assert_eq!(fs::read_to_string(&target).unwrap(), "mine");
    assert!(!out.symlink_metadata().unwrap().is_symlink());
    assert_eq!(out.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(sandbox.files("work").len(), 3);
}

#[test]
fn watching() {
    let sandbox = Sandbox::new();
    sandbox.set("s", "one");
    sandbox.write("a.json", r#"{"s":"vault://s","n":1}"#);
    let out = sandbox.path("work/out.json");
    let seen = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    for (signal, ended) in [("TERM", 0), ("INT", 130)] {
        let _ = fs::remove_file(&out);
        let log = sandbox.vault(&["audit", "show", "--action", "render", "--format", "json"]).run().ok().json();
        let before = log["records"].as_array().unwrap().len();
        let run = sandbox.vault(&["config", "render", "a.json", "--profile", "dev", "-o", "out.json", "--watch"]);
        let mut child = run.spawn();
        let said = crate::sandbox::said(&mut child);
        let rendered = || {
            let log = sandbox.vault(&["audit", "show", "--action", "render", "--format", "json"]).run().ok().json();
            log["records"].as_array().unwrap().len() - before
        };
        wait_until("the first", || seen(&out).contains("\"s\": \"one\"") && rendered() == 1);
        // Nothing changes meanwhile, so it is rendered once.
        std::thread::sleep(std::time::Duration::from_millis(1500));
        assert_eq!(rendered(), 1);
        sandbox.set("s", "two");
        wait_until("a change of the vault", || seen(&out).contains("\"s\": \"two\""));
        sandbox.write("a.dev.json", r#"{"n":2}"#);
        wait_until("a layer that comes", || seen(&out).contains("\"n\": 2"));
        // What cannot be rendered leaves the last good one.
        sandbox.write("a.json", r#"{"s":"vault://nope"}"#);
        let words = "warning: out.json stays as it was: s: vault://nope";
        wait_until("the warning", || said.lock().unwrap().contains(words));
        assert!(seen(&out).contains("\"s\": \"two\""));
        sandbox.write("a.json", r#"{"s":"vault://s","n":1,"m":3}"#);
        wait_until("a change of a layer", || seen(&out).contains("\"m\": 3"));
        sandbox.program("kill", &["-s", signal, &child.id().to_string()]).run().ok();
        assert_eq!(code(child.wait().unwrap()), ended, "{}", said.lock().unwrap());
        fs::remove_file(sandbox.path("work/a.dev.json")).unwrap();
        sandbox.write("a.json", r#"{"s":"vault://s","n":1}"#);
        sandbox.set("s", "one");
    }
}
