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

#[test]
fn generations_are_kept_and_nothing_else_is_removed() {
    let sandbox = Sandbox::new();
    let copies = || -> Vec<String> {
        let files = sandbox.files("work/copies");
        let names = files.into_iter().map(|(path, _)| path.file_name().unwrap().to_str().unwrap().to_owned());
        // Reading a copy begins a log beside it.
        names.filter(|name| !name.ends_with(".audit")).collect()
    };
    for value in ["1", "2", "3", "4"] {
        sandbox.set("a", value);
        sandbox.vault(&["backup", "--keep", "2", "copies"]).run().ok();
    }
    let kept = copies();
    assert_eq!(kept.len(), 2, "{kept:?}");
    let newest = |name: &str| sandbox.vault(&["get", "a", "--vault", &format!("copies/{name}")]).run().ok().stdout;
    assert_eq!((newest(&kept[0]), newest(&kept[1])), (b"3".to_vec(), b"4".to_vec()));
    let modes = sandbox.files("work/copies").into_iter().all(|(_, mode)| mode == 0o600);
    let directory = fs::metadata(sandbox.path("work/copies")).unwrap().permissions().mode() & 0o777;
    assert!(modes && directory == 0o700, "{directory:o}");

    // What has another name is another's, however alike it is.
    let others = [
        "notes",
        "test-old.vault",
        "testing-20200101T000000000Z.vault",
        "test-20200101T00000000xZ.vault",
        "test-20200101T000000000Z.vault.gz",
    ];
    for name in others {
        fs::write(sandbox.path("work/copies").join(name), "mine").unwrap();
    }
    sandbox.vault(&["backup", "--keep", "1", "copies"]).run().ok();
    let now = copies();
    assert!(others.iter().all(|name| now.contains(&(*name).to_owned())), "{now:?}");
    assert_eq!(now.len(), others.len() + 1, "{now:?}");

    // A backup that cannot be made takes none of the others away.
    fs::write(sandbox.file(), "no vault").unwrap();
    assert_ne!(sandbox.vault(&["backup", "--keep", "1", "copies"]).run().code, 0);
    assert_eq!(copies(), now);
    sandbox.vault(&["backup", "--keep", "0", "copies"]).run().ends(2);
}
