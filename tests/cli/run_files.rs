//! `vault run --files`: values as files and pipes.

use std::io::{BufRead as _, BufReader};

use crate::jobs::state;
use crate::run::signal;
use crate::sandbox::{Sandbox, wait_until};

fn filled() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.set("api", "api-secret-4");
    sandbox
}

#[test]
fn a_pipe_gives_the_value_to_each_that_opens_it() {
    let sandbox = filled();
    let large = "x'\"$é ".repeat(1 << 17);
    sandbox.set("large", &large);
    let pipe = |script: &str| {
        let script = format!("timeout 60 vault run --no-mask --files=fifo --only api,large -- sh -c '{script}'");
        sandbox.shell(&script).run()
    };
    assert_eq!(pipe("for i in $(seq 20); do cat $API; done").ok().text(), "api-secret-4".repeat(20));
    // Who reads only a part, or nothing, leaves nothing for the next.
    let script = "head -c 3 $API; : < $API; head -c 5 $LARGE | wc -c; : < $LARGE; cat $LARGE | wc -c; cat $API $API";
    assert_eq!(pipe(script).ok().text(), format!("api5\n{}\napi-secret-4api-secret-4", large.len()));
    // In another form of open.
    assert_eq!(pipe("read -r line < $API; echo \"$line\"").ok().text(), "api-secret-4\n");
}

#[test]
fn two_that_open_a_pipe_at_once_get_the_value_or_an_error() {
    let sandbox = filled();
    let (mut both, mut refused) = (0, 0);
    // Two that meet on two processors are seen only where descriptors can be compared, as in no few containers they cannot.
    let compare = descriptors_compare();
    if !compare {
        eprintln!("skipped: two processes, for descriptors cannot be compared here");
    }
    for round in 0..60 {
        // Two processes, and one that opens it twice in a row.
        let script = match round % 3 {
            number if number == 0 || !compare => "exec 3< $API 4< $API; cat <&3 > a; cat <&4 > b",
            _ => "cat $API > a & cat $API > b & wait; exit 0",
        };
        let script =
            format!("timeout 60 vault run --no-mask --files=fifo --only api -- sh -c '{script}'; code=$?; cat a b; exit $code");
        let out = sandbox.shell(&script).run();
        match (out.code, out.text().as_str()) {
            (0, "api-secret-4api-secret-4") => both += 1,
            // One that came late can have nothing where the other has all; never without a word.
            (13, "" | "api-secret-4") if out.stderr.contains("error: the pipe of API was opened by two at the same moment") => {
                refused += 1
            }
            (code, text) => panic!("{code}: {text:?} {}", out.stderr),
        }
    }
    eprintln!("{both} times both had the value, {refused} times it was an error");
    assert!(both + refused == 60 && refused > 0, "nothing was tested");
    // The program's own code stands.
    for _ in 0..50 {
        let script = "exec 3< $API 4< $API; cat <&3 <&4; exit 5";
        let out = sandbox.vault(&["run", "--no-mask", "--files=fifo", "--only", "api", "--", "sh", "-c", script]).run().ends(5);
        if out.stderr.contains("opened by two") {
            return;
        }
    }
    panic!("two opens in a row never met");
}

fn descriptors_compare() -> bool {
    use std::os::fd::AsRawFd as _;
    let [one, other] = [(); 2].map(|()| std::fs::File::open("/dev/null").unwrap());
    let me = std::process::id();
    vault::process::is_same_open((me, one.as_raw_fd()), (me, other.as_raw_fd())) == Some(false)
}

#[test]
fn an_old_value_is_not_given_beside_the_new_one() {
    let sandbox = filled();
    for kind in ["--files=fifo", "--files"] {
        sandbox.set("api", "api-secret-4");
        sandbox.set("gone", "v");
        let script = "for i in 1 2 3 4 5; do cat $API; done; echo; ls $(dirname $API); exec sleep 60";
        let options = ["run", "--no-mask", "--watch", kind, "--", "sh", "-c", script];
        let mut child = sandbox.vault(&options).spawn();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert_eq!(lines.next().unwrap(), "api-secret-4".repeat(5));
        assert_eq!((lines.next().unwrap(), lines.next().unwrap()), ("API".to_owned(), "GONE".to_owned()));
        // It sees both changes at once: a program that was started between the two could be ended in the middle of a line.
        signal(&child, "STOP");
        wait_until("the stop", || state(&child.id().to_string()) == "T");
        sandbox.shell("vault rm gone; printf api-secret-5 | vault set api").run().ok();
        signal(&child, "CONT");
        assert_eq!((lines.next().unwrap(), lines.next().unwrap()), ("api-secret-5".repeat(5), "API".to_owned()));
        signal(&child, "TERM");
        assert_eq!(lines.next(), None, "{kind}");
        child.wait().unwrap();
    }
}

#[test]
fn files_are_in_memory_whatever_the_variable_says() {
    let sandbox = filled();
    // A directory on a disk, one that is relative, one of somebody else.
    let disk = sandbox.path("home");
    let is_on_disk = |path: &&str| {
        const TMPFS: u64 = 0x0102_1994;
        rustix::fs::statfs(*path).is_ok_and(|found| found.f_type as u64 != TMPFS)
    };
    let disks = [disk.to_str().unwrap(), "/"].into_iter().filter(is_on_disk);
    for runtime in disks.chain([".", "runtime", "/none", ""]) {
        for kind in ["--files", "--files=fifo"] {
            let script = "cd /; dirname $API; cat $API";
            let run = sandbox.vault(&["run", "--no-mask", kind, "--only", "api", "--", "sh", "-c", script]);
            let out = run.env("XDG_RUNTIME_DIR", runtime).run().ok().text();
            let (directory, value) = out.split_once('\n').unwrap();
            assert!(directory.starts_with("/dev/shm/vault-run-") && value == "api-secret-4", "{runtime}: {out}");
            assert!(!std::fs::exists(directory).unwrap());
        }
        // Also when it is killed.
        let script = "echo $API; exec sleep 60";
        let run = sandbox.vault(&["run", "--no-mask", "--files", "--only", "api", "--", "sh", "-c", script]);
        let mut child = run.env("XDG_RUNTIME_DIR", runtime).spawn();
        let mut path = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut path).unwrap();
        assert_eq!(std::fs::read_to_string(path.trim()).unwrap(), "api-secret-4");
        child.kill().unwrap();
        child.wait().unwrap();
        wait_until("the removal of the file", || !std::fs::exists(path.trim()).unwrap());
    }
    assert!(sandbox.files("home").is_empty() && sandbox.files("work").is_empty());
}

#[test]
fn only_what_is_of_the_vault_is_a_file() {
    let sandbox = filled();
    sandbox.write(
        ".env.run",
        "PORT=3000\nTOKEN=vault://api\nURL='http://{{ vault://api }}/'\nTEXT='{{ vault://none | default \"x\" }}'\n",
    );
    sandbox.write("vault.toml", "[run.variables]\nMODE = \"fast\"\n");
    for kind in ["--files", "--files=fifo"] {
        let script = "echo $PORT $MODE $TEXT; cat $TOKEN; echo; cat $URL";
        let options = ["run", "--no-mask", kind, "--env-file", ".env.run", "--", "sh", "-c", script];
        assert_eq!(sandbox.vault(&options).run().ok().text(), "3000 fast x\napi-secret-4\nhttp://api-secret-4/");
    }
}
