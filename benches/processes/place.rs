//! Where it is measured: a directory of its own, the program, a key, vaults.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::subject::{Random, Subject};

/// A directory that goes when this is dropped.
pub struct Place {
    pub path: PathBuf,
    pub vault: PathBuf,
    pub key: PathBuf,
}

impl Place {
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(format!("vault-bench-{}", std::process::id()));
        for name in ["home", "runtime"] {
            fs::create_dir_all(path.join(name)).unwrap();
        }
        // A copy, as an installation makes it: the file that a linker has just written lies in memory in smaller pieces.
        let vault = path.join("vault");
        let built = std::env::var_os("VAULT_BENCH_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_vault").into());
        fs::copy(built, &vault).unwrap();
        let _ = Command::new("sync").status();
        Self { key: path.join("key"), vault, path }
    }

    /// A run of the program on a vault, with the key.
    pub fn subject(&self, name: &str, file: &Path, arguments: &[&str]) -> Subject {
        let mut subject = self.without_key(name, file, arguments);
        subject.environment.push(("VAULT_KEY_FILE".to_owned(), text(&self.key)));
        subject
    }

    /// A run of the program on a vault that somebody else has to open.
    pub fn without_key(&self, name: &str, file: &Path, arguments: &[&str]) -> Subject {
        let mut subject = Subject::new(name, &self.vault, arguments);
        subject.environment = vec![
            ("HOME".to_owned(), text(&self.path.join("home"))),
            ("XDG_RUNTIME_DIR".to_owned(), text(&self.path.join("runtime"))),
            ("VAULT_FILE".to_owned(), text(file)),
        ];
        subject
    }

    /// The program of a test that does nothing, in Rust; none without a compiler.
    pub fn empty_program(&self) -> Option<PathBuf> {
        let (empty, source) = (self.path.join("empty"), self.path.join("empty.rs"));
        fs::write(&source, "fn main() {}\n").unwrap();
        let mut compiler = Command::new("rustc");
        compiler.args(["-O", "-C", "strip=symbols", "-o"]).arg(&empty).arg(&source);
        compiler.status().is_ok_and(|status| status.success()).then_some(empty)
    }

    /// A file of 33 bytes.
    pub fn small_file(&self) -> String {
        let small = self.path.join("small");
        fs::write(&small, "0123456789abcdef0123456789abcdef\n").unwrap();
        text(&small)
    }

    /// A vault of `size` entries whose values have 100 bytes, and the JSON of them.
    pub fn build(&self, size: usize) -> (PathBuf, PathBuf) {
        let (file, json) = (self.path.join(format!("{size}.vault")), self.path.join(format!("{size}.json")));
        if file.exists() {
            return (file, json);
        }
        let mut out = std::io::BufWriter::new(fs::File::create(&json).unwrap());
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        for index in 0..size {
            let separator = if index == 0 { '{' } else { ',' };
            write!(out, "{separator}\"SECRET_{index:06}\":\"").unwrap();
            for _ in 0..6 {
                write!(out, "{:016x}", random.next()).unwrap();
            }
            out.write_all(b"abcd\"").unwrap();
        }
        out.write_all(b"}").unwrap();
        out.flush().unwrap();
        drop(out);
        self.subject("init", &file, &["-q", "init", "--key-file", &text(&self.key)]).run();
        let import = self.subject("import", &file, &["-q", "import", &text(&json)]);
        let seconds = import.run();
        let plain = (size * (13 + 100)) as f64;
        let length = fs::metadata(&file).unwrap().len();
        println!(
            "\nimport of {size}: {seconds:.2} s, file {length} bytes, {:.2} times the plain names and values",
            length as f64 / plain
        );
        (file, json)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// A path as text.
pub fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}
