//! `vault backup`

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::sandbox::Sandbox;

#[test]
fn a_copy_that_opens() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "1");
    sandbox.set("a", "2");
    let made = sandbox.vault(&["backup", "copy"]).run().ok();
    assert_eq!(made.stderr, "1 entries, 2 values verified in copy\n");
    assert_eq!(fs::metadata(sandbox.path("work/copy")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(sandbox.vault(&["get", "a", "--vault", "copy"]).run().ok().stdout, b"2");
    assert_eq!(fs::read(sandbox.path("work/copy")).unwrap(), sandbox.bytes());

    sandbox.set("a", "3");
    let copy = fs::read(sandbox.path("work/copy")).unwrap();
    sandbox.vault(&["backup", "copy"]).run().fails(6, "copy exists already");
    assert_eq!(fs::read(sandbox.path("work/copy")).unwrap(), copy);
    sandbox.vault(&["backup", "copy", "--force"]).run().ok();
    assert_eq!(sandbox.vault(&["get", "a", "--vault", "copy"]).run().ok().stdout, b"3");
    sandbox.vault(&["backup", "no/such/copy"]).run().fails(13, "write no/such/copy");
}

#[test]
fn what_is_damaged_is_not_backed_up() {
    let sandbox = Sandbox::new();
    sandbox.set("a", vec![b'x'; 50_000]);
    sandbox.set("b", "small");
    let mut bytes = sandbox.bytes();
    // Inside the large value: everything up to the newest commit opens, and this does not.
    bytes[20_000] ^= 1;
    fs::write(sandbox.file(), &bytes).unwrap();
    sandbox.vault(&["backup", "copy"]).run().fails(8, "damaged");
    assert!(sandbox.files("work").is_empty(), "{:?}", sandbox.files("work"));
    // A good copy is not replaced by a bad one.
    sandbox.write("copy", "good");
    sandbox.vault(&["backup", "copy", "--force"]).run().fails(8, "damaged");
    assert_eq!(fs::read(sandbox.path("work/copy")).unwrap(), b"good");
}

#[test]
fn a_vault_whose_end_cannot_be_read_is_copied_with_a_warning() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "1");
    let length = sandbox.bytes().len();
    sandbox.set("a", "2");
    let mut bytes = sandbox.bytes();
    bytes[length + 10] ^= 1;
    fs::write(sandbox.file(), &bytes).unwrap();
    let made = sandbox.vault(&["backup", "copy"]).run().ok();
    assert!(made.stderr.starts_with("warning: bytes at the end of the vault"), "{}", made.stderr);
    assert_eq!(sandbox.vault(&["get", "a", "--vault", "copy"]).run().ok().stdout, b"1");
}
