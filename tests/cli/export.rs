//! `vault export`

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::sandbox::{Sandbox, identity};

fn filled() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.vault(&["set", "svc/db-prod", "--category", "db"]).stdin("it's $HOME `id` \"x\"\nline 2\n").run().ok();
    sandbox.vault(&["set", "db", "--json"]).stdin(r#"{"host":"h","port":5432,"tls":{"on":true}}"#).run().ok();
    sandbox.vault(&["set", "api", "-e", "prod"]).stdin("prod").run().ok();
    sandbox.vault(&["set", "api", "--tag", "t", "--meta", "k=v"]).stdin("general").run().ok();
    sandbox
}

fn export(sandbox: &Sandbox, arguments: &[&str]) -> String {
    let mut line = vec!["export", "--format"];
    line.extend(arguments);
    sandbox.vault(&line).run().ok().text()
}

#[test]
fn shell_can_be_evaluated() {
    let sandbox = filled();
    assert_eq!(
        export(&sandbox, &["shell"]),
        "export API='general'\nexport DB_HOST='h'\nexport DB_PORT='5432'\nexport DB_TLS_ON='true'\n\
         export SVC_DB_PROD='it'\\''s $HOME `id` \"x\"\nline 2\n'\n"
    );
    let evaluated =
        sandbox.shell("eval \"$(vault export --format shell --prefix P_)\"; printf %s \"$P_SVC_DB_PROD\"; env | grep -c ^P_");
    assert_eq!(evaluated.run().ok().text(), "it's $HOME `id` \"x\"\nline 2\n5\n");
}

#[test]
fn an_environment_stands_before_the_general_entries() {
    let sandbox = filled();
    assert!(export(&sandbox, &["dotenv", "-e", "prod"]).starts_with("API='prod'\nDB_HOST='h'\n"));
    assert!(export(&sandbox, &["dotenv", "-e", "stage"]).starts_with("API='general'\n"));
    assert_eq!(export(&sandbox, &["dotenv", "--category", "db", "-e", "prod"]).lines().count(), 1);
    // The whole vault goes with all environments into the formats that keep them.
    let all: serde_json::Value = serde_json::from_str(&export(&sandbox, &["json"])).unwrap();
    assert_eq!((&all["vault_export"], all["entries"].as_array().unwrap().len()), (&1.into(), 4));
}

#[test]
fn every_format_that_keeps_everything_returns() {
    let sandbox = filled();
    sandbox.vault(&["set", "bytes"]).stdin(b"\0\xff").run().ok();
    sandbox.vault(&["set", "late", "--ttl", "90d"]).stdin("v").run().ok();
    let whole = export(&sandbox, &["json"]);
    for format in ["json", "yaml", "toml", "csv"] {
        let file = format!("all.{format}");
        let text = export(&sandbox, &[format, "--out", &file]);
        assert!(text.is_empty());
        let mode = fs::metadata(sandbox.path("work").join(&file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        sandbox.vault(&["init", "--vault", format, "--key-file", "k", "-q"]).run().ok();
        sandbox.vault(&["import", &file, "--vault", format, "--key-file", "k"]).run().ok();
        assert_eq!(export(&sandbox, &["json", "--vault", format, "--key-file", "k"]), whole, "{format}");
    }
}

#[test]
fn two_names_for_one_variable_are_an_error_that_names_both() {
    let sandbox = Sandbox::new();
    sandbox.set("a-b", "1");
    sandbox.set("a_b", "2");
    for format in ["shell", "dotenv"] {
        let failed = sandbox
            .vault(&["export", "--format", format])
            .run()
            .fails(6, "\"a-b\" and \"a_b\" would both become the variable A_B");
        assert!(failed.stdout.is_empty());
    }
    sandbox.vault(&["rm", "a-b", "a_b"]).run().ok();
    sandbox.set("2fa", "v");
    sandbox.vault(&["export", "--format", "shell"]).run().fails(2, "use a prefix");
    assert_eq!(export(&sandbox, &["shell", "--prefix", "X_"]), "export X_2FA='v'\n");
    sandbox.vault(&["export", "--format", "shell", "--prefix", "a-"]).run().fails(2, "the prefix");
    sandbox.vault(&["export", "--format", "json", "--prefix", "X_"]).run().fails(2, "");
    sandbox.set("bytes", b"\xff");
    sandbox.vault(&["export", "--format", "shell", "--prefix", "X_"]).run().fails(2, "\"bytes\"");
}

#[test]
fn what_has_expired_is_left_out_for_programs_and_kept_in_backups() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "1");
    sandbox.vault(&["set", "old", "--ttl", "0s"]).stdin("2").run().ok();
    let out = sandbox.vault(&["export", "--format", "shell"]).run().ok();
    assert_eq!(out.text(), "export A='1'\n");
    assert_eq!(out.stderr, "note: 1 expired entries were left out (--allow-expired includes them)\n");
    assert_eq!(export(&sandbox, &["shell", "--allow-expired"]).lines().count(), 2);
    assert!(export(&sandbox, &["json"]).contains("\"old\""));
}

#[test]
fn an_age_backup_goes_there_and_back() {
    let sandbox = filled();
    let (identity, recipient) = identity();
    sandbox.write("identity", format!("{identity}\n"));
    let arguments = ["export", "--format", "age", "--recipient", &recipient, "--out", "all.age"];
    sandbox.vault(&arguments).run().ok();
    let bytes = fs::read(sandbox.path("work/all.age")).unwrap();
    assert!(bytes.starts_with(b"age-encryption.org/v1\n"));
    assert!(!String::from_utf8_lossy(&bytes).contains("general"));
    sandbox.vault(&["init", "--vault", "v", "--key-file", "k", "-q"]).run().ok();
    sandbox.vault(&["import", "all.age", "--backup-identity", "identity", "--vault", "v", "--key-file", "k"]).run().ok();
    assert_eq!(export(&sandbox, &["json", "--vault", "v", "--key-file", "k"]), export(&sandbox, &["json"]));
    let (other, _) = crate::sandbox::identity();
    sandbox.write("other", format!("{other}\n"));
    sandbox.vault(&["import", "all.age", "--backup-identity", "other"]).run().fails(4, "the backup cannot be opened");
    sandbox.vault(&["import", "all.age", "--no-input"]).run().fails(4, "the backup needs a key");
    sandbox.vault(&["export", "--format", "age", "--no-input"]).run().fails(2, "needs a recipient");
    sandbox.vault(&["export", "--format", "json", "--recipient", &recipient]).run().fails(2, "--format age");
    sandbox.vault(&["export", "--format", "age", "--recipient", "age1x"]).run().fails(2, "not an age or SSH key");
}

#[test]
fn an_empty_vault_is_an_empty_export() {
    let sandbox = Sandbox::new();
    assert_eq!(export(&sandbox, &["shell"]), "");
    assert_eq!(export(&sandbox, &["json"]), "{\"vault_export\":1,\"entries\":[\n]}\n");
    sandbox.vault(&["export"]).run().ends(2);
    sandbox.vault(&["export", "--format", "xml"]).run().ends(2);
}
