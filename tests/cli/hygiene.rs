//! Where a value must not be: arguments, messages, listings, files; who may read what is made; what is planted and not followed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use crate::sandbox::{Sandbox, canary, identity, is_installed, is_root, wait_until};

/// Every command, with the secret `$CANARY` in what it reads; `>` marks those that print values.
fn everything(recipient: &str) -> Vec<String> {
    let lines = "
        vault set a --category c --tag t --meta k=v < value
        vault set a -v --from-file value
        vault set a --editor
        vault set j --json < json
        vault set j --field f < value
        vault rotate a < value
        vault otp a
        vault otp u --import < uri
        vault otp u
        vault otp u --format json
        > vault otp u --uri
        vault otp u --qr
        vault otp a --import < uri
        vault otp u --import < value
        vault otp u --clip 1
        vault otp h --import < huri
        vault otp h
        vault check --values
        vault check --values --format json
        vault rotate a --apply 'cat <&3 > /dev/null' --verify 'cat <&3 <&4 > /dev/null' -v < value
        vault rotate a --apply 'exit 1' -v --errors json < value
        vault rotate a --resume --errors json
        vault rotate a --abort
        vault rotate a --command 'cat value' --apply true
        vault rotate a --every 1h --command 'cat value' --now
        vault rotate a --trust-commands --yes
        vault rotate --due --format json
        vault rotate a --no-schedule
        > vault get a --previous
        vault set gone --ttl 0s < value
        vault prune --format json
        vault list --due --long --where 'x != y'
        vault list --hot 0 --long
        vault list --unused 0s --format json
        vault stats
        vault stats --format json
        vault used-by a
        vault used-by a value json --format json
        vault edit e
        > vault get a
        > vault get j f
        vault get a --out out
        vault get a --clip 1
        vault list --format json
        vault list --long
        > vault list --format json --reveal
        vault info a --format json
        vault info j
        vault history a
        vault history a --format json
        vault find \"$(cut -c1-8 value)\" --values --format json
        vault rollback a --version 1
        vault cp a b
        vault mv b c
        > vault export --format json
        > vault export --format shell
        vault export --format csv --out out
        vault export --format age --recipient RECIPIENT --out out.age
        vault import flat.json --overwrite
        vault import flat.json --dry-run
        vault import broken.env
        vault encrypt value --out enc
        vault encrypt --armor < value
        > vault decrypt enc
        vault decrypt enc --info
        vault decrypt enc --out out
        vault key import-env foreign.env
        > vault key export-env
        vault key export-env --out out
        vault key import-env foreign.env --errors json
        vault key import-env broken.env
        vault encrypt --fernet value --out token
        > vault decrypt token
        vault file encrypt value --out enc.vault
        vault file edit enc.vault
        > vault file decrypt enc.vault --out -
        vault file decrypt enc.vault --out out --force
        vault config render base.json --mask --map m=a --map n=j
        > vault config render base.json --map m=a
        vault config render base.json --map m=a --out out
        > vault config get m base.json --map m=a
        vault config explain a flat.json --map m=a
        vault config render broken.env
        vault config render flat.json --map m=j#none --errors json
        vault config render flat.json --format toml --map m=j --map n=none
        vault backup copy --force
        vault diff copy copy
        vault restore copy --force
        vault check
        vault compact
        vault rm c
        vault trust
        vault audit show
        vault audit show --format json
        vault audit tail -n 3
        vault audit export --format csv
        vault audit export --out out
        vault audit verify --format json
        vault audit prune --keep 5
        vault set a --json < value
        vault set a --if-version 99 < value
        vault set a --field x < value
        vault get a nofield
        vault get a --errors json --version 99
        vault set 'a b' -v --errors json < value
        vault -v export --format shell --category none
        VAULT_PASSPHRASE_FILE=value vault init --vault phrase1
        VAULT_PASSPHRASE_CMD='cat value' vault list --vault phrase1
        VAULT_PASSPHRASE=wrong vault list --vault phrase1
        VAULT_PASSPHRASE_FILE=value vault list
        VAULT_KEY_FILE=value vault list
        VAULT_IDENTITY=value vault list
    ";
    lines.lines().map(|line| line.trim().replace("RECIPIENT", recipient)).filter(|line| !line.is_empty()).collect()
}

/// A sandbox with the files that `everything` reads; what it would be a fault to find elsewhere is returned.
fn scene() -> (Sandbox, String) {
    let mut sandbox = Sandbox::new();
    // As long as a key file may not be, so that it is none.
    let canary = format!("{}x", canary());
    sandbox.write("value", &canary);
    sandbox.write("json", format!("{{\"f\":\"{canary}\"}}"));
    sandbox.write("flat.json", format!("{{\"a\":\"{canary}\",\"n\":\"{canary}\"}}"));
    sandbox.write("base.json", "{\"x\":1}");
    sandbox.write("broken.env", format!("A={canary}\n{canary}\n"));
    sandbox.write("foreign.env", format!("ENCRYPTION_KEYS__v1={canary}\nENCRYPTION_SALT__v1=salt\n"));
    // A secret in base32 has none of these digits; what else is in the URI must not show either.
    for (name, kind) in [("uri", "totp/x?"), ("huri", "hotp/x?counter=0&")] {
        sandbox.write(name, format!("otpauth://{kind}secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer={canary}"));
    }
    // What is given to hooks goes nowhere else.
    fs::create_dir_all(sandbox.path("config/vault")).unwrap();
    let hook = "[[hook]]\non = ['any']\nvalue = true\ncommand = 'cat <&3 > /dev/null; true'\n";
    fs::write(sandbox.path("config/vault/config.toml"), hook).unwrap();
    let bin = sandbox.path("bin");
    fs::create_dir(&bin).unwrap();
    for (name, script) in [
        ("editor", "cat value.copy > \"$1\" 2> /dev/null || cat \"$SOURCE\" > \"$1\""),
        ("wl-copy", "cat > /dev/null"),
        ("wl-paste", "true"),
    ] {
        sandbox.script(bin.join(name), script);
    }
    sandbox.set_env("SOURCE", sandbox.path("work/value"));
    sandbox.set_env("EDITOR", bin.join("editor"));
    sandbox.set_env("WAYLAND_DISPLAY", "x");
    sandbox.set_env(
        "PATH",
        format!(
            "{}:{}:{}",
            Path::new(crate::sandbox::VAULT).parent().unwrap().display(),
            bin.display(),
            std::env::var("PATH").unwrap()
        ),
    );
    (sandbox, canary)
}

/// The forms in which a value could show.
fn forms(canary: &str) -> Vec<Vec<u8>> {
    use base64::Engine as _;
    let bytes = canary.as_bytes();
    let mut forms = vec![bytes.to_vec(), bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes()];
    // In base64 at each of the three places; the ends depend on what stands around.
    for shift in 0..3 {
        let encoded = base64::engine::general_purpose::STANDARD.encode([&vec![0; shift], bytes].concat());
        forms.push(encoded.as_bytes()[4..encoded.len() - 4].to_vec());
    }
    forms
}

fn holds(haystack: &[u8], forms: &[Vec<u8>]) -> bool {
    forms.iter().any(|form| haystack.windows(form.len()).any(|window| window == form))
}

#[test]
fn no_value_is_in_a_message_a_listing_or_a_file() {
    let (sandbox, canary) = scene();
    let forms = forms(&canary);
    let (_, recipient) = identity();
    for line in everything(&recipient) {
        let (prints, command) = line.strip_prefix("> ").map_or((false, line.as_str()), |command| (true, command));
        let output = sandbox.shell(command).run();
        assert!(!output.stderr.contains("panicked") && output.code < 14, "`{command}`: {} {}", output.code, output.stderr);
        assert!(!holds(output.stderr.as_bytes(), &forms), "`{command}` says the value on stderr: {}", output.stderr);
        assert_eq!(
            holds(&output.stdout, &forms),
            prints,
            "`{command}` on stdout: {} {}",
            String::from_utf8_lossy(&output.stdout),
            output.stderr
        );
        // What was asked to be written there is.
        let _ = fs::remove_file(sandbox.path("work/out"));
        let given = ["value", "json", "flat.json", "broken.env", "foreign.env", "uri", "huri"];
        let given = given.map(|name| sandbox.path("work").join(name));
        for (path, _) in sandbox.files("").into_iter().filter(|(path, _)| path.is_file() && !given.contains(path)) {
            assert!(!holds(&fs::read(&path).unwrap(), &forms), "`{command}` leaves the value in {}", path.display());
        }
    }
}

#[test]
fn no_value_is_an_argument_or_a_variable_of_any_process() {
    if !is_installed("strace") {
        return;
    }
    let (sandbox, canary) = scene();
    let forms = forms(&canary);
    let (_, recipient) = identity();
    let probe = sandbox.program("strace", &["-o", "/dev/null", "true"]).run();
    if probe.code != 0 {
        eprintln!("skipped: strace may not trace here");
        return;
    }
    for line in everything(&recipient) {
        let command = line.strip_prefix("> ").unwrap_or(&line);
        // What a person writes in a shell is the shell's: only the processes that vault starts count.
        if command.starts_with("vault find") {
            continue;
        }
        let log = sandbox.path("trace");
        let run =
            sandbox.program("strace", &["-f", "-v", "-s", "100000", "-e", "trace=execve,chmod,fchmod,fchmodat", "-o"]).arg(&log);
        run.arg("sh").arg("-c").arg(command).run();
        let trace = fs::read(&log).unwrap();
        assert!(trace.windows(7).any(|window| window == b"execve("), "`{command}` was not traced");
        assert!(!holds(&trace, &forms), "`{command}` puts the value into arguments or variables");
        // Modes are given when a file is made, and not afterwards.
        assert!(!trace.windows(5).any(|window| window == b"chmod"), "`{command}`: {}", String::from_utf8_lossy(&trace));
    }
}

#[test]
fn what_is_made_is_private_under_any_umask() {
    for umask in ["000", "022", "077"] {
        let (mut sandbox, _) = scene();
        for name in ["data", "state"] {
            fs::remove_dir_all(sandbox.path(name)).unwrap();
        }
        sandbox.remove_env("VAULT_FILE");
        fs::create_dir(sandbox.path("work/made")).unwrap();
        let record = sandbox.path("tmp/record");
        let script = format!("stat -c '%a %n' \"$1\" \"$(dirname \"$1\")\" > '{}'; echo new > \"$1\"", record.display());
        sandbox.script("../bin/editor", &script);
        let lines = "vault init --key-file made/key --vault made/deep/er/vault -q
            VAULT_KEY_FILE=made/key vault set a --vault made/deep/er/vault < value
            vault init --key-file \"$VAULT_KEY_FILE\" -q
            vault set a < value
            vault set large --raw < /bin/sh && vault rm large --purge
            vault get a --out made/out
            vault export --format json --out made/all.json
            vault backup made/copy -q
            vault restore made/copy --force -q
            vault compact -q
            vault edit a";
        for line in lines.lines() {
            sandbox.shell(&format!("umask {umask}; {line}")).run().ok();
        }
        let mut looked_at = 0;
        for directory in ["data", "state", "work/made"] {
            for (path, mode) in sandbox.files(directory) {
                let expected = if path.is_dir() { 0o700 } else { 0o600 };
                assert_eq!(mode, expected, "umask {umask}: {} has {mode:o}", path.display());
                looked_at += 1;
            }
        }
        // The roots of data and state were missing and were made as well.
        for name in ["data", "state"] {
            assert_eq!(fs::metadata(sandbox.path(name)).unwrap().permissions().mode() & 0o777, 0o700, "{name}");
        }
        assert!(looked_at >= 14, "{looked_at} files");
        let edited = fs::read_to_string(&record).unwrap();
        let modes: Vec<&str> = edited.lines().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(modes, ["600", "700"]);
    }
}

/// Runs a command with something planted at a name that it uses; it must neither hang nor follow.
#[track_caller]
fn with_plant(kind: &str, name: impl Fn(&Sandbox) -> std::path::PathBuf, commands: &[&str], may_fail: bool) {
    let sandbox = Sandbox::new();
    sandbox.set("a", "value");
    let victim = sandbox.write("victim", "untouched");
    let plant = name(&sandbox);
    let _ = fs::remove_file(&plant);
    match kind {
        "symlink" => std::os::unix::fs::symlink(&victim, &plant).unwrap(),
        "dangling" => std::os::unix::fs::symlink(sandbox.path("work/made by following"), &plant).unwrap(),
        "hard link" => fs::hard_link(&victim, &plant).unwrap(),
        "fifo" => {
            sandbox.program("mkfifo", &[plant.to_str().unwrap()]).run().ok();
        }
        _ => fs::create_dir(&plant).unwrap(),
    }
    for command in commands {
        let mut shell = sandbox.shell(command).into_command();
        let mut child = shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut status = None;
        wait_until(&format!("the end of `{command}` with a {kind} at {}", plant.display()), || {
            status = child.try_wait().unwrap();
            status.is_some()
        });
        let said = std::io::read_to_string(child.stderr.unwrap()).unwrap();
        let code = status.unwrap().code().unwrap();
        assert!(code == 0 || (may_fail && code == 13), "`{command}` with a {kind} at {}: {code} {said}", plant.display());
    }
    assert_eq!(fs::read(&victim).unwrap(), b"untouched", "a {kind} at {} was followed", plant.display());
    assert!(!sandbox.path("work/made by following").exists());
    let _ = fs::remove_file(&plant).or_else(|_| fs::remove_dir(&plant));
    assert_eq!(sandbox.get("a"), b"value");
    sandbox.vault(&["check"]).run().ok();
}

const PLANTS: [&str; 5] = ["symlink", "dangling", "hard link", "fifo", "directory"];

#[test]
fn a_plant_at_the_name_of_a_rewrite_is_not_followed() {
    for kind in PLANTS {
        let name = |sandbox: &Sandbox| sandbox.path(".test.vault.rewrite");
        with_plant(kind, name, &["vault compact"], kind == "directory");
        // An everyday write needs no such file, and does not fail for it.
        with_plant(kind, name, &["printf v | vault set b", "vault get b"], false);
    }
}

#[test]
fn a_plant_where_this_machine_remembers_is_not_followed() {
    for kind in PLANTS {
        for name in ["lock", "new"] {
            with_plant(
                kind,
                |sandbox| sandbox.path("state/vault/witness").join(name),
                &["printf v | vault set b", "vault get b"],
                false,
            );
        }
        // The memory itself.
        let memory = |sandbox: &Sandbox| {
            let files = sandbox.files("state/vault/witness");
            files.into_iter().map(|(path, _)| path).find(|path| path.file_name().unwrap().len() > 40).unwrap()
        };
        with_plant(kind, memory, &["printf v | vault set b", "vault get b"], false);
    }
}

#[test]
fn a_plant_at_the_name_of_an_output_is_not_followed() {
    for kind in PLANTS {
        for command in ["vault get a --out out", "vault export --format json --out out", "vault backup out --force"] {
            with_plant(kind, |sandbox| sandbox.path("work/out"), &[command], true);
        }
        with_plant(
            kind,
            |sandbox| sandbox.path("test.vault.before-restore"),
            &["vault backup copy", "vault restore copy --force"],
            true,
        );
    }
}

/// An ordinary user may not look into a running `vault` of their own; root may.
#[test]
fn a_running_process_shows_nothing_to_its_own_user() {
    if !is_root() || !is_installed("setpriv") || !Path::new("/proc/self/environ").exists() {
        return;
    }
    let (sandbox, _) = scene();
    sandbox.copy_binary();
    for (path, _) in sandbox.files("") {
        std::os::unix::fs::lchown(path, Some(65_534), Some(65_534)).unwrap();
    }
    // It waits for its standard input, which does not end before the look into it is over. Once it has taken more than a pipe holds it is what it is
    // to be: before, it is still another program, or another user's.
    let ordinary = "setpriv --reuid 65534 --regid 65534 --clear-groups";
    let script = format!(
        "mkfifo pipe; chmod 666 pipe; {ordinary} ../vault set a < pipe & exec 7> pipe
         head -c 200000 /dev/zero | tr '\\0' v >&7
         {ordinary} cat /proc/$!/environ /proc/$!/maps > seen 2> refused; {ordinary} ls /proc/$!/fd >> seen 2>> refused
         printf v >&7; exec 7>&-; wait $!"
    );
    sandbox.shell(&script).run().ok();
    assert_eq!(fs::read_to_string(sandbox.path("work/seen")).unwrap(), "");
    assert_eq!(fs::read_to_string(sandbox.path("work/refused")).unwrap().matches("ermission denied").count(), 3);
}
