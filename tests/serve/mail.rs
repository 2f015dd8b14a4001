//! Mail, to a mail server of another language and into an outbox.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vault::secret::MailPassword;
use vault::serve::lines::{LineFormat, Lines};
use vault::serve::mail::{Mail, MailWay, Message, Sender, SmtpCredentials, SmtpSettings};
use vault::serve::metrics::{MailNumbers, Metrics};

use crate::interpreter::{python, python_command};
use crate::sandbox::{Sandbox, canary, is_installed, is_root, wait_until, within_by};
use crate::server::{Server, sandbox};

/// How long a message may take where a test does not say otherwise.
const LONG: Duration = Duration::from_secs(60);

/// A mail server, `tests/python/mailserver.py`.
struct Peer {
    child: Child,
    port: u16,
    heard: Arc<Mutex<Vec<Value>>>,
    reader: Option<JoinHandle<()>>,
}

impl Peer {
    /// Starts one, if there is a Python that has what it needs.
    fn start(told: Value) -> Option<Self> {
        let python = python("aiosmtpd")?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/mailserver.py");
        let mut child = python_command(&python).arg(script).arg(told.to_string()).stdout(Stdio::piped()).spawn().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        let reader = std::thread::spawn({
            let heard = heard.clone();
            move || {
                for line in lines.map_while(Result::ok) {
                    heard.lock().unwrap().push(serde_json::from_str(&line).unwrap());
                }
            }
        });
        let port = u16::try_from(first["port"].as_u64().unwrap()).unwrap();
        Some(Self { child, port, heard, reader: Some(reader) })
    }

    /// Ends it, so that all of what it said is known.
    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
    }

    /// What it said that has this field.
    fn heard(&self, field: &str) -> Vec<Value> {
        self.heard.lock().unwrap().iter().filter(|what| !what[field].is_null()).cloned().collect()
    }

    /// The recipients that were named to it, in their order.
    fn recipients(&self) -> Vec<String> {
        self.heard("recipient").iter().map(|what| what["recipient"].as_str().unwrap().to_owned()).collect()
    }

    fn settings(&self) -> SmtpSettings {
        SmtpSettings::new("127.0.0.1", self.port)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.end();
    }
}

fn start(way: MailWay) -> (Mail, MailNumbers) {
    start_with(way, Lines::start(LineFormat::Quiet).unwrap())
}

fn start_with(way: MailWay, lines: Lines) -> (Mail, MailNumbers) {
    let numbers = Metrics::new().mail();
    let sender = Sender::parse("Vault <vault@example.org>").unwrap();
    (Mail::start(way, sender, lines, numbers.clone()).unwrap(), numbers)
}

fn by(settings: SmtpSettings) -> (Mail, MailNumbers) {
    start(MailWay::Smtp(settings))
}

fn code(to: &str) -> Message {
    Message { to: to.to_owned(), subject: "Your OTP Code".to_owned(), body: "Your OTP code is: 123456".to_owned().into() }
}

fn login(password: &str) -> Option<Arc<SmtpCredentials>> {
    Some(Arc::new(SmtpCredentials { username: "vault".to_owned(), password: MailPassword::new(password.to_owned().into()) }))
}

/// An authority, and a certificate of it for 127.0.0.1 with its key.
fn certificates(sandbox: &Sandbox) -> [PathBuf; 3] {
    let script = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=authority -keyout ca.key -out ca.pem &&
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=mail -keyout key.pem -out request.pem &&
        echo subjectAltName=IP:127.0.0.1 > names &&
        openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 1 -extfile names -out cert.pem";
    sandbox.shell(script).run().ok();
    ["ca.pem", "cert.pem", "key.pem"].map(|name| sandbox.path("work").join(name))
}

#[test]
fn a_server_of_this_machine_is_spoken_to_in_plain() {
    let Some(mut peer) = Peer::start(json!({ "mode": "plain" })) else { return };
    let (mail, numbers) = by(peer.settings());
    for to in ["alice@example.net", "bob@example.net"] {
        mail.send(code(to), Instant::now() + LONG).unwrap();
    }
    assert_eq!(mail.finish(Instant::now() + LONG), 0);
    peer.end();
    let heard = peer.heard("text");
    assert_eq!(heard.len(), 2);
    assert_eq!([&heard[0]["to"], &heard[1]["to"]], [&json!(["alice@example.net"]), &json!(["bob@example.net"])]);
    for message in &heard {
        assert_eq!((&message["sender"], &message["tls"]), (&json!("vault@example.org"), &json!(false)));
        let text = message["text"].as_str().unwrap();
        assert!(text.contains("\r\nSubject: Your OTP Code\r\n"), "{text}");
        assert!(text.trim_end().ends_with("\r\n\r\nYour OTP code is: 123456"), "{text}");
    }
    assert_eq!(heard[0]["connection"], heard[1]["connection"], "one connection for both");
    assert_eq!((numbers.sent.get(), numbers.failed.get(), numbers.waiting.get()), (2, 0, 0));
}

#[test]
fn starttls_before_a_login() {
    if !is_installed("openssl") {
        return;
    }
    let sandbox = Sandbox::empty();
    let [authority, certificate, key] = certificates(&sandbox);
    let told = json!({ "mode": "starttls", "certificate": certificate, "key": key, "username": "vault", "password": "right" });
    let Some(mut peer) = Peer::start(told) else { return };
    let trusting = SmtpSettings { authorities: Some(authority), ..peer.settings() };
    let (mail, numbers) = by(SmtpSettings { credentials: login("right"), ..trusting.clone() });
    mail.send(code("bob@example.net"), Instant::now() + LONG).unwrap();
    assert_eq!(mail.finish(Instant::now() + LONG), 0);
    assert_eq!((numbers.sent.get(), numbers.failed.get()), (1, 0));
    // A wrong password is no better the next time.
    let (mail, numbers) = by(SmtpSettings { credentials: login("wrong"), ..trusting });
    mail.send(code("bob@example.net"), Instant::now() + LONG).unwrap();
    assert_eq!(mail.finish(Instant::now() + LONG), 0);
    assert_eq!((numbers.sent.get(), numbers.failed.get()), (0, 1));
    peer.end();
    let heard = peer.heard("text");
    assert_eq!((&heard[0]["tls"], &heard[0]["login"]), (&json!(true), &json!("vault")));
    let logins = peer.heard("right");
    assert_eq!(logins.iter().filter(|login| login["right"] == false).count(), 1, "{logins:?}");
    assert!(logins.iter().all(|login| login["tls"] == true), "{logins:?}");
    assert_eq!(heard.len(), 1);
}

#[test]
fn tls_from_the_first_byte_on() {
    if !is_installed("openssl") {
        return;
    }
    let sandbox = Sandbox::empty();
    let [authority, certificate, key] = certificates(&sandbox);
    let told = json!({ "mode": "tls", "certificate": certificate, "key": key, "username": "vault", "password": "right" });
    let Some(mut peer) = Peer::start(told) else { return };
    let settings =
        SmtpSettings { tls_from_start: true, authorities: Some(authority), credentials: login("right"), ..peer.settings() };
    let (mail, numbers) = by(settings);
    mail.send(code("bob@example.net"), Instant::now() + LONG).unwrap();
    assert_eq!(mail.finish(Instant::now() + LONG), 0);
    assert_eq!((numbers.sent.get(), numbers.failed.get()), (1, 0));
    peer.end();
    assert_eq!(peer.heard("text")[0]["login"], "vault");
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused() {
    if !is_installed("openssl") {
        return;
    }
    let sandbox = Sandbox::empty();
    let [_, certificate, key] = certificates(&sandbox);
    for mode in ["starttls", "tls"] {
        let told = json!({ "mode": mode, "certificate": certificate, "key": key, "username": "vault", "password": "right" });
        let Some(mut peer) = Peer::start(told) else { return };
        let settings = SmtpSettings { tls_from_start: mode == "tls", credentials: login("right"), ..peer.settings() };
        let (mail, numbers) = by(settings);
        mail.send(code("bob@example.net"), Instant::now() + Duration::from_secs(2)).unwrap();
        assert_eq!(mail.finish(Instant::now() + LONG), 0);
        assert_eq!((numbers.sent.get(), numbers.failed.get()), (0, 1), "{mode}");
        peer.end();
        assert!(peer.heard.lock().unwrap().is_empty(), "neither login nor address was said");
    }
}

#[test]
fn a_login_to_a_server_of_this_machine_may_be_in_plain() {
    let Some(mut peer) = Peer::start(json!({ "mode": "plain", "username": "vault", "password": "right" })) else { return };
    let (mail, numbers) = by(SmtpSettings { credentials: login("right"), ..peer.settings() });
    mail.send(code("bob@example.net"), Instant::now() + LONG).unwrap();
    assert_eq!(mail.finish(Instant::now() + LONG), 0);
    assert_eq!(numbers.sent.get(), 1);
    // Without a login it is refused, for good.
    let (mail, numbers) = by(peer.settings());
    mail.send(code("bob@example.net"), Instant::now() + LONG).unwrap();
    assert_eq!(mail.finish(Instant::now() + LONG), 0);
    assert_eq!((numbers.sent.get(), numbers.failed.get()), (0, 1));
    peer.end();
    assert_eq!(peer.heard("text")[0]["login"], "vault");
    assert_eq!(peer.heard("text").len(), 1);
}

#[test]
fn what_is_refused_for_now_is_tried_again_and_holds_nobody_back() {
    let (mut peer, mail, numbers, begin) = loop {
        let Some(peer) = Peer::start(json!({ "mode": "plain" })) else { return };
        let (mail, numbers) = by(peer.settings());
        let begin = Instant::now();
        for to in ["later@example.net", "never@example.net", "bob@example.net"] {
            mail.send(code(to), Instant::now() + LONG).unwrap();
        }
        // All of them are there before the first is tried again; or it would go before those behind it.
        if begin.elapsed() < Duration::from_secs(1) {
            break (peer, mail, numbers, begin);
        }
    };
    wait_until("the message behind both", || !peer.heard("text").is_empty());
    assert_eq!(peer.heard("text")[0]["to"], json!(["bob@example.net"]));
    assert_eq!(mail.finish(Instant::now() + LONG), 0);
    assert!(begin.elapsed() >= Duration::from_secs(3), "a second, then two");
    peer.end();
    let expected = ["later", "never", "bob", "later", "later"].map(|name| format!("{name}@example.net"));
    assert_eq!(peer.recipients(), expected, "what is refused for good is not tried again");
    assert_eq!((numbers.sent.get(), numbers.failed.get(), numbers.waiting.get()), (2, 1, 0));
}

#[test]
fn a_server_that_does_not_answer_does_not_hold_up_the_others() {
    if python("aiosmtpd").is_none() {
        return;
    }
    within_by(Duration::from_secs(10), || {
        let mut peer = Peer::start(json!({ "mode": "plain" })).unwrap();
        let (mail, numbers) = by(SmtpSettings { timeout: Duration::from_secs(1), ..peer.settings() });
        let begin = Instant::now();
        mail.send(code("hang@example.net"), begin + Duration::from_millis(2500)).unwrap();
        mail.send(code("bob@example.net"), begin + LONG).unwrap();
        assert_eq!(mail.finish(Instant::now() + LONG), 0);
        peer.end();
        assert_eq!(peer.heard("text")[0]["to"], json!(["bob@example.net"]));
        assert_eq!((numbers.sent.get(), numbers.failed.get()), (1, 1));
        (begin.elapsed(), ())
    });
}

#[test]
fn a_server_that_comes_later_gets_what_waits() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let sandbox = Sandbox::empty();
    let said = sandbox.path("said");
    let lines = Lines::to(File::create(&said).unwrap(), LineFormat::Quiet).unwrap();
    // How often something had to wait.
    let waits = || {
        lines.finish(LONG);
        std::fs::read_to_string(&said).unwrap().matches("mail waits").count()
    };
    let (mail, numbers) = start_with(MailWay::Smtp(SmtpSettings::new("127.0.0.1", port)), lines.clone());
    mail.send(code("late@example.net"), Instant::now() + Duration::from_secs(5)).unwrap();
    mail.send(code("bob@example.net"), Instant::now() + LONG).unwrap();
    assert_eq!(mail.finish(Instant::now() + Duration::from_millis(100)), 2, "it waits no longer than it is told");
    wait_until("the end of the first message's time", || (numbers.failed.get(), numbers.waiting.get()) == (1, 1));
    let Some(mut peer) = Peer::start(json!({ "mode": "plain", "port": port })) else { return };
    assert_eq!(mail.finish(Instant::now() + LONG), 0);
    peer.end();
    assert_eq!(peer.recipients(), ["bob@example.net"]);
    // Whether a connection is still there is asked before it is used.
    let mut peer = Peer::start(json!({ "mode": "plain", "port": port })).unwrap();
    std::thread::sleep(Duration::from_millis(2100));
    let before = waits();
    assert!(before > 0);
    mail.send(code("alice@example.net"), Instant::now() + LONG).unwrap();
    assert_eq!(mail.finish(Instant::now() + LONG), 0);
    peer.end();
    assert_eq!(peer.recipients(), ["alice@example.net"]);
    assert_eq!(waits(), before, "the first attempt goes well");
    assert_eq!((numbers.sent.get(), numbers.failed.get(), numbers.waiting.get()), (2, 1, 0));
}

#[test]
fn the_queue_has_an_end() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (mail, numbers) = by(SmtpSettings::new("127.0.0.1", port));
    let taken = (0..2000).filter(|_| mail.send(code("bob@example.net"), Instant::now() + LONG).is_ok()).count();
    // One may be under way.
    assert!((1024..=1026).contains(&taken), "{taken}");
    assert_eq!((numbers.sent.get(), numbers.failed.get()), (0, 0));
}

#[test]
fn an_outbox_holds_a_private_file_for_each_message() {
    let sandbox = Sandbox::empty();
    let outbox = sandbox.path("work/outbox");
    std::fs::create_dir(&outbox).unwrap();
    let mode = |mode| std::fs::set_permissions(&outbox, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o700);
    let (mail, numbers) = start(MailWay::Outbox(outbox.clone()));
    for to in ["alice@example.net", "bob@example.net"] {
        mail.send(code(to), Instant::now() + LONG).unwrap();
    }
    mail.send(code("no address"), Instant::now() + LONG).unwrap();
    assert_eq!(mail.finish(Instant::now() + LONG), 0);
    assert_eq!((numbers.sent.get(), numbers.failed.get()), (2, 1));
    let files = sandbox.files("work/outbox");
    assert_eq!(files.len(), 2, "{files:?}");
    // They are written beside each other, so either may come first.
    let mut told = Vec::new();
    for (path, mode) in &files {
        assert_eq!(*mode, 0o600);
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("20") && name.ends_with(".eml") && name.contains("Z-"), "{name}");
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains("Your OTP code is: 123456"), "{text}");
        told.extend(text.lines().filter_map(|line| line.strip_prefix("To: ")).map(str::to_owned));
    }
    told.sort();
    assert_eq!(told, ["alice@example.net", "bob@example.net"]);
    // What fails for the moment comes later.
    if !is_root() {
        mode(0o500);
        mail.send(code("carol@example.net"), Instant::now() + LONG).unwrap();
        assert_eq!(mail.finish(Instant::now() + Duration::from_millis(300)), 1);
        mode(0o700);
        assert_eq!(mail.finish(Instant::now() + LONG), 0);
        assert_eq!(numbers.sent.get(), 3);
    }
}

#[test]
fn what_the_settings_say_must_make_sense() {
    let mut sandbox = sandbox();
    let serve = |sandbox: &Sandbox, more: &[&str]| sandbox.vault(&[&["serve", "--listen", "127.0.0.1:0"][..], more].concat());
    let outbox = sandbox.path("work/outbox");
    serve(&sandbox, &["--mail-outbox", "outbox"]).run().fails(2, "cannot be used");
    std::fs::write(&outbox, "").unwrap();
    serve(&sandbox, &["--mail-outbox", "outbox"]).run().fails(2, "is no directory");
    std::fs::remove_file(&outbox).unwrap();
    std::fs::create_dir(&outbox).unwrap();
    for mode in [0o777, 0o770, 0o1777] {
        std::fs::set_permissions(&outbox, std::fs::Permissions::from_mode(mode)).unwrap();
        serve(&sandbox, &["--mail-outbox", "outbox"]).run().fails(2, "can be written to by others");
    }
    std::fs::set_permissions(&outbox, std::fs::Permissions::from_mode(0o700)).unwrap();
    let server = Server::start(&sandbox, &["--mail-outbox", "outbox"]);
    assert!(server.log().contains("mail leaves by outbox"), "{}", server.log());
    assert!(server.ask("GET", "/metrics", &[], "").is(200).body.contains("vault_mail_sent_total 0"));
    assert_eq!(server.end(), 0);

    let secret = canary();
    sandbox.set_env("SMTP_SERVER", "mail.example.org");
    serve(&sandbox, &[]).run().fails(2, "EMAIL_FROM");
    serve(&sandbox, &[]).env("EMAIL_FROM", "nobody").run().fails(2, "no e-mail address");
    sandbox.set_env("EMAIL_FROM", "vault@example.org");
    serve(&sandbox, &["--mail-outbox", "outbox"]).run().fails(2, "not both");
    serve(&sandbox, &[]).env("SMTP_PORT", "many").run().fails(2, "SMTP_PORT");
    serve(&sandbox, &[]).env("SMTP_SERVER", "vault:secret@mail.example.org").run().fails(2, "nothing else");
    serve(&sandbox, &[]).env("SMTP_CA_FILE", "none.pem").run().fails(2, "none.pem cannot be used");
    serve(&sandbox, &[]).env("SMTP_CA_FILE", sandbox.write("empty.pem", "nothing")).run().fails(2, "no certificate");
    for (name, value) in [("SMTP_USERNAME", "vault"), ("SMTP_PASSWORD", secret.as_str())] {
        let refused = serve(&sandbox, &[]).env(name, value).run().fails(2, "SMTP_USERNAME and SMTP_PASSWORD");
        assert!(!refused.stderr.contains(&secret));
    }
    sandbox.set_env("SMTP_USERNAME", "vault");
    sandbox.set_env("SMTP_PASSWORD_FILE", sandbox.write("password", format!("{secret}\nx\n")));
    assert!(!serve(&sandbox, &[]).run().fails(2, "more than one line").stderr.contains(&secret));
    sandbox.write("password", format!("{secret}\n"));
    let server = Server::start(&sandbox, &[]);
    assert!(server.log().contains("mail leaves by mail.example.org:587"), "{}", server.log());
    assert!(!server.log().contains(&secret));
    drop(server);

    // The configuration says the same, and a variable goes before it.
    for name in ["SMTP_SERVER", "EMAIL_FROM", "SMTP_USERNAME", "SMTP_PASSWORD_FILE"] {
        sandbox.remove_env(name);
    }
    std::fs::create_dir_all(sandbox.path("config/vault")).unwrap();
    let configuration = "[serve]\nsmtp-server = \"::1\"\nsmtp-port = 465\nemail-from = \"vault@example.org\"\nsmtp-username = \"vault\"\nsmtp-password-file = \"password\"\n";
    std::fs::write(sandbox.path("config/vault/config.toml"), configuration).unwrap();
    // A path in the configuration begins where that is.
    serve(&sandbox, &[]).run().fails(13, "config/vault/password");
    std::fs::rename(sandbox.path("work/password"), sandbox.path("config/vault/password")).unwrap();
    let server = Server::start(&sandbox, &[]);
    assert!(server.log().contains("mail leaves by [::1]:465"), "{}", server.log());
    drop(server);
    sandbox.set_env("SMTP_PORT", "2525");
    let server = Server::start(&sandbox, &[]);
    assert!(server.log().contains("mail leaves by [::1]:2525"), "{}", server.log());
    let argument = configuration.replace("smtp-password-file", "smtp-password");
    std::fs::write(sandbox.path("config/vault/config.toml"), argument).unwrap();
    serve(&sandbox, &[]).run().fails(2, "smtp-password");
}

/// Run by the test below, in a process of its own.
#[test]
#[ignore = "its lines are for another test"]
fn refused_by_a_server_that_repeats_the_address() {
    let Some(peer) = Peer::start(json!({ "mode": "plain" })) else { return };
    let lines = Lines::start(LineFormat::Quiet).unwrap();
    let settings = SmtpSettings { timeout: Duration::from_secs(1), ..peer.settings() };
    let (mail, numbers) = start_with(MailWay::Smtp(settings), lines.clone());
    // A second attempt fails as the first did, and the third would come too late.
    let short = Duration::from_millis(2500);
    for (to, time) in [("never@example.net", LONG), ("later@example.net", short), ("hang@example.net", short)] {
        mail.send(code(to), Instant::now() + time).unwrap();
    }
    assert_eq!(mail.finish(Instant::now() + LONG), 0);
    assert_eq!(numbers.failed.get(), 3);
    drop(peer);
    mail.send(code("bob@example.net"), Instant::now() + Duration::from_secs(10)).unwrap();
    assert_eq!(mail.finish(Instant::now() + LONG), 0);
    // Else the process may end before the last line is written.
    lines.finish(LONG);
}

#[test]
fn no_line_tells_to_whom_or_what() {
    if python("aiosmtpd").is_none() {
        return;
    }
    let test = ["mail::refused_by_a_server_that_repeats_the_address", "--exact", "--ignored", "--nocapture"];
    let output = std::process::Command::new(std::env::current_exe().unwrap()).args(test).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    for line in ["a message was not sent: the mail server said 550", "451", "took too long", "connection refused"] {
        assert!(said.contains(line), "{line}: {said}");
    }
    for secret in ["example.net", "never", "123456", "Your OTP", "nobody here"] {
        assert!(!said.contains(secret), "{secret}: {said}");
    }
}
