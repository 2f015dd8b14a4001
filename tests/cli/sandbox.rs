//! A place of its own for each test: directories, a clean environment, and the real binary.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The binary under test.
pub const VAULT: &str = env!("CARGO_BIN_EXE_vault");

/// Directories that go when this is dropped, and the environment of what runs in them.
pub struct Sandbox {
    root: PathBuf,
    environment: Vec<(OsString, OsString)>,
}

impl Sandbox {
    /// A machine on which nothing was ever done: no vault, no key.
    pub fn empty() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().canonicalize().unwrap().join(format!("vault-cli-{}-{number}", std::process::id()));
        // What an earlier process of the same number left.
        let _ = fs::remove_dir_all(&root);
        let mut sandbox = Self { root, environment: Vec::new() };
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

/// Whether a program is there; if not, says what is skipped.
pub fn is_installed(program: &str) -> bool {
    let found = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(|path| path.join(program).is_file());
    if !found {
        eprintln!("skipped: {program} is not installed");
    }
    found
}

/// Whether the tests run as root, for whom no permission counts.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Waits until something holds.
#[track_caller]
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < end, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Random bytes in hex digits.
pub fn canary() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).unwrap();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A fresh age identity, and its recipient.
pub fn identity() -> (String, String) {
    let identity = vault::crypto::X25519Identity::generate();
    (identity.expose().to_string(), identity.recipient().to_string())
}
