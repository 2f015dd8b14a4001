//! A server of its own for each test, and a client that can also say what no well-behaved client says.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStderr, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::sandbox::{PATIENCE, Sandbox, wait_until};

/// The passphrase of the vaults here.
pub const KEY: &str = "correct horse battery";

/// A running server. It is killed when this is dropped.
pub struct Server {
    pub child: Child,
    pub address: SocketAddr,
    log: Arc<Mutex<String>>,
}

impl Server {
    /// Serves the vault of a sandbox on a port that is free.
    pub fn start(sandbox: &Sandbox, options: &[&str]) -> Self {
        let arguments = [&["serve", "--listen", "127.0.0.1:0"][..], options].concat();
        Self::of(sandbox, &arguments)
    }

    /// Runs `vault serve` with these arguments, the first listener of which is on an address.
    pub fn of(sandbox: &Sandbox, arguments: &[&str]) -> Self {
        Self::run(sandbox.vault(arguments))
    }

    /// Runs a command that is `vault serve`.
    pub fn run(command: crate::sandbox::Run) -> Self {
        let mut command = command.into_command();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let lines = child.stderr.take().unwrap();
        std::thread::spawn({
            let log = log.clone();
            move || keep(lines, &log)
        });
        let address = || {
            let log = log.lock().unwrap();
            let at = log.split("://").nth(1)?;
            at.split(['\n', ',', '"']).next()?.parse().ok()
        };
        wait_until("the server", || address().is_some() || child.try_wait().unwrap().is_some());
        let address = address().unwrap_or_else(|| panic!("it did not start: {}", log.lock().unwrap()));
        Self { child, address, log }
    }

    /// What it said so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// What the system says of its memory under this word, in KiB.
    pub fn memory(&self, word: &str) -> u64 {
        crate::sandbox::memory(self.child.id(), word)
    }

    /// A request on a connection of its own.
    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        Client::connect(self.address).ask(method, path, headers, body)
    }

    /// The same with the passphrase.
    pub fn with_key(&self, method: &str, path: &str, body: &str) -> Reply {
        self.ask(method, path, &[("x-user-key", KEY)], body)
    }

    /// Tells it to end.
    pub fn terminate(&self) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), rustix::process::Signal::TERM).unwrap();
    }

    /// Tells it to end, and waits for that.
    pub fn end(mut self) -> i32 {
        self.terminate();
        crate::sandbox::code(self.child.wait().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn keep(lines: ChildStderr, log: &Mutex<String>) {
    let mut lines = BufReader::new(lines);
    let mut line = String::new();
    while lines.read_line(&mut line).is_ok_and(|length| length > 0) {
        log.lock().unwrap().push_str(&line);
        line.clear();
    }
}

/// A sandbox whose vault also opens by [`KEY`].
pub fn sandbox() -> Sandbox {
    // Some tests hold hundreds of connections, and others run beside them in this process. What is started gets as many.
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let _ = rustix::process::setrlimit(
        rustix::process::Resource::Nofile,
        rustix::process::Rlimit { current: files.maximum, ..files },
    );
    let sandbox = Sandbox::new();
    sandbox.vault(&["key", "add", "--label", "people", "--new-passphrase"]).stdin(KEY).run().ok();
    sandbox
}

/// A token with these options of `token create`.
pub fn token(sandbox: &Sandbox, options: &[&str]) -> String {
    let arguments = [&["token", "create", "--label", "test"][..], options].concat();
    sandbox.vault(&arguments).run().ok().text().trim_end().to_owned()
}

/// A connection.
pub struct Client(pub BufReader<TcpStream>);

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).unwrap()
    }

    /// To a server that may have ended.
    pub fn try_connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE * 2))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).unwrap();
    }

    /// The same to a server that may end.
    pub fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.get_mut().write_all(bytes)
    }

    /// A request, and its response.
    pub fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let mut text = format!("{method} {path} HTTP/1.1\r\nhost: test\r\n");
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() {
            text += &format!("content-length: {}\r\n", body.len());
        }
        self.send(format!("{text}\r\n{body}").as_bytes());
        self.reply(method == "HEAD")
    }

    /// The next response.
    pub fn reply(&mut self, without_body: bool) -> Reply {
        self.try_reply(without_body).expect("a response")
    }

    /// The next response; `None` if the connection ends before one.
    pub fn try_reply(&mut self, without_body: bool) -> Option<Reply> {
        let mut line = String::new();
        if self.0.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let status = line.split(' ').nth(1)?.parse().ok()?;
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).ok()? == 0 {
                return None;
            }
            match line.trim_end().split_once(": ") {
                Some((name, value)) => headers.push((name.to_owned(), value.to_owned())),
                None => break,
            }
        }
        let header = |wanted: &str| headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
        let mut body = Vec::new();
        if header("transfer-encoding") == Some("chunked") && !without_body {
            loop {
                let chunk = self.chunk()?;
                if chunk.is_empty() {
                    break;
                }
                body.extend(chunk);
            }
        } else {
            let length = header("content-length").map_or(0, |value| value.parse().unwrap());
            body.resize(if without_body { 0 } else { length }, 0);
            self.0.read_exact(&mut body).ok()?;
        }
        Some(Reply { status, headers, body: String::from_utf8(body).unwrap() })
    }
}

impl Client {
    /// The next chunk of a response that comes in chunks; the last is empty.
    pub fn chunk(&mut self) -> Option<Vec<u8>> {
        let mut line = String::new();
        self.0.read_line(&mut line).ok()?;
        let length = usize::from_str_radix(line.trim_end(), 16).ok()?;
        let mut chunk = vec![0; length + 2];
        self.0.read_exact(&mut chunk).ok()?;
        chunk.truncate(length);
        Some(chunk)
    }
}

/// What is answered by who compares passwords, and has no time for it now and then: that is asked again.
pub fn patiently(mut ask: impl FnMut() -> Reply) -> Reply {
    let mut reply = ask();
    wait_until("room among those who sign in", || {
        let is_busy = reply.status == 503 && reply.header("retry-after").is_some();
        let is_busy = is_busy && reply.body.contains("Too many are signing in");
        if is_busy {
            reply = ask();
        }
        !is_busy
    });
    reply
}

/// A response.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Reply {
    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// The body, which must be JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// It must have this status.
    #[track_caller]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.body);
        self
    }

    /// It must be refused with this status and exactly this text.
    #[track_caller]
    pub fn says(self, status: u16, detail: &str) -> Self {
        let this = self.is(status);
        assert_eq!(this.json()["detail"], detail);
        this
    }

    /// It must be refused as 422 with exactly these types and places.
    #[track_caller]
    pub fn faults(self, expected: &[(&str, &[&str])]) -> Self {
        let this = self.is(422);
        let json = this.json();
        let found: Vec<(String, Vec<String>)> = json["detail"]
            .as_array()
            .unwrap()
            .iter()
            .map(|fault| {
                let place = fault["loc"].as_array().unwrap().iter().map(|part| part.as_str().unwrap().to_owned()).collect();
                assert!(!fault["msg"].as_str().unwrap().is_empty());
                (fault["type"].as_str().unwrap().to_owned(), place)
            })
            .collect();
        let expected: Vec<(String, Vec<String>)> = expected
            .iter()
            .map(|(kind, place)| ((*kind).to_owned(), place.iter().map(|part| (*part).to_owned()).collect()))
            .collect();
        assert_eq!(found, expected);
        this
    }
}
