//! Users as their clients meet them: signing in, codes, and what they keep.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use vault::vault::otp::OneTime;
use vault::vault::users::code;

use crate::sandbox::{Sandbox, wait_until};
use crate::server::{Reply, Server, patiently, sandbox};

pub const PASSWORD: &str = "StrongP@ssw0rd1!";

/// A server with users, and the directory to which it writes their mail.
pub struct Scene {
    pub sandbox: Sandbox,
    pub server: Server,
    pub outbox: PathBuf,
}

impl Scene {
    pub fn new() -> Self {
        Self::with(&[])
    }

    pub fn with(options: &[&str]) -> Self {
        let sandbox = sandbox();
        let outbox = sandbox.path("work/outbox");
        std::fs::create_dir(&outbox).unwrap();
        let server = start(&sandbox, &outbox, options);
        Self { sandbox, server, outbox }
    }

    pub fn restart(&mut self) {
        self.server = start(&self.sandbox, &self.outbox, &[]);
    }

    pub fn post(&self, path: &str, body: &Value) -> Reply {
        patiently(|| self.server.ask("POST", path, &[], &body.to_string()))
    }

    pub fn register(&self, name: &str) {
        let body = json!({ "username": name, "email": format!("{}@example.org", name.to_lowercase()), "password": PASSWORD });
        self.post("/register", &body).is(200);
    }

    pub fn login(&self, name: &str, password: &str) -> Reply {
        self.post("/login", &json!({ "username": name, "password": password }))
    }

    pub fn verify(&self, name: &str, code: &str) -> Reply {
        self.post("/verify-otp", &json!({ "username": name, "otp": code }))
    }

    /// Registers and signs in.
    pub fn user(&self, name: &str) -> User<'_> {
        self.register(name);
        User { scene: self, session: session_of(&self.login(name, PASSWORD).is(200)) }
    }

    /// The code in the newest message, which arrives after `sent` others.
    pub fn mailed(&self, sent: usize) -> String {
        let messages = || {
            let mut files: Vec<_> = std::fs::read_dir(&self.outbox).unwrap().map(|file| file.unwrap().path()).collect();
            files.retain(|path| path.extension().is_some_and(|end| end == "eml"));
            files.sort_by_key(|path| std::fs::metadata(path).unwrap().modified().unwrap());
            files
        };
        wait_until("a message", || messages().len() > sent);
        let text = std::fs::read_to_string(messages().last().unwrap()).unwrap();
        text.split("Your OTP code is: ").nth(1).unwrap()[..6].to_owned()
    }
}

fn start(sandbox: &Sandbox, outbox: &Path, options: &[&str]) -> Server {
    Server::start(sandbox, &[&["--log-format", "json", "--mail-outbox", outbox.to_str().unwrap()][..], options].concat())
}

pub fn session_of(reply: &Reply) -> String {
    let body = reply.json();
    assert_eq!(body["token_type"], "bearer", "{body}");
    body["access_token"].as_str().unwrap().to_owned()
}

/// Somebody who has signed in.
pub struct User<'a> {
    pub scene: &'a Scene,
    pub session: String,
}

impl User<'_> {
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> Reply {
        let bearer = format!("Bearer {}", self.session);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        patiently(|| self.scene.server.ask(method, path, &[("authorization", &bearer)], &body))
    }

    pub fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, &Value::Null)
    }
}

pub fn step() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 30
}

/// Waits for a moment after which a step lasts for some seconds more, so that what is computed now still holds when it is asked.
fn early_in_a_step() -> u64 {
    loop {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        if seconds % 30 < 20 {
            return seconds / 30;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// The code that an app makes of what it scanned, in a step.
fn app_code(uri: &str, step: u64) -> String {
    let code = OneTime::parse(&uri.into()).unwrap().code(step * 30_000);
    String::from_utf8(code.expose().to_vec()).unwrap()
}

/// Six digits that are none of the codes that count now.
fn wrong_code(right: &[String]) -> String {
    (100_000..).map(|number: u32| number.to_string()).find(|code| !right.contains(code)).unwrap()
}

#[test]
fn the_walk_through_of_the_service_before() {
    let scene = Scene::new();
    let registered = json!({ "username": "testuser", "email": "test@example.com", "password": PASSWORD });
    let reply = scene.post("/register", &registered).is(200);
    assert_eq!(reply.json(), json!({ "message": "User registered successfully" }));
    scene.post("/register", &registered).says(400, "Username already exists");
    scene.login("testuser", "wrong").says(400, "Invalid username or password");
    let first = session_of(&scene.login("testuser", PASSWORD).is(200));

    let reply = scene.post("/send-otp", &json!({ "username": "testuser" })).is(200);
    assert_eq!(reply.json(), json!({ "message": "OTP sent to your email" }));
    let code = scene.mailed(0);
    scene.verify("testuser", &wrong_code(std::slice::from_ref(&code))).says(400, "Invalid OTP");
    let user = User { scene: &scene, session: session_of(&scene.verify("testuser", &code).is(200)) };
    // The second factor is on from now on, and ended what was before.
    User { scene: &scene, session: first }.get("/sensitive-data").says(401, "Invalid token");
    assert_eq!(scene.login("testuser", PASSWORD).is(200).json(), json!({ "message": "2FA required", "username": "testuser" }));

    let kept = user.ask("POST", "/sensitive-data", &json!({ "data_type": "card_number", "value": "1234567812345678" })).is(200);
    let id = kept.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(kept.json(), json!({ "id": id, "data_type": "card_number", "value": "1234567812345678" }));
    assert!(id.len() == 24 && id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)), "{id}");
    for bad in ["123456781234567", "12345678123456789", "1234 5678 1234 56", "１２３４５６７８１２３４５６７８", ""]
    {
        let body = json!({ "data_type": "card_number", "value": bad });
        user.ask("POST", "/sensitive-data", &body).says(400, "Invalid card number");
    }
    assert_eq!(user.get("/sensitive-data").is(200).json(), json!([kept.json()]));
    let path = format!("/sensitive-data/{id}");
    let replaced = user.ask("PUT", &path, &json!({ "data_type": "note", "value": "é \" \\ \n" })).is(200);
    assert_eq!(replaced.json(), json!({ "id": id, "data_type": "note", "value": "é \" \\ \n" }));
    assert_eq!(user.get("/sensitive-data").is(200).json(), json!([replaced.json()]));
    user.ask("POST", "/rotate-master-key", &Value::Null).says(403, "Not permitted");
    assert_eq!(user.ask("DELETE", &path, &Value::Null).is(200).json(), json!({ "message": "Data deleted successfully" }));
    user.ask("DELETE", &path, &Value::Null).says(404, "Data not found or not authorized");

    // Again within the same half minute: another code.
    scene.post("/send-otp", &json!({ "username": "testuser" })).is(200);
    scene.verify("testuser", &scene.mailed(1)).is(200);
    scene.sandbox.vault(&["check"]).run().ok();
    let log = scene.server.log();
    for secret in [PASSWORD, &user.session, "1234567812345678", "test@example.com", &code] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}

#[test]
fn the_walk_through_with_curl() {
    let scene = Scene::new();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/server/users.sh");
    let url = format!("http://{}", scene.server.address);
    let run = scene.sandbox.program("sh", &[script.to_str().unwrap(), "ann"]).env("URL", &url).env("OUTBOX", &scene.outbox);
    assert_eq!(run.run().ok().text(), "all answers are as expected\n");
}

#[test]
fn what_is_wrong_with_a_registration_is_said() {
    let scene = Scene::new();
    for (password, message) in [
        ("Ab1!", "Value error, Password must be at least 8 characters long"),
        ("short", "Value error, Password must be at least 8 characters long"),
        ("abcdefg1!", "Value error, Password must contain at least one uppercase letter"),
        ("Abcdefgh!", "Value error, Password must contain at least one digit"),
        ("Abcdefg12", "Value error, Password must contain at least one special character"),
    ] {
        let body = json!({ "username": "ann", "email": "a@example.org", "password": password });
        let reply = scene.post("/register", &body).faults(&[("value_error", &["body", "password"])]);
        assert_eq!(reply.json()["detail"][0]["msg"], message);
        assert!(!reply.body.contains(password));
    }
    let body = json!({ "username": "ann", "email": "a@example.org", "password": format!("A1!{}", "x".repeat(1022)) });
    scene.post("/register", &body).faults(&[("value_error", &["body", "password"])]);
    for email in
        ["", "nobody", "a@", "@b", "a b@c.org", "A <a@b.org>", "a@b.org, c@d.org", "a@b.org\r\nBcc: x@y.org", "a@b\0.org"]
    {
        let body = json!({ "username": "ann", "email": email, "password": PASSWORD });
        scene.post("/register", &body).faults(&[("value_error", &["body", "email"])]);
    }
    let name = |name: &str| scene.post("/register", &json!({ "username": name, "email": "a@b.org", "password": PASSWORD }));
    name("").faults(&[("string_too_short", &["body", "username"])]);
    for blank in [" ", "\u{200b}", "..", "a\nb", "a\u{1b}[31m"] {
        name(blank).faults(&[("value_error", &["body", "username"])]);
    }
    name(&"x".repeat(256)).faults(&[("string_too_long", &["body", "username"])]);
    scene.post("/register", &json!({})).faults(&[
        ("missing", &["body", "username"]),
        ("missing", &["body", "email"]),
        ("missing", &["body", "password"]),
    ]);
    name("José").is(200);
    for same in ["josé", "JOSÉ", " José ", "Jose\u{301}", "José.", "Jo\u{ad}sé", "Ｊosé"] {
        name(same).says(400, "Username already exists");
    }
    // A form is as good as an object, and any spelling of the name is.
    let form = |text: &str| {
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        patiently(|| scene.server.ask("POST", "/login", &headers, text))
    };
    session_of(&form(&format!("username=JOS%C3%89&password={}", PASSWORD.replace('@', "%40").replace('!', "%21"))).is(200));
    let odd = "A1 #+%&<>\"!=x";
    scene.post("/register", &json!({ "username": "odd", "email": "a@b.org", "password": odd })).is(200);
    session_of(&form("username=odd&password=A1+%23%2B%25%26%3C%3E%22%21%3Dx").is(200));
    session_of(&form("username=odd&password=A1+#%2B%25%26<>\"!=x").is(200));
    let directory = scene.sandbox.path("config/vault");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("config.toml"), "[serve]\nregistration = \"closed\"\n").unwrap();
    let closed = Server::start(&scene.sandbox, &["--log-format", "quiet"]);
    for name in ["josé", "somebody"] {
        let body = json!({ "username": name, "email": "a@example.org", "password": PASSWORD });
        closed.ask("POST", "/register", &[], &body.to_string()).says(403, "Registration is closed");
    }
    // Without a way for mail it is said to everybody.
    for name in ["josé", "somebody"] {
        let reply = closed.ask("POST", "/send-otp", &[], &json!({ "username": name }).to_string());
        reply.says(500, "Failed to send OTP due to server error");
    }
}

#[test]
fn five_failures_lock_and_a_restart_changes_nothing() {
    let mut scene = Scene::new();
    scene.register("Ann");
    // However the name is spelt, and whether or not there is such a user.
    for names in [["ann", "ANN", " Ann", "Ａnn", "ann."], ["eve", "EVE", " Eve", "Ｅve", "eve."]] {
        let mut last = Instant::now();
        for name in names {
            last = Instant::now();
            scene.login(name, "wrong").says(400, "Invalid username or password");
        }
        let refused = scene.login(names[0], PASSWORD).says(400, "Too many failed attempts. Try again later.");
        let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        // The time began with the last failure, and some of it may be over.
        let least = 890_u64.saturating_sub(last.elapsed().as_secs());
        assert!((least..=900).contains(&wait), "{wait}");
        scene.verify(names[0], "123456").says(400, "Invalid OTP");
    }
    scene.restart();
    for name in ["aNN", "eVE"] {
        scene.login(name, PASSWORD).says(400, "Too many failed attempts. Try again later.");
    }
    // Nobody else is kept out.
    scene.user("bob");
}

#[test]
fn nothing_tells_a_user_from_nobody() {
    let scene = Scene::new();
    scene.user("ann");
    let shape = |reply: &Reply| {
        let changing = ["x-request-id", "date", "retry-after"];
        let headers: Vec<_> = reply.headers.iter().filter(|(name, _)| !changing.contains(&name.as_str())).cloned().collect();
        (reply.status, headers, reply.body.clone())
    };
    let both = |path: &str, body: &dyn Fn(&str) -> Value| {
        let (one, other) = (scene.post(path, &body("ann")), scene.post(path, &body("eve")));
        assert_eq!(shape(&one), shape(&other), "{path}");
    };
    for _ in 0..3 {
        both("/send-otp", &|name| json!({ "username": name }));
        both("/login", &|name| json!({ "username": name, "password": "wrong" }));
        both("/verify-otp", &|name| json!({ "username": name, "otp": "000000" }));
    }
    both("/login", &|name| json!({ "username": name, "password": PASSWORD }));
    both("/login", &|name| json!({ "username": name }));
    both("/login", &|name| json!({ "username": name, "password": 7 }));
    // What was typed in place of a name stands in no log.
    let typed = "My$ecretPassw0rd in the wrong field";
    scene.login(typed, "x").is(400);
    assert!(!scene.server.log().contains("My$ecret"));
    let log = scene.sandbox.vault(&["audit", "show", "--format", "json"]).run().ok();
    assert!(!log.text().contains("My$ecret") && log.text().contains("sign-in"));
}

#[test]
fn a_code_counts_once_and_only_behind_a_password() {
    let scene = Scene::new();
    scene.register("ann");
    scene.post("/send-otp", &json!({ "username": "ann" })).is(200);
    // A mailbox alone lets nobody in.
    scene.verify("ann", &scene.mailed(0)).says(400, "Invalid OTP");
    session_of(&scene.login("ann", PASSWORD).is(200));
    let sent = scene.mailed(0);
    for code in [format!("{} {}", &sent[..3], &sent[3..]), sent[..5].to_owned(), format!("\u{200b}{sent}")] {
        scene.verify("ann", &code).says(400, "Invalid OTP");
    }
    session_of(&scene.verify("ann", &sent).is(200));
    // Neither twice at once, nor behind another password.
    scene.login("ann", PASSWORD).is(200);
    scene.verify("ann", &sent).says(400, "Invalid OTP");
    scene.post("/send-otp", &json!({ "username": "ann" })).is(200);
    let next = scene.mailed(1);
    assert_ne!(next, sent);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..4).map(|_| scope.spawn(|| scene.verify("ann", &next).status)).collect();
        asking.into_iter().map(|asking| asking.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
}

#[test]
fn codes_are_not_guessed() {
    let mut scene = Scene::new();
    scene.register("ann");
    scene.login("ann", PASSWORD).is(200);
    scene.post("/send-otp", &json!({ "username": "ann" })).is(200);
    session_of(&scene.verify("ann", &scene.mailed(0)).is(200));
    // Right passwords between the guesses do not help; nor does another server.
    for guess in 0..5 {
        if guess == 3 {
            scene.restart();
        }
        scene.login("ann", PASSWORD).is(200);
        scene.verify("ann", "xxxxxx").says(400, "Invalid OTP");
    }
    let locked = scene.login("ann", PASSWORD).says(400, "Too many failed attempts. Try again later.");
    assert!(locked.header("retry-after").is_some());
    // Not even by a code that would count.
    let vault = scene.sandbox.library(vault::vault::Options::default());
    let (_, ann) = vault.user(&vault::vault::users::UserName::of("ann")).unwrap();
    for step in [step(), step() + 1] {
        scene.verify("ann", &code(&ann.otp, step)).says(400, "Invalid OTP");
    }
    scene.sandbox.vault(&["user", "unlock", "ann"]).run().ok();
    scene.login("ann", PASSWORD).is(200);
    session_of(&scene.verify("ann", &code(&ann.otp, step() + 1)).is(200));
}

#[test]
fn who_has_given_the_password_gets_a_code_whatever_strangers_ask_for() {
    let scene = Scene::new();
    scene.register("ann");
    for _ in 0..8 {
        scene.post("/send-otp", &json!({ "username": "ann" })).is(200);
    }
    scene.mailed(4);
    // They are put together behind the answers.
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(std::fs::read_dir(&scene.outbox).unwrap().count(), 5);
    scene.login("ann", PASSWORD).is(200);
    scene.post("/send-otp", &json!({ "username": "ann" })).is(200);
    session_of(&scene.verify("ann", &scene.mailed(5)).is(200));
}

#[test]
fn a_pepper_is_replaced_and_one_that_is_missing_locks_nobody_out() {
    let sandbox = sandbox();
    let start = |variables: &[(&str, &str)]| {
        let mut command = sandbox.vault(&["serve", "--listen", "127.0.0.1:0", "--log-format", "json"]);
        for (name, value) in variables {
            command = command.env(name, value);
        }
        Server::run(command)
    };
    let ask = |server: &Server, path: &str, body: Value| patiently(|| server.ask("POST", path, &[], &body.to_string()));
    let credentials = json!({ "username": "ann", "password": PASSWORD });
    let first = start(&[("PEPPER", "the first pepper")]);
    ask(&first, "/register", json!({ "username": "ann", "email": "a@example.org", "password": PASSWORD })).is(200);
    drop(first);
    let without = start(&[]);
    for _ in 0..6 {
        let refused = ask(&without, "/login", credentials.clone()).is(503);
        assert!(refused.header("retry-after").is_some());
    }
    wait_until("a line", || without.log().contains("PEPPER"));
    drop(without);
    let both = start(&[("PEPPER", "the second pepper"), ("PEPPER_OLD", "the first pepper")]);
    session_of(&ask(&both, "/login", credentials.clone()).is(200));
    drop(both);
    let second = start(&[("PEPPER", "the second pepper")]);
    session_of(&ask(&second, "/login", credentials).is(200));
}

#[test]
fn an_app_makes_the_codes() {
    let scene = Scene::new();
    let user = scene.user("ann");
    user.ask("POST", "/2fa/enroll", &json!({ "password": "wrong" })).says(400, "Invalid password");
    user.ask("POST", "/2fa/confirm", &json!({ "otp": "123456" })).says(400, "Invalid OTP");
    let app = user.ask("POST", "/2fa/enroll", &json!({ "password": PASSWORD })).is(200).json();
    let (secret, uri) = (app["secret"].as_str().unwrap(), app["uri"].as_str().unwrap());
    assert!(uri.starts_with(&format!("otpauth://totp/vault:ann?secret={secret}")), "{uri}");
    assert!(app["qr"].as_str().unwrap().starts_with("<svg"));
    // Whether it is scanned or typed.
    assert_eq!(app_code(uri, 1), app_code(secret, 1));
    // Nothing counts before a code has arrived.
    session_of(&scene.login("ann", PASSWORD).is(200));
    let now = early_in_a_step();
    let confirmed = user.ask("POST", "/2fa/confirm", &json!({ "otp": app_code(uri, now) })).is(200);
    user.get("/account").says(401, "Invalid token");
    let user = User { scene: &scene, session: session_of(&confirmed) };
    let account = user.get("/account").is(200).json();
    assert_eq!((&account["second_factor"], &account["authenticator_app"]), (&json!(true), &json!(true)));
    // Codes of an app are not mailed, which nobody is told.
    scene.post("/send-otp", &json!({ "username": "ann" })).is(200);
    assert_eq!(scene.login("ann", PASSWORD).is(200).json()["message"], "2FA required");
    scene.verify("ann", &app_code(uri, now)).says(400, "Invalid OTP");
    let user = User { scene: &scene, session: session_of(&scene.verify("ann", &app_code(uri, now + 1)).is(200)) };
    assert_eq!(std::fs::read_dir(&scene.outbox).unwrap().count(), 0);

    // For what matters the password alone does not do any more.
    let proof = |code: &str| json!({ "password": PASSWORD, "otp": code });
    user.ask("POST", "/2fa/recovery-codes", &json!({ "password": PASSWORD })).says(400, "Invalid OTP");
    wait_until("the next step", || step() > now);
    let codes = user.ask("POST", "/2fa/recovery-codes", &proof(&app_code(uri, now + 2))).is(200).json();
    let codes: Vec<&str> = codes["recovery_codes"].as_array().unwrap().iter().map(|code| code.as_str().unwrap()).collect();
    assert_eq!(codes.len(), 10);
    scene.login("ann", PASSWORD).is(200);
    session_of(&scene.verify("ann", codes[3]).is(200));
    scene.login("ann", PASSWORD).is(200);
    scene.verify("ann", codes[3]).says(400, "Invalid OTP");
    let disabled = user.ask("POST", "/2fa/disable", &proof(codes[5])).is(200);
    user.get("/account").is(401);
    let user = User { scene: &scene, session: session_of(&disabled) };
    assert_eq!(user.get("/account").json()["second_factor"], false);
    session_of(&scene.login("ann", PASSWORD).is(200));
}
