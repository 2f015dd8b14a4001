//! `vault file`

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use crate::sandbox::{Sandbox, canary, wait_until};

/// An editor that is a shell script; `$1` is the file.
fn editor(sandbox: &Sandbox, script: &str) -> PathBuf {
    sandbox.script("../editor", script)
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

fn plain(sandbox: &Sandbox, file: &str) -> String {
    sandbox.vault(&["file", "decrypt", file, "-o", "-"]).run().ok().text()
}

#[test]
fn a_file_goes_there_and_back() {
    let sandbox = Sandbox::new();
    let bytes: Vec<u8> = (0..5_u32 << 20).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let path = sandbox.write("f.bin", &bytes);
    sandbox.vault(&["file", "encrypt", "f.bin"]).run().ok();
    let encrypted = sandbox.path("work/f.bin.vault");
    assert_eq!((mode(&encrypted), fs::read(&path).unwrap() == bytes), (0o600, true));
    // Nothing is written over.
    sandbox.vault(&["file", "encrypt", "f.bin"]).run().fails(6, "f.bin.vault is there already");
    sandbox.vault(&["file", "decrypt", "f.bin.vault"]).run().fails(6, "f.bin is there already");
    sandbox.vault(&["file", "encrypt", "f.bin", "--force"]).run().ok();
    fs::remove_file(&path).unwrap();
    sandbox.vault(&["file", "decrypt", "f.bin.vault"]).run().ok();
    assert!(mode(&path) == 0o600 && fs::read(&path).unwrap() == bytes);
    assert!(sandbox.vault(&["file", "decrypt", "f.bin.vault", "-o", "-"]).run().ok().stdout == bytes);
    assert!(sandbox.vault(&["decrypt", "f.bin.vault"]).run().ok().stdout == bytes);
    sandbox.vault(&["file", "decrypt", "f.bin.vault", "-o", "other"]).run().ok();
    assert!(fs::read(sandbox.path("work/other")).unwrap() == bytes);
    for (arguments, code, words) in [
        (&["decrypt", "other"][..], 2, "does not end in .vault"),
        (&["decrypt", "other", "-o", "x"], 8, ""),
        (&["encrypt", "nofile"], 13, "nofile"),
        (&["encrypt", "."], 2, "not a regular file"),
        (&["encrypt", "other", "-o", "other", "--force"], 2, "its own place"),
    ] {
        sandbox.vault(&[&["file"], arguments].concat()).run().fails(code, words);
    }
    // Cut or altered: no file.
    let whole = fs::read(&encrypted).unwrap();
    let mut altered = whole.clone();
    altered[whole.len() - 9] ^= 1;
    for bytes in [&whole[..whole.len() - 1], &altered] {
        sandbox.write("bad.vault", bytes);
        sandbox.vault(&["file", "decrypt", "bad.vault"]).run().fails(8, "damaged");
    }
    assert_eq!(sandbox.files("work").len(), 4);
}

#[test]
fn removing_is_proved_first_and_honest() {
    let sandbox = Sandbox::new();
    let path = sandbox.write("f", "text");
    sandbox.vault(&["file", "encrypt", "f"]).run().ok();
    // What stops it leaves the file.
    sandbox.vault(&["file", "encrypt", "f", "--remove"]).run().fails(6, "there already");
    assert!(path.exists());
    let said = sandbox.vault(&["file", "encrypt", "f", "--remove", "--force"]).run().ok().stderr;
    assert!(said.contains("may still be on the disk"), "{said}");
    assert!(!path.exists());
    assert_eq!(plain(&sandbox, "f.vault"), "text");
    // A link is not the file, and a second name keeps it.
    let target = sandbox.write("g", "text");
    symlink("g", sandbox.path("work/link")).unwrap();
    sandbox.vault(&["file", "encrypt", "link", "--remove"]).run().fails(2, "is a link");
    fs::hard_link(&target, sandbox.path("work/h")).unwrap();
    assert!(sandbox.vault(&["file", "encrypt", "g", "--remove"]).run().ok().stderr.contains("other names"));
    sandbox.vault(&["file", "encrypt", "h", "-o", "-"]).run().fails(2, "a file goes to a file");
}

#[test]
fn a_category_is_kept_when_it_is_edited() {
    let sandbox = Sandbox::new();
    sandbox.vault(&["key", "add", "--label", "ci", "--key-file", "ci.key", "--only", "category:ci"]).run().ok();
    sandbox.write("f", "text");
    sandbox.vault(&["file", "encrypt", "f", "--category", "ci"]).run().ok();
    let limited = |arguments: &[&str]| sandbox.vault(&[arguments, &["--key-file", "ci.key"]].concat()).run();
    assert_eq!(limited(&["file", "decrypt", "f.vault", "-o", "-"]).ok().text(), "text");
    sandbox.vault(&["file", "edit", "f.vault"]).env("EDITOR", editor(&sandbox, "echo more >> \"$1\"")).run().ok();
    assert_eq!(limited(&["file", "decrypt", "f.vault", "-o", "-"]).ok().text(), "textmore");
    sandbox.vault(&["file", "encrypt", "f", "--force"]).run().ok();
    limited(&["file", "decrypt", "f.vault", "-o", "-"]).fails(12, "");
}

#[test]
fn editing() {
    let sandbox = Sandbox::new();
    let canary = canary();
    sandbox.write("c.yaml", format!("a: {canary}\n"));
    sandbox.vault(&["file", "encrypt", "c.yaml", "--remove", "-q"]).run().ok();
    let file = sandbox.path("work/c.yaml.vault");
    let before = fs::read(&file).unwrap();
    let edit = |script: &str| sandbox.vault(&["file", "edit", "c.yaml.vault"]).env("EDITOR", editor(&sandbox, script)).run();
    // Unchanged, or given up: the very same file.
    assert!(edit("true").ok().stderr.contains("nothing changed"));
    edit("echo x > \"$1\"; exit 1").fails(13, "the editor ended");
    assert_eq!(fs::read(&file).unwrap(), before);
    let record = sandbox.path("record");
    let script =
        format!("{{ basename \"$1\"; stat -c %a \"$1\"; dirname \"$1\"; }} > '{}'; echo 'b: 1' >> \"$1\"", record.display());
    edit(&script).ok();
    assert_eq!(plain(&sandbox, "c.yaml.vault"), format!("a: {canary}\nb: 1\n"));
    assert_eq!(mode(&file), 0o600);
    let seen = fs::read_to_string(&record).unwrap();
    let seen: Vec<&str> = seen.lines().collect();
    assert_eq!(seen[..2], ["c.yaml", "600"]);
    assert!(!Path::new(seen[2]).exists() && seen[2].starts_with("/dev/shm/"));
    // It is a layer now.
    assert_eq!(sandbox.vault(&["config", "get", "a", "c.yaml.vault"]).run().ok().text(), canary);
    // A link stays a link.
    symlink("c.yaml.vault", sandbox.path("work/link.vault")).unwrap();
    let run = sandbox.vault(&["file", "edit", "link.vault"]).env("EDITOR", editor(&sandbox, "echo 'c: 2' > \"$1\""));
    run.run().ok();
    assert!(sandbox.path("work/link.vault").symlink_metadata().unwrap().is_symlink());
    assert_eq!(plain(&sandbox, "c.yaml.vault"), "c: 2\n");
    // One that is not there is made, unless nothing is written.
    sandbox.vault(&["file", "edit", "new.vault"]).env("EDITOR", "true").run().ok();
    assert!(!sandbox.path("work/new.vault").exists());
    sandbox.vault(&["file", "edit", "new.vault"]).env("EDITOR", editor(&sandbox, "printf n > \"$1\"")).run().ok();
    assert_eq!(plain(&sandbox, "new.vault"), "n");
    sandbox.write("bin", [0xff, 0]);
    sandbox.vault(&["file", "encrypt", "bin"]).run().ok();
    sandbox.vault(&["file", "edit", "bin.vault"]).env("EDITOR", "true").run().fails(2, "not text");
}

#[test]
fn two_editors_do_not_overwrite_each_other_unseen() {
    let sandbox = Sandbox::new();
    sandbox.write("f", "old\n");
    sandbox.vault(&["file", "encrypt", "f", "--remove", "-q"]).run().ok();
    // The other one ends while this one is at work.
    let other = sandbox.script("../other", "echo other > \"$1\"");
    let work = sandbox.path("work");
    let script = format!(
        "cd '{}' && VAULT_KEY_FILE='{}' EDITOR='{}' vault file edit f.vault && echo mine > \"$1\"",
        work.display(),
        sandbox.key().display(),
        other.display()
    );
    let failed = sandbox.vault(&["file", "edit", "f.vault"]).env("EDITOR", editor(&sandbox, &script)).run();
    let failed = failed.fails(6, "changed by somebody else");
    assert_eq!(plain(&sandbox, "f.vault"), "other\n");
    // What was written is not lost, and not in the clear.
    let kept = failed.stderr.split("is in ").nth(1).and_then(|rest| rest.split(',').next()).unwrap().to_owned();
    assert_eq!(plain(&sandbox, &kept), "mine\n");
    assert_eq!(sandbox.files("work").len(), 2);
}

#[test]
fn whoever_is_killed_while_editing_leaves_the_old_file() {
    let sandbox = Sandbox::new();
    sandbox.write("f", "old\n");
    sandbox.vault(&["file", "encrypt", "f", "--remove", "-q"]).run().ok();
    let before = fs::read(sandbox.path("work/f.vault")).unwrap();
    let (ready, go) = (sandbox.path("ready"), sandbox.path("go"));
    let script = format!(
        "exec > /dev/null 2>&1; echo new > \"$1\"; touch '{}'; while ! [ -e '{}' ]; do sleep 0.05; done",
        ready.display(),
        go.display()
    );
    let mut child = sandbox.vault(&["file", "edit", "f.vault"]).env("EDITOR", editor(&sandbox, &script)).spawn();
    wait_until("the editor", || ready.exists());
    child.kill().unwrap();
    child.wait().unwrap();
    fs::write(&go, "").unwrap();
    assert_eq!(fs::read(sandbox.path("work/f.vault")).unwrap(), before);
    assert_eq!(sandbox.files("work").len(), 1);
    assert_eq!(plain(&sandbox, "f.vault"), "old\n");
}
