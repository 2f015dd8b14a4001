//! `vault unlock`, `lock`, `status`, `agent`

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use vault::agent::protocol::{Answer, MAX, Request};
use vault::{Credential, Locked, RawKey};

use crate::memory::{self, Needle};
use crate::sandbox::{Output, PATIENCE, Sandbox, is_installed, is_root, wait_until, within};

/// A vault that opens by `../test.key`, which no variable names.
fn scene() -> Sandbox {
    let mut sandbox = Sandbox::new();
    sandbox.set("a", "value");
    sandbox.remove_env("VAULT_KEY_FILE");
    sandbox
}

#[track_caller]
fn unlock(sandbox: &Sandbox, more: &[&str]) -> Output {
    let key = sandbox.key().to_str().unwrap().to_owned();
    sandbox.vault(&[&["unlock", "--key-file", &key], more].concat()).run().ok()
}

fn socket(sandbox: &Sandbox) -> std::path::PathBuf {
    sandbox.path("runtime/vault/agent.sock")
}

/// Whether a process is over, also where nobody has asked what became of it, as the first process of some containers never does.
fn has_ended(process: u32) -> bool {
    let state = fs::read(format!("/proc/{process}/stat")).unwrap_or_default();
    state.is_empty() || state.windows(4).any(|part| part == b") Z ")
}

/// The agents whose runtime directory is that of the sandbox. Only root may read of every process which that is; others see the one that answers.
fn agents(sandbox: &Sandbox) -> Vec<u32> {
    if !is_root() {
        let answers = UnixStream::connect(socket(sandbox)).ok();
        let peer = answers.map(|stream| rustix::net::sockopt::socket_peercred(&stream).unwrap().pid);
        return peer.into_iter().map(|process| process.as_raw_nonzero().get() as u32).collect();
    }
    let own = format!("XDG_RUNTIME_DIR={}", sandbox.path("runtime").display());
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_agent = |id: &u32| {
        let read = |name: &str| fs::read(format!("/proc/{id}/{name}")).unwrap_or_default();
        let ours = read("environ").split(|byte| *byte == 0).any(|variable| variable == own.as_bytes());
        ours && read("cmdline").split(|byte| *byte == 0).nth(1) == Some(b"agent") && !has_ended(*id)
    };
    processes.filter(is_agent).collect()
}

/// An agent in the foreground; it ends with the test.
struct Foreground(Child);

impl Foreground {
    fn start(sandbox: &Sandbox) -> Self {
        let mut child = sandbox.vault(&["agent"]).spawn();
        let mut line = [0; 12];
        child.stderr.as_mut().unwrap().read_exact(&mut line).unwrap();
        assert_eq!(&line, b"listening on");
        Self(child)
    }

    fn signal(&self, name: &str) {
        let status = std::process::Command::new("kill").args([&format!("-{name}"), &self.0.id().to_string()]).status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Foreground {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_is_unlocked_is_used_silently_and_what_is_locked_is_not() {
    let sandbox = scene();
    assert!(sandbox.vault(&["status"]).run().ends(4).text().ends_with("is locked\n"));
    sandbox.vault(&["get", "a"]).run().fails(4, "no key is given");
    let unlocked = unlock(&sandbox, &[]);
    assert!(unlocked.stdout.is_empty() && unlocked.stderr.ends_with("is unlocked for 15m 0s, or 5m 0s unused\n"));
    let got = sandbox.vault(&["get", "a"]).run().ok();
    assert_eq!((got.stdout.as_slice(), got.stderr.as_str()), (&b"value"[..], ""));
    sandbox.set("b", "more");
    assert_eq!(sandbox.list(), ["a", "b"]);
    sandbox.vault(&["check"]).run().ok();
    sandbox.vault(&["backup", "copy"]).run().ok();
    // A copy opens by the same keys.
    sandbox.vault(&["diff", "copy", "../test.vault", "--exit-code"]).run().ok();

    let status = sandbox.vault(&["status", "--format", "json"]).run().ok().json();
    assert_eq!((&status["unlocked"], &status["agent"]), (&true.into(), &true.into()));
    let remaining = status["remaining_ms"].as_u64().unwrap();
    assert!(remaining > 800_000 && remaining <= 900_000 && status["unused_remaining_ms"].as_u64().unwrap() <= 300_000);
    assert!(sandbox.vault(&["unlock"]).run().ok().stderr.contains("is unlocked already"));

    assert!(sandbox.vault(&["lock"]).run().ok().stderr.contains("1 vault is locked"));
    sandbox.vault(&["get", "a"]).run().fails(4, "no key is given");
    let status = sandbox.vault(&["status", "--format", "json"]).run().ends(4).json();
    assert_eq!((&status["unlocked"], status["memory"].is_null()), (&false.into(), true));
    wait_until("the end of an agent that holds nothing", || agents(&sandbox).is_empty() && !socket(&sandbox).exists());
    assert!(sandbox.vault(&["lock"]).run().ok().stderr.contains("nothing was unlocked"));
    sandbox.vault(&["status", "--vault", "none"]).run().fails(5, "no vault");
}

#[test]
fn a_wrong_key_unlocks_nothing() {
    let sandbox = scene();
    sandbox.write("wrong", [7; 32]);
    sandbox.vault(&["unlock", "--key-file", "wrong"]).run().fails(4, "does not open");
    sandbox.vault(&["unlock", "--no-input"]).run().fails(4, "no key is given");
    sandbox.vault(&["unlock", "--ttl", "0s"]).run().fails(2, "no time");
    sandbox.vault(&["unlock", "--ttl", "soon"]).run().fails(2, "not a duration");
    assert!(agents(&sandbox).is_empty());
}

#[test]
fn a_passphrase_is_asked_for_once_and_what_is_given_goes_first() {
    let sandbox = scene();
    sandbox.write("phrase", "seven odd words that nobody will try");
    let key = sandbox.key();
    let add = ["key", "add", "--label", "p", "--new-passphrase-file", "phrase"];
    sandbox.vault(&add).env("VAULT_KEY_FILE", &key).run().ok();
    sandbox.vault(&["unlock"]).env("VAULT_PASSPHRASE", "seven odd words that nobody will try").run().ok();
    assert_eq!(sandbox.get("a"), b"value");
    // A key that is named is used, also when it is a wrong one.
    sandbox.vault(&["get", "a"]).env("VAULT_KEY_FILE", sandbox.write("wrong", [7; 32])).run().fails(4, "does not open");
    fs::create_dir_all(sandbox.path("config/vault")).unwrap();
    fs::write(sandbox.path("config/vault/config.toml"), "[agent]\nttl = \"2h\"\nidle = \"1h\"\n").unwrap();
    sandbox.vault(&["lock"]).run().ok();
    assert!(unlock(&sandbox, &["--idle", "90m"]).stderr.contains("2h 0m, or 1h 30m unused"));
    // A project may not say how long keys are held.
    fs::remove_file(sandbox.path("config/vault/config.toml")).unwrap();
    sandbox.write("vault.toml", "[agent]\nttl = \"30d\"\n");
    assert!(unlock(&sandbox, &["--idle", "1m"]).stderr.contains("unlocked for 15m 0s, or 1m 0s unused"));
    sandbox.vault(&["lock"]).run().ok();
}

#[test]
fn it_ends_with_its_time_and_when_it_is_not_used() {
    let sandbox = scene();
    let start = Instant::now();
    unlock(&sandbox, &["--ttl", "1500ms"]);
    wait_until("the end of its time", || sandbox.vault(&["get", "a", "--no-input"]).run().code == 4);
    assert!(start.elapsed() >= Duration::from_millis(1500), "{:?}", start.elapsed());
    // While it is used it goes on. That it ended says nothing where this machine took longer from one use to the next.
    for idle in [1500, 3000, 6000, 12_000, 24_000] {
        let (limit, start) = (Duration::from_millis(idle), Instant::now());
        unlock(&sandbox, &["--idle", &format!("{idle}ms")]);
        let (mut used, mut in_time) = (start, true);
        while in_time && start.elapsed() < limit * 5 / 3 {
            let begun = Instant::now();
            let got = sandbox.vault(&["get", "a"]).run();
            in_time = used.elapsed() < limit;
            assert!(got.stdout == b"value" || !in_time, "{:?} after the last use: {}", used.elapsed(), got.stderr);
            used = begun;
        }
        if in_time {
            std::thread::sleep(limit + Duration::from_millis(100));
            sandbox.vault(&["get", "a"]).run().fails(4, "no key");
            break;
        }
        assert!(idle < 24_000, "this machine is too busy to tell");
        sandbox.vault(&["lock"]).run().ok();
    }
    wait_until("the end of an agent that holds nothing", || agents(&sandbox).is_empty());
}

#[test]
fn other_keys_of_the_vault_make_it_forget_and_another_header_does_not() {
    let sandbox = scene();
    let key = sandbox.key();
    unlock(&sandbox, &[]);
    sandbox.write("other", [3; 32]);
    sandbox.vault(&["key", "add", "--label", "other", "--key-file", "other"]).run().ok();
    sandbox.vault(&["compact"]).run().ok();
    assert_eq!(sandbox.get("a"), b"value");
    sandbox.vault(&["key", "rotate", "--master", "--key-file", key.to_str().unwrap()]).run().ok();
    sandbox.vault(&["status"]).run().ends(4);
    sandbox.vault(&["get", "a"]).run().fails(4, "no key");
    wait_until("the end of an agent that holds nothing", || agents(&sandbox).is_empty());
    // Removed by somebody else: what is held opens nothing any more, and is gone.
    sandbox.vault(&["unlock", "--key-file", "other"]).run().ok();
    assert_eq!(sandbox.get("a"), b"value");
    sandbox.vault(&["key", "remove", "other", "--key-file", key.to_str().unwrap()]).run().ok();
    sandbox.vault(&["get", "a"]).run().fails(4, "no key");
    wait_until("the end of an agent that holds nothing", || agents(&sandbox).is_empty());
}

#[test]
fn a_key_that_is_named_is_used() {
    let sandbox = scene();
    unlock(&sandbox, &[]);
    sandbox.write("wrong", [7; 32]);
    sandbox.vault(&["unlock", "--key-file", "wrong"]).run().fails(4, "does not open");
    // Two vaults, one that is held and one whose key is named for both: that one is asked for nothing else.
    sandbox.vault(&["init", "-q", "--vault", "other", "--key-file", "other.key"]).run().ok();
    sandbox.vault(&["diff", "other", "../test.vault", "--key-file", "other.key"]).run().fails(4, "does not open");
    sandbox.vault(&["lock"]).run().ok();
}

#[test]
fn what_is_locked_is_locked_under_every_path() {
    let sandbox = scene();
    unlock(&sandbox, &[]);
    sandbox.vault(&["backup", "copy"]).run().ok();
    let key = sandbox.key().to_str().unwrap().to_owned();
    let both = || sandbox.vault(&["unlock", "--vault", "copy", "--key-file", &key]).run().ok();
    both();
    assert!(sandbox.vault(&["lock", "--vault", "copy"]).run().ok().stderr.contains("2 vaults are locked"));
    sandbox.vault(&["get", "a"]).run().fails(4, "no key");
    // By another path than that by which it was unlocked.
    both();
    fs::rename(sandbox.path("work/copy"), sandbox.path("work/moved")).unwrap();
    assert!(sandbox.vault(&["lock", "--vault", "moved"]).run().ok().stderr.contains("1 vault is locked"));
    fs::create_dir(sandbox.path("work/real")).unwrap();
    std::os::unix::fs::symlink("real", sandbox.path("work/link")).unwrap();
    sandbox.vault(&["backup", "link/copy", "--key-file", &key]).run().ok();
    sandbox.vault(&["unlock", "--vault", "link/copy", "--key-file", &key]).run().ok();
    fs::remove_file(sandbox.path("work/real/copy")).unwrap();
    assert!(sandbox.vault(&["lock", "--vault", "link/copy"]).run().ok().stderr.contains("1 vault is locked"));
}

#[test]
fn on_demand_keeps_what_was_typed_once_it_was_verified() {
    const PHRASE: &str = "seven odd words that nobody will try";
    let mut sandbox = Sandbox::empty();
    sandbox.write("phrase", PHRASE);
    sandbox.set_env("VAULT_FILE", sandbox.path("work/v"));
    sandbox.vault(&["init", "-q", "--passphrase-file", "phrase"]).run().ok();
    let typed = format!("{PHRASE}\n");
    let ask = |command: &str, code: i32| {
        crate::prompts::at_terminal(&sandbox, command, &[("Passphrase for", &typed)]).ends(code);
    };
    ask("vault list", 0);
    assert!(agents(&sandbox).is_empty(), "not without being told to");
    fs::create_dir_all(sandbox.path("config/vault")).unwrap();
    fs::write(sandbox.path("config/vault/config.toml"), "[agent]\nstart = \"on-demand\"\n").unwrap();
    ask("vault list --expect-vault 00", 12);
    sandbox.vault(&["status"]).run().ends(4);
    ask("vault list", 0);
    sandbox.vault(&["status"]).run().ok();
    sandbox.vault(&["list"]).run().ok();
    // What was named is not asked for, and not kept.
    sandbox.vault(&["lock"]).run().ok();
    sandbox.vault(&["list", "--passphrase-file", "phrase"]).run().ok();
    sandbox.vault(&["status"]).run().ends(4);
}

#[test]
fn a_place_that_was_cleared_away_makes_room_for_another_agent() {
    let sandbox = scene();
    unlock(&sandbox, &["--ttl", "15s"]);
    let [first] = agents(&sandbox)[..] else { panic!("one agent") };
    fs::remove_dir_all(sandbox.path("runtime/vault")).unwrap();
    unlock(&sandbox, &[]);
    wait_until("the end of the first agent", || has_ended(first));
    // It did not take the other one's socket with it.
    assert_eq!(sandbox.get("a"), b"value");
    assert!(sandbox.vault(&["lock", "--stop"]).run().ok().stderr.contains("was ended"));
    assert!(sandbox.vault(&["lock", "--stop"]).run().ok().stderr.contains("no agent"));
}

#[test]
fn a_limited_key_stays_limited() {
    let sandbox = scene();
    let key = sandbox.key().to_str().unwrap().to_owned();
    sandbox.write("ci", [5; 32]);
    sandbox.vault(&["set", "c", "--category", "ci", "--key-file", &key]).stdin("for ci").run().ok();
    let add = ["key", "add", "--label", "ci", "--only", "category:ci", "--key-file", "ci"];
    sandbox.vault(&add).env("VAULT_KEY_FILE", &key).run().ok();
    sandbox.vault(&["unlock", "--key-file", "ci"]).run().ok();
    assert_eq!(sandbox.get("c"), b"for ci");
    sandbox.vault(&["get", "a"]).run().fails(12, "does not open values");
    sandbox.vault(&["set", "c"]).stdin("x").run().ends(12);
    sandbox.vault(&["lock"]).run().ok();
}

#[test]
fn several_vaults_and_several_agents_that_start_at_once() {
    let mut sandbox = scene();
    sandbox.remove_env("VAULT_FILE");
    let key = sandbox.key().to_str().unwrap().to_owned();
    let names: Vec<String> = (0..8).map(|number| format!("v{number}")).collect();
    for name in &names {
        sandbox.vault(&["init", "-q", "--vault", name, "--key-file", &key]).run().ok();
    }
    let children: Vec<Child> =
        names.iter().map(|name| sandbox.vault(&["unlock", "--vault", name, "--key-file", &key]).spawn()).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    // Those that came too late end by themselves.
    wait_until("one agent", || agents(&sandbox).len() == 1);
    for name in &names {
        sandbox.vault(&["list", "--vault", name]).run().ok();
    }
    sandbox.vault(&["lock", "--vault", "v3"]).run().ok();
    sandbox.vault(&["list", "--vault", "v3"]).run().fails(4, "no key");
    sandbox.vault(&["list", "--vault", "v4"]).run().ok();
    // What was held for a path is forgotten by it, whatever stands there now.
    fs::remove_file(sandbox.path("work/v4")).unwrap();
    assert!(sandbox.vault(&["lock", "--vault", "v4"]).run().ok().stderr.contains("1 vault is locked"));
    assert!(sandbox.vault(&["lock"]).run().ok().stderr.contains("6 vaults are locked"));
}

#[test]
fn a_killed_agent_leaves_nothing_that_is_in_the_way() {
    let sandbox = scene();
    unlock(&sandbox, &[]);
    let [agent] = agents(&sandbox)[..] else { panic!("one agent") };
    assert!(std::process::Command::new("kill").args(["-9", &agent.to_string()]).status().unwrap().success());
    wait_until("the end of the agent", || agents(&sandbox).is_empty());
    assert!(socket(&sandbox).exists(), "a stale socket");
    let refused = sandbox.vault(&["get", "a"]).run().fails(4, "no key");
    assert!(!refused.stderr.contains("warning"), "{}", refused.stderr);
    sandbox.vault(&["status"]).run().ends(4);
    unlock(&sandbox, &[]);
    assert_eq!(sandbox.get("a"), b"value");
    sandbox.vault(&["lock"]).run().ok();
}

#[test]
fn an_agent_that_does_not_answer_is_passed_over() {
    let sandbox = scene();
    let agent = Foreground::start(&sandbox);
    unlock(&sandbox, &[]);
    agent.signal("STOP");
    let refused = within(Duration::from_secs(10), || sandbox.vault(&["get", "a"]).run().fails(4, "no key"));
    assert!(refused.stderr.contains("warning: the agent was passed over: it does not answer"), "{}", refused.stderr);
    // Also when its queue is full.
    let mut full = false;
    // Tests beside this one need descriptors as well.
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.map_or(usize::MAX, |most| most as usize / 2);
    let waiting: Vec<_> = std::iter::from_fn(|| {
        use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
        let waiting = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::NONBLOCK, None).ok()?;
        let connected = connect(&waiting, &SocketAddrUnix::new(socket(&sandbox)).unwrap());
        full = connected == Err(rustix::io::Errno::AGAIN);
        connected.ok().map(|()| waiting)
    })
    .take(most)
    .collect();
    if !full {
        eprintln!("skipped: this process may not open as many descriptors as the queue is long");
        return;
    }
    let key = sandbox.key();
    assert_eq!(sandbox.vault(&["get", "a"]).env("VAULT_KEY_FILE", key).run().ok().stdout, b"value");
    sandbox.vault(&["get", "a"]).run().fails(4, "no key");
    sandbox.vault(&["lock"]).run().fails(13, "does not answer");
    drop(waiting);
    agent.signal("CONT");
    wait_until("an answer", || sandbox.vault(&["get", "a"]).run().code == 0);
}

#[test]
fn a_place_that_is_not_the_users_alone_is_not_used() {
    let place = |sandbox: &Sandbox| sandbox.path("runtime/vault");
    let refuses = |sandbox: &Sandbox| {
        let key = sandbox.key().to_str().unwrap().to_owned();
        sandbox.vault(&["unlock", "--key-file", &key]).run().fails(12, "not a directory of yours alone");
        let passed = sandbox.vault(&["get", "a"]).run().fails(4, "no key");
        assert!(passed.stderr.contains("passed over"), "{}", passed.stderr);
        assert!(agents(sandbox).is_empty());
    };
    let sandbox = scene();
    fs::create_dir(place(&sandbox)).unwrap();
    fs::set_permissions(place(&sandbox), fs::Permissions::from_mode(0o750)).unwrap();
    refuses(&sandbox);
    fs::set_permissions(place(&sandbox), fs::Permissions::from_mode(0o700)).unwrap();
    if is_root() {
        std::os::unix::fs::chown(place(&sandbox), Some(65_534), None).unwrap();
        refuses(&sandbox);
    }
    fs::remove_dir(place(&sandbox)).unwrap();
    fs::create_dir(sandbox.path("elsewhere")).unwrap();
    fs::set_permissions(sandbox.path("elsewhere"), fs::Permissions::from_mode(0o700)).unwrap();
    std::os::unix::fs::symlink(sandbox.path("elsewhere"), place(&sandbox)).unwrap();
    refuses(&sandbox);
    fs::remove_file(place(&sandbox)).unwrap();
    fs::write(place(&sandbox), "").unwrap();
    refuses(&sandbox);
    fs::remove_file(place(&sandbox)).unwrap();

    // Something else at the path of the socket, in a place that is the user's: a directory is not removed for it.
    fs::create_dir_all(socket(&sandbox)).unwrap();
    fs::set_permissions(place(&sandbox), fs::Permissions::from_mode(0o700)).unwrap();
    let key = sandbox.key().to_str().unwrap().to_owned();
    sandbox.vault(&["agent"]).run().ends(13);
    sandbox.vault(&["unlock", "--key-file", &key]).run().ends(13);
    sandbox.vault(&["get", "a", "--key-file", &key]).run().ok();
    fs::remove_dir(socket(&sandbox)).unwrap();
    // A file or a socket of nobody is.
    fs::write(socket(&sandbox), "").unwrap();
    unlock(&sandbox, &[]);
    assert_eq!(sandbox.get("a"), b"value");
    sandbox.vault(&["lock"]).run().ok();
}

#[test]
fn a_path_that_is_too_long_for_a_socket_is_said() {
    let mut sandbox = scene();
    let long = sandbox.path("r".repeat(120));
    fs::create_dir(&long).unwrap();
    sandbox.set_env("XDG_RUNTIME_DIR", &long);
    let key = sandbox.key().to_str().unwrap().to_owned();
    sandbox.vault(&["unlock", "--key-file", &key]).run().ends(13);
    sandbox.vault(&["get", "a", "--key-file", &key]).run().ok();
}

#[test]
fn it_is_private_keeps_no_stream_and_no_variable_of_the_caller() {
    let sandbox = scene();
    let key = sandbox.key();
    // A pipe that the agent held would not end before the agent does.
    let run = sandbox.program("sh", &["-c", "exec 3<> canary 9> lock; flock 9; exec vault unlock --ttl 10m"]);
    let mut child = run.env("VAULT_KEY_FILE", &key).env("CANARY", "canary in the environment").spawn();
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let start = Instant::now();
    stdout.read_to_end(&mut Vec::new()).unwrap();
    stderr.read_to_end(&mut Vec::new()).unwrap();
    assert!(child.wait().unwrap().success() && start.elapsed() < PATIENCE);
    let mode = |path: &str| fs::metadata(sandbox.path(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(
        (mode("runtime/vault"), mode("runtime/vault/agent.sock"), mode("runtime/vault/agent.lock")),
        (0o700, 0o600, 0o600)
    );
    let [agent] = agents(&sandbox)[..] else { panic!("one agent") };
    // Of what may not be looked into, root alone is told.
    if is_root() {
        let environment = fs::read(format!("/proc/{agent}/environ")).unwrap();
        assert!(
            !environment.windows(6).any(|part| part == b"canary" || part == b"VAULT_"),
            "{}",
            String::from_utf8_lossy(&environment)
        );
        assert_eq!(fs::read_link(format!("/proc/{agent}/cwd")).unwrap(), Path::new("/"));
        for fd in 0..3 {
            assert_eq!(fs::read_link(format!("/proc/{agent}/fd/{fd}")).unwrap(), Path::new("/dev/null"));
        }
        // A connection may go between the listing and a look at it; a file of the caller would stay.
        let open = fs::read_dir(format!("/proc/{agent}/fd")).unwrap();
        let open = open.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
        let open: Vec<_> = open.filter(|target| target.starts_with(sandbox.path("work"))).collect();
        assert!(open.is_empty(), "it holds files of its caller: {open:?}");
    } else {
        eprintln!("skipped: what an agent has open is for root to see");
    }
    let limits = fs::read_to_string(format!("/proc/{agent}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().rev().nth(1), Some("0"), "{core}");
    // It leads a session of its own: no hangup of the caller's terminal reaches it.
    let stat = fs::read_to_string(format!("/proc/{agent}/stat")).unwrap();
    assert_eq!(stat.rsplit(") ").next().unwrap().split(' ').nth(3), Some(agent.to_string().as_str()));
    sandbox.vault(&["lock"]).run().ok();
}

#[test]
fn in_the_foreground_it_says_where_and_ends_when_told() {
    let sandbox = scene();
    for signal in ["TERM", "INT", "HUP"] {
        let mut agent = Foreground::start(&sandbox);
        sandbox.vault(&["agent"]).run().fails(6, "running already");
        unlock(&sandbox, &[]);
        assert_eq!(sandbox.get("a"), b"value");
        // Without anything to hold it stays.
        sandbox.vault(&["lock"]).run().ok();
        unlock(&sandbox, &[]);
        agent.signal(signal);
        assert_eq!(agent.0.wait().unwrap().code(), Some(0), "{signal}");
        assert!(!socket(&sandbox).exists());
        sandbox.vault(&["get", "a"]).run().fails(4, "no key");
    }
}

fn connect(sandbox: &Sandbox) -> UnixStream {
    let stream = UnixStream::connect(socket(sandbox)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// What an agent says to some bytes: an answer, or the end of the connection.
fn say(stream: &mut UnixStream, bytes: &[u8]) -> Option<Answer> {
    stream.write_all(bytes).ok()?;
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut map = vec![0; u32::from_le_bytes(length) as usize];
    stream.read_exact(&mut map).ok()?;
    Some(Answer::read(&map).unwrap())
}

/// Has a talk on a connection of its own. An agent ends one on which nothing comes for a second: where this side took that long, the talk begins anew.
#[track_caller]
fn talk(sandbox: &Sandbox, attempt: impl Fn(&mut UnixStream) -> Option<()>) {
    for _ in 0..5 {
        let start = Instant::now();
        if attempt(&mut connect(sandbox)).is_some() {
            return;
        }
        // Its clock counts whole milliseconds.
        assert!(start.elapsed() >= Duration::from_millis(999), "it ended the connection after {:?}", start.elapsed());
    }
    panic!("no talk came to its end within a second");
}

#[test]
fn frames_that_are_none_end_their_connection_and_no_other() {
    let sandbox = scene();
    let _agent = Foreground::start(&sandbox);
    unlock(&sandbox, &[]);
    let list = Request::List.frame();
    for length in [0, MAX as u32 + 1, u32::MAX] {
        assert!(say(&mut connect(&sandbox), &length.to_le_bytes()).is_none(), "{length}");
    }
    talk(&sandbox, |steady| {
        assert!(matches!(say(steady, &list)?, Answer::Held(held) if held.len() == 1));
        assert!(matches!(say(steady, &[3, 0, 0, 0, 1, 2, 3])?, Answer::Refused));
        // The connection goes on.
        assert!(matches!(say(steady, &list)?, Answer::Held(_)));
        Some(())
    });
    // Half a frame, byte by byte, and then nothing: it is not waited for.
    let start = Instant::now();
    let mut half = connect(&sandbox);
    for byte in &list[..list.len() - 1] {
        // It may have had enough before the last one.
        if half.write_all(&[*byte]).is_err() {
            break;
        }
    }
    assert_eq!(half.read(&mut [0]).unwrap_or(0), 0);
    assert!(start.elapsed() >= Duration::from_secs(1) && start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    // Two requests in one write are two answers.
    talk(&sandbox, |two| {
        two.write_all(&[list.as_slice(), &list].concat()).ok()?;
        say(two, &[])?;
        say(two, &[]).map(drop)
    });
    // More silent connections than it serves at once: they make others wait, not fail. Waiting has an end, which is a second away, and that far can a
    // machine fall behind that is busy with other things.
    let is_answered = || {
        let _silent: Vec<_> = (0..100).map(|_| connect(&sandbox)).collect();
        sandbox.vault(&["status"]).run().code == 0
    };
    assert!((0..5).any(|_| is_answered()));
    for _ in 0..10_000 {
        drop(connect(&sandbox));
    }
    // Who connects as this does waits for a place in the queue; a command passes over an agent whose queue is full.
    talk(&sandbox, |last| say(last, &list).map(drop));
    assert_eq!(sandbox.get("a"), b"value");
}

#[test]
fn its_memory_shows_no_key() {
    if !memory::can_be_read() {
        return;
    }
    let sandbox = scene();
    let mut agent = Foreground::start(&sandbox);
    let key: [u8; 32] = fs::read(sandbox.key()).unwrap().try_into().unwrap();
    let locked = Locked::open(&sandbox.file()).unwrap();
    let kept = locked.keep(&locked.open_slot(&Credential::RawKey(RawKey::new(key.into()))).unwrap()).unwrap();
    // The master key stands behind length, map, vault id and number.
    let secret = kept.secret.expose();
    let at = secret.windows(3).position(|part| part == [0x02, 0x58, 0x20]).unwrap() + 3;
    let needles = [Needle::pieces("master key", &secret[at..at + 32]), Needle::pieces("raw key", &key)].concat();
    let hits = |when: &str, expected: bool| {
        let found = memory::found(agent.0.id(), &needles);
        assert_eq!(!found.is_empty(), expected, "{when}: {found:?}");
    };
    hits("before", false);
    unlock(&sandbox, &[]);
    for _ in 0..20 {
        assert_eq!(sandbox.get("a"), b"value");
    }
    let memory = sandbox.vault(&["status", "--format", "json"]).run().ok().json()["memory"].clone();
    // Where the system has no memory that it cannot reach itself, root finds the key where it is held.
    hits("unlocked", memory != "secret");
    for _ in 0..10 {
        sandbox.vault(&["lock"]).run().ok();
        hits("locked", false);
        unlock(&sandbox, &[]);
    }
    sandbox.vault(&["lock"]).run().ok();
    hits("locked", false);
    assert!(!memory::found(std::process::id(), &needles).is_empty(), "what is looked for can be found");
    agent.0.kill().unwrap();
}

#[test]
fn another_user_is_not_answered_and_the_own_one_cannot_look_inside() {
    const PYTHON: &str = "/usr/bin/python3";
    if !is_root() || !is_installed("setpriv") || !Path::new(PYTHON).exists() {
        eprintln!("skipped: this takes root, setpriv, and a Python that others may run ({PYTHON})");
        return;
    }
    let sandbox = scene();
    sandbox.copy_binary();
    for (path, _) in sandbox.files("") {
        std::os::unix::fs::lchown(path, Some(65_534), Some(65_534)).unwrap();
    }
    let ordinary = |command: &str| {
        let line = format!("exec setpriv --reuid 65534 --regid 65534 --clear-groups {command}");
        sandbox.shell(&line).run()
    };
    ordinary("../vault unlock --ttl 10m --key-file ../test.key").ok();
    assert_eq!(ordinary("../vault get a").ok().stdout, b"value");
    // Root may enter the directory, and is not the user.
    assert!(say(&mut connect(&sandbox), &Request::List.frame()).is_none());
    // The runtime directory is not root's either: root looks for an agent of its own elsewhere.
    let passed = sandbox.vault(&["get", "a"]).run().fails(4, "no key");
    assert!(!passed.stderr.contains("warning"), "{}", passed.stderr);
    // Where the system locks no memory, the key is held all the same, and that is said.
    let ended = ordinary("../vault lock --stop").ok();
    assert!(ended.stderr.contains("was ended"), "{}", ended.stderr);
    let unlocked = ordinary("prlimit --memlock=0:0 ../vault unlock --ttl 10m --key-file ../test.key").ok();
    assert!(unlocked.stderr.contains("may be written to swap"), "{}", unlocked.stderr);
    assert_eq!(ordinary("../vault status --format json").ok().json()["memory"], "plain");
    ordinary("../vault lock --stop").ok();
    let unlocked = ordinary("../vault unlock --ttl 10m --key-file ../test.key").ok();
    assert!(!unlocked.stderr.contains("warning"), "{}", unlocked.stderr);
    let [agent] = agents(&sandbox)[..] else { panic!("one agent") };

    let probe = "import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
pid = int(sys.argv[1])
class Vec(ctypes.Structure): _fields_ = [('base', ctypes.c_void_p), ('length', ctypes.c_size_t)]
buffer = ctypes.create_string_buffer(64)
here, there = Vec(ctypes.addressof(buffer), 64), Vec(0x400000, 64)
pidfd = os.pidfd_open(pid)
def opened(name):
    try: open(f'/proc/{pid}/{name}', 'rb').close()
    except OSError as error: return error.errno
def listed(name):
    try: os.listdir(f'/proc/{pid}/{name}')
    except OSError as error: return error.errno
def called(result): return ctypes.get_errno() if result == -1 else 0
# The denial counts, and no other failure.
denied = {
    'mem': opened('mem'), 'environ': opened('environ'), 'maps': opened('maps'), 'io': opened('io'), 'fd': listed('fd'),
    'process_vm_readv': called(libc.process_vm_readv(pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0)),
    'pidfd_getfd': called(libc.syscall(438, pidfd, 0, 0)),
    'ptrace': called(libc.ptrace(16, pid, None, None)),
}
print(' '.join(sorted(name for name, result in denied.items() if result in (1, 13))))
";
    sandbox.write("probe.py", probe);
    let denied = ordinary(&format!("{PYTHON} probe.py {agent}")).ok().text();
    assert_eq!(denied.trim(), "environ fd io maps mem pidfd_getfd process_vm_readv ptrace");
    // An ordinary process of the same user can be looked into: the probe finds what is open.
    sandbox.write(
        "open.py",
        "import ctypes, time\nctypes.CDLL(None).prctl(0x59616d61, ctypes.c_ulong(-1), 0, 0, 0)\nprint('ready', flush=True)\ntime.sleep(600)\n",
    );
    // It lets itself be looked into where the system asks for that (Yama), and says when it is what it is to be.
    let script =
        "as='setpriv --reuid 65534 --regid 65534 --clear-groups'; mkfifo ready; $as PYTHON open.py > ready & read -r word < ready
        $as PYTHON probe.py $!; kill -9 $!";
    let open = sandbox.shell(&script.replace("PYTHON", PYTHON)).run();
    assert_eq!(open.text().trim(), "", "what is denied everywhere says nothing about the agent");
    ordinary("../vault lock").ok();
}

#[test]
fn a_machine_without_a_runtime_directory_has_a_place_all_the_same() {
    let mut sandbox = scene();
    sandbox.remove_env("XDG_RUNTIME_DIR");
    let user = rustix::process::geteuid().as_raw();
    if Path::new(&format!("/run/user/{user}")).exists() {
        eprintln!("skipped: the system has a runtime directory for this user");
        return;
    }
    unlock(&sandbox, &[]);
    assert!(sandbox.path(format!("tmp/vault-{user}/agent.sock")).exists());
    assert_eq!(sandbox.get("a"), b"value");
    sandbox.vault(&["lock"]).run().ok();
}

#[test]
fn entry_names_complete_through_it_and_not_without() {
    let sandbox = scene();
    let complete = || {
        let run = sandbox.vault(&["--", "vault", "get", ""]).env("VAULT_COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", "2");
        run.env("_CLAP_IFS", "\n").run().ok().text()
    };
    assert!(!complete().lines().any(|line| line == "a"), "{}", complete());
    unlock(&sandbox, &[]);
    assert!(complete().lines().any(|line| line == "a"), "{}", complete());
    sandbox.vault(&["lock"]).run().ok();
}
