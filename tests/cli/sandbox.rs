//! A place of its own for each test: directories, a clean environment, and the real binary.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use vault::vault::WitnessPolicy;
use vault::{Credential, EntryId, Locked, Name, Options, RawKey, Vault};

/// What goes on to all that is started becomes what it usually is: the mask of new files, which other users are to read here, and the effect of signals,
/// which a shell that runs the tests in the background, or `nohup`, has ignored.
#[allow(unsafe_code)]
fn begin_as_usual() {
    rustix::process::umask(rustix::fs::Mode::WGRP | rustix::fs::Mode::WOTH);
    for signal in [libc::SIGINT, libc::SIGQUIT, libc::SIGHUP, libc::SIGTERM, libc::SIGUSR1, libc::SIGUSR2, libc::SIGTSTP] {
        // SAFETY: the default effect runs no handler and touches no memory.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// The binary under test.
pub const VAULT: &str = env!("CARGO_BIN_EXE_vault");

/// Directories that go when this is dropped, and the environment of what runs in them.
pub struct Sandbox {
    root: PathBuf,
    memory: Option<PathBuf>,
    environment: Vec<(OsString, OsString)>,
}

impl Sandbox {
    /// A machine on which nothing was ever done: no vault, no key.
    pub fn empty() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        static ONCE: Once = Once::new();
        ONCE.call_once(begin_as_usual);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().canonicalize().unwrap().join(format!("vault-cli-{}-{number}", std::process::id()));
        // What an earlier process of the same number left.
        let _ = fs::remove_dir_all(&root);
        let mut sandbox = Self { root, memory: None, environment: Vec::new() };
        for directory in ["home", "config", "data", "state", "cache", "runtime", "tmp", "work"] {
            fs::DirBuilder::new().recursive(true).mode(0o755).create(sandbox.path(directory)).unwrap();
        }
        let mut path = OsString::from(Path::new(VAULT).parent().unwrap());
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap());
        sandbox.set_env("PATH", path);
        sandbox.set_env("LANG", "C.UTF-8");
        sandbox.set_env("TMPDIR", sandbox.path("tmp"));
        sandbox.set_env("HOME", sandbox.path("home"));
        for name in ["config", "data", "state", "cache"] {
            sandbox.set_env(&format!("XDG_{}_HOME", name.to_uppercase()), sandbox.path(name));
        }
        sandbox.set_env("XDG_RUNTIME_DIR", sandbox.path("runtime"));
        sandbox
    }

    /// A machine with a vault that opens by a raw key, both named by variables.
    pub fn new() -> Self {
        let mut sandbox = Self::empty();
        sandbox.vault(&["init", "--vault", "../test.vault", "--key-file", "../test.key", "-q"]).run().ok();
        sandbox.set_env("VAULT_FILE", sandbox.file());
        sandbox.set_env("VAULT_KEY_FILE", sandbox.key());
        sandbox
    }

    /// The same with a runtime directory in memory, as a session has it.
    pub fn in_memory() -> Self {
        let mut sandbox = Self::new();
        let memory = Path::new("/dev/shm").join(sandbox.root.file_name().unwrap());
        let _ = fs::remove_dir_all(&memory);
        fs::DirBuilder::new().mode(0o755).create(&memory).unwrap();
        fs::remove_dir(sandbox.path("runtime")).unwrap();
        std::os::unix::fs::symlink(&memory, sandbox.path("runtime")).unwrap();
        sandbox.memory = Some(memory);
        sandbox
    }

    /// A path below the sandbox.
    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.root.join(relative)
    }

    /// The vault file.
    pub fn file(&self) -> PathBuf {
        self.path("test.vault")
    }

    /// The key file.
    pub fn key(&self) -> PathBuf {
        self.path("test.key")
    }

    /// The bytes of the vault file.
    pub fn bytes(&self) -> Vec<u8> {
        fs::read(self.file()).unwrap()
    }

    /// Sets a variable for all that runs from now on.
    pub fn set_env(&mut self, name: &str, value: impl Into<OsString>) {
        self.remove_env(name);
        self.environment.push((name.into(), value.into()));
    }

    /// Removes a variable.
    pub fn remove_env(&mut self, name: &str) {
        self.environment.retain(|(other, _)| other != name);
    }

    /// Writes a file in the working directory.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path("work").join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Makes a program of a shell script. Another process writes it: what this one has open for writing can be open in a process that a test beside
    /// this one is about to start, and cannot be executed as long as it is ("Text file busy").
    pub fn script(&self, path: impl AsRef<Path>, script: &str) -> PathBuf {
        let path = self.path("work").join(path);
        self.executable(&path, &format!("#!/bin/sh\n{script}\n"));
        path
    }

    /// The same with all of the text, first line and all.
    pub fn executable(&self, path: &Path, text: &str) {
        let write = self.program("sh", &["-c", "rm -f \"$0\" && cat > \"$0\" && chmod 755 \"$0\""]);
        write.arg(path).stdin(text).run().ok();
    }

    /// Copies the binary to where any user may run it, for the same reason by another process.
    pub fn copy_binary(&self) {
        self.program("cp", &[VAULT]).arg(self.path("vault")).run().ok();
    }

    /// A run of `vault`.
    pub fn vault(&self, arguments: &[&str]) -> Run {
        self.program(VAULT, arguments)
    }

    /// A run of a shell script that finds `vault` on its path.
    pub fn shell(&self, script: &str) -> Run {
        self.program("sh", &["-c", script])
    }

    /// A run of another program.
    pub fn program(&self, program: impl AsRef<OsStr>, arguments: &[&str]) -> Run {
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(self.environment.iter().cloned()).current_dir(self.path("work"));
        Run { command, stdin: None }
    }

    /// Stores a value, byte for byte.
    #[track_caller]
    pub fn set(&self, name: &str, value: impl AsRef<[u8]>) {
        self.vault(&["set", name, "--raw"]).stdin(value).run().ok();
    }

    /// Reads a value.
    #[track_caller]
    pub fn get(&self, name: &str) -> Vec<u8> {
        self.vault(&["get", name]).run().ok().stdout
    }

    /// The names of entries.
    #[track_caller]
    pub fn list(&self) -> Vec<String> {
        self.vault(&["list"]).run().ok().text().lines().map(str::to_owned).collect()
    }

    /// The vault, opened by the library: for what would take too long by commands, and for other times than now.
    pub fn library(&self, options: Options) -> Vault {
        let key: [u8; 32] = fs::read(self.key()).unwrap().try_into().unwrap();
        let key = Credential::RawKey(RawKey::new(key.into()));
        Locked::open(&self.file()).unwrap().unlock(&key, Options { witness: WitnessPolicy::Off, ..options }).unwrap()
    }

    /// All files below a directory of the sandbox, with their modes.
    pub fn files(&self, below: &str) -> Vec<(PathBuf, u32)> {
        let mut found = Vec::new();
        let mut open = vec![self.path(below)];
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                let metadata = path.symlink_metadata().unwrap();
                if metadata.is_dir() {
                    open.push(path.clone());
                }
                found.push((path, metadata.permissions().mode() & 0o7777));
            }
        }
        found.sort();
        found
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
        if let Some(memory) = &self.memory {
            let _ = fs::remove_dir_all(memory);
        }
    }
}

/// A run to be.
pub struct Run {
    command: Command,
    stdin: Option<Vec<u8>>,
}

impl Run {
    /// Sets a variable for this run.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Removes a variable for this run.
    pub fn without_env(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// One more argument, of any bytes.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// The working directory.
    pub fn dir(mut self, path: impl AsRef<Path>) -> Self {
        self.command.current_dir(path);
        self
    }

    /// What is piped into it; without this, standard input is `/dev/null`.
    pub fn stdin(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.stdin = Some(bytes.as_ref().to_vec());
        self
    }

    /// The command itself, for streams of one's own.
    pub fn into_command(self) -> Command {
        self.command
    }

    /// Starts it with its output captured, and does not wait.
    pub fn spawn(mut self) -> Child {
        self.command.stdin(if self.stdin.is_some() { Stdio::piped() } else { Stdio::null() });
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap();
        if let Some(bytes) = self.stdin {
            let mut pipe = child.stdin.take().unwrap();
            // On a thread of its own: more than a pipe holds must not block here. Who does not read it has seen enough.
            std::thread::spawn(move || drop(pipe.write_all(&bytes)));
        }
        child
    }

    /// Runs it to its end.
    pub fn run(self) -> Output {
        let line = self.command.get_args().map(|argument| argument.to_string_lossy()).collect::<Vec<_>>().join(" ");
        let output = self.spawn().wait_with_output().unwrap();
        Output {
            line,
            code: code(output.status),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// What a process says on standard error, as far as it has been read.
pub fn said(child: &mut Child) -> Arc<Mutex<String>> {
    let said = Arc::new(Mutex::new(String::new()));
    let (to, mut from) = (said.clone(), child.stderr.take().unwrap());
    std::thread::spawn(move || {
        let mut part = [0; 4096];
        while let Ok(length @ 1..) = from.read(&mut part) {
            to.lock().unwrap().push_str(&String::from_utf8_lossy(&part[..length]));
        }
    });
    said
}

/// The exit code as a shell reports it.
pub fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap())
}

/// What a run gave.
pub struct Output {
    line: String,
    pub code: i32,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Output {
    /// It must have ended well.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.ends(0)
    }

    /// It must have ended with this code, and with data on standard output only if it ended well or with findings.
    #[track_caller]
    pub fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "`{}` on stderr: {}", self.line, self.stderr);
        assert!(!self.stderr.contains("panicked"), "`{}`: {}", self.line, self.stderr);
        self
    }

    /// It must have failed with this code and these words in the one line that says what is wrong; nothing is on standard output.
    #[track_caller]
    pub fn fails(self, code: i32, words: &str) -> Self {
        let this = self.ends(code);
        assert!(this.stdout.is_empty(), "`{}` printed: {}", this.line, String::from_utf8_lossy(&this.stdout));
        let said: Vec<&str> = this.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(said.len(), 1, "`{}` on stderr: {}", this.line, this.stderr);
        assert!(said[0].contains(words), "`{}` on stderr: {}", this.line, this.stderr);
        this
    }

    /// Standard output as text.
    #[track_caller]
    pub fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).unwrap()
    }

    /// Standard output as JSON without blanks.
    #[track_caller]
    pub fn on_one_line(&self) -> String {
        serde_json::from_slice::<serde_json::Value>(&self.stdout).unwrap().to_string()
    }

    /// Standard output as one JSON object of version 1 on one line.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        let text = self.text();
        assert_eq!(text.lines().count(), 1, "{text}");
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["version"], 1, "{text}");
        value
    }
}

/// The names of an object's fields, in their order.
#[track_caller]
pub fn fields(value: &serde_json::Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// Whether a program is there; if not, says what is skipped. Where everything is to be tested (`.ci/run`), it has to be.
pub fn is_installed(program: &str) -> bool {
    let found = is_there(program);
    assert!(found || std::env::var_os("VAULT_TEST_REQUIRE").is_none(), "{program} is not installed");
    found
}

/// The same for a program that is tested with where it happens to be: `.ci/run` does not install it.
pub fn is_there(program: &str) -> bool {
    let found = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(|path| path.join(program).is_file());
    if !found {
        eprintln!("skipped: {program} is not installed");
    }
    found
}

/// What the system says of the memory of a process under this word, such as `VmHWM`, the most that it ever had; in KiB.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
pub fn memory(process: u32, word: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let found = status.lines().find_map(|line| line.strip_prefix(word)?.strip_prefix(':'));
    found.unwrap_or_else(|| panic!("no {word} in {status}")).trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

/// Whether the tests run as root, for whom no permission counts.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// How long something may take that has to come about, on a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What an attempt gives that takes less than this. A machine that is busy with other things takes longer now and then: of five, one has to.
#[track_caller]
pub fn within<T>(limit: Duration, mut attempt: impl FnMut() -> T) -> T {
    let attempt = || {
        let start = Instant::now();
        let given = attempt();
        (start.elapsed(), given)
    };
    within_by(limit, attempt)
}

/// The same of attempts of which only a part has to take less: they say how long it took.
#[track_caller]
pub fn within_by<T>(limit: Duration, mut attempt: impl FnMut() -> (Duration, T)) -> T {
    let mut taken = Vec::new();
    for _ in 0..5 {
        let (took, given) = attempt();
        taken.push(took);
        if took < limit {
            return given;
        }
    }
    panic!("it takes {taken:?}, and not {limit:?}");
}

/// Waits until something holds.
#[track_caller]
pub fn wait_until(what: &str, holds: impl FnMut() -> bool) {
    wait_until_or(holds, || format!("{what} did not come about"));
}

/// The same with other words for what did not come about.
#[track_caller]
pub fn wait_until_or(mut holds: impl FnMut() -> bool, otherwise: impl FnOnce() -> String) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        if Instant::now() >= end {
            panic!("{}", otherwise());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// An entry without an environment.
pub fn plain(name: &str) -> EntryId {
    EntryId::plain(Name::parse(name).unwrap())
}

/// The time, in milliseconds.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

/// Random bytes in hex digits. The first is a letter that begins no number, or one in a million would be one where a number need not be quoted.
pub fn canary() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).unwrap();
    bytes[0] |= 0xf0;
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A fresh age identity, and its recipient.
pub fn identity() -> (String, String) {
    let identity = vault::crypto::X25519Identity::generate();
    (identity.expose().to_string(), identity.recipient().to_string())
}
