//! `vault user`

use std::fs;

use serde_json::{Value, json};
use vault::Options;
use vault::format::user::{Role, User};
use vault::secret::{Passphrase, PepperSecret};
use vault::vault::users::{Peppers, Proof, SignedIn, UserName, prove};

use crate::prompts::at_terminal;
use crate::sandbox::{Output, Sandbox, fields, now};

const PASSWORD: &str = "Corr3ct horse!";

#[track_caller]
fn add(sandbox: &Sandbox, arguments: &[&str]) -> Output {
    sandbox.vault(&[&["user", "add"], arguments].concat()).stdin(format!("{PASSWORD}\nnot this\n")).run().ok()
}

/// A machine with the administrator `root`, and `ann` with an e-mail address.
fn with_users() -> Sandbox {
    let sandbox = Sandbox::new();
    add(&sandbox, &["root", "--role", "admin"]);
    add(&sandbox, &["Ann", "--email", "ann@example.org"]);
    sandbox
}

fn user(sandbox: &Sandbox, name: &str) -> User {
    sandbox.library(Options::default()).user(&UserName::of(name)).unwrap().1
}

fn show(sandbox: &Sandbox, name: &str) -> Value {
    sandbox.vault(&["user", "show", name, "--format", "json"]).run().ok().json()
}

fn peppers(pepper: Option<&str>) -> Peppers {
    Peppers::new(pepper.map(|pepper| PepperSecret::new(pepper.as_bytes().to_vec().into())), Vec::new())
}

fn proof(sandbox: &Sandbox, name: &str, password: &str, peppers: &Peppers) -> Proof {
    let id = *sandbox.library(Options::default()).id_bytes();
    prove(Some(&user(sandbox, name)), &Passphrase::new(password.as_bytes().to_vec().into()), peppers, &id).unwrap()
}

/// A wrong password, so often.
fn fail(sandbox: &Sandbox, name: &str, count: usize) {
    let vault = sandbox.library(Options::default());
    for _ in 0..count {
        let found = vault.find_user(&UserName::of(name), now()).unwrap();
        let mut came = None;
        vault
            .change_together(now(), &mut |changes| {
                came = Some(changes.sign_in_with_password(&found, Proof::Wrong, None, [1; 8]));
            })
            .unwrap();
        assert_eq!(came.unwrap().unwrap(), SignedIn::Wrong);
    }
}

/// Something that a user keeps.
fn keep(sandbox: &Sandbox, name: &str, value: &str) {
    let vault = sandbox.library(Options::default());
    let (mark, user) = vault.user(&UserName::of(name)).unwrap();
    let mut kept = None;
    vault.change_together(now(), &mut |changes| kept = Some(changes.add_datum(mark, &user.uid, "note", value))).unwrap();
    kept.unwrap().unwrap();
}

#[test]
fn who_was_made_signs_in_with_the_first_line() {
    let sandbox = with_users();
    assert_eq!(proof(&sandbox, "ANN", PASSWORD, &peppers(None)), Proof::Right);
    assert_eq!(proof(&sandbox, "ann", "not this", &peppers(None)), Proof::Wrong);
    let made = add(&sandbox, &["bob", "--role", "reader"]);
    assert!(made.stdout.is_empty() && made.stderr.contains("the user 'bob' was made: reader"), "{}", made.stderr);
    sandbox.write("password", format!("{PASSWORD}\n"));
    sandbox.vault(&["user", "add", "file", "--password-file", "password"]).run().ok();
    sandbox.shell("vault user add fd --password-fd 3 3< password").run().ok();
    // Behind the passphrase of the vault on standard input stands no password, and both have a way of their own.
    for name in ["file", "fd"] {
        assert_eq!(proof(&sandbox, name, PASSWORD, &peppers(None)), Proof::Right);
    }

    let listed = sandbox.vault(&["user", "list", "--format", "json"]).run().ok().json();
    let names = "name email role created last_sign_in second_factor app recovery_codes disabled locked_seconds verifier peppered";
    assert_eq!(fields(&listed["users"][0]).join(" "), names);
    let of = |field: &str| -> Vec<Value> { listed["users"].as_array().unwrap().iter().map(|user| user[field].clone()).collect() };
    assert_eq!(of("name"), ["Ann", "bob", "fd", "file", "root"]);
    assert_eq!(of("role"), ["writer", "reader", "writer", "writer", "admin"]);
    assert_eq!(of("email"), ["ann@example.org", "", "", "", ""]);
    let text = sandbox.vault(&["user", "ls"]).run().ok().text();
    let line = text.lines().next().unwrap();
    for words in ["Ann", "ann@example.org", "writer", "since 2", "never seen", "no 2FA", "active"] {
        assert!(line.contains(words), "{words} in {line}");
    }
    // What proves a user, and what they are asked for, is in no listing.
    for arguments in
        [&["user", "list"][..], &["user", "show", "ann"], &["user", "export", "ann"], &["audit", "show", "--format", "json"]]
    {
        let output = sandbox.vault(arguments).run().ok();
        assert!(!output.text().contains(PASSWORD) && !output.text().contains("$argon"), "{arguments:?}");
    }
    assert!(!String::from_utf8_lossy(&sandbox.bytes()).contains("Ann"));
}

#[test]
fn who_cannot_be_a_user_is_not_made() {
    let sandbox = with_users();
    let long = "x".repeat(256);
    for (arguments, password, code, words) in [
        (&["bob"][..], "", 2, "at least 8 characters"),
        (&["bob"], "corr3ct!horse", 2, "uppercase letter"),
        (&["bob"], "Correct!horse", 2, "one digit"),
        (&["bob"], "Corr3cthorse", 2, "special character"),
        (&["aNN"], PASSWORD, 6, "there is a user 'aNN' already"),
        (&["Ａｎｎ"], PASSWORD, 6, "already"),
        (&[" "], PASSWORD, 2, "the name is empty"),
        (&["a\nb"], PASSWORD, 2, "control character"),
        (&[&long], PASSWORD, 2, "more than 255"),
        (&["bob", "--email", "nobody"], PASSWORD, 2, "e-mail address is malformed"),
        (&["bob", "--email", "a@b\r\nTo: c@d"], PASSWORD, 2, "e-mail address is malformed"),
    ] {
        let run = sandbox.vault(&[&["user", "add"], arguments].concat()).stdin(password).run();
        assert!(!run.fails(code, words).stderr.contains("Corr"));
    }
    let not_text = sandbox.vault(&["user", "add", "bob"]).stdin(b"Corr3ct horse!\xff").run();
    not_text.fails(2, "not UTF-8 text");
    let none = sandbox.vault(&["user", "add", "bob"]).run().fails(2, "there is no value");
    assert!(none.stderr.contains("--password-file"), "{}", none.stderr);
    sandbox.vault(&["user", "add", "bob", "--role", "king"]).run().ends(2);
    sandbox.vault(&["user", "add", "bob", PASSWORD]).run().ends(2);
    assert_eq!(sandbox.library(Options::default()).count_users().unwrap(), 2);
}

#[test]
fn a_password_is_typed_twice() {
    let sandbox = with_users();
    let dialogue = [("Password of the user", "N3w password!\r"), ("(again)", "N3w password!\r")];
    let session = at_terminal(&sandbox, "vault user passwd ann", &dialogue).ends(0);
    assert!(!session.screen.contains("N3w"), "{}", session.screen);
    assert_eq!(proof(&sandbox, "ann", "N3w password!", &peppers(None)), Proof::Right);
}

#[test]
fn a_pepper_is_taken_from_the_environment() {
    let sandbox = with_users();
    sandbox.write("pepper", "one\r\n");
    sandbox.write("two", "one\ntwo\n");
    sandbox.write("none", "\n");
    let run = |name: &str, variable: &str, value: &str| {
        sandbox.vault(&["user", "add", name]).env(variable, value).stdin(PASSWORD).run()
    };
    run("variable", "PEPPER", "one").ok();
    run("file", "PEPPER_FILE", "pepper").ok();
    for file in ["two", "none"] {
        run("bad", "PEPPER_FILE", file).fails(2, "does not hold a pepper in one line");
    }
    run("bad", "PEPPER_FILE", "missing").ends(13);
    // The file of the older ones is read as well, so that what is wrong with it is known at once.
    run("bad", "PEPPER_OLD_FILE", "missing").ends(13);
    for name in ["variable", "file"] {
        assert_eq!(proof(&sandbox, name, PASSWORD, &peppers(Some("one"))), Proof::Right, "{name}");
        assert_eq!(proof(&sandbox, name, PASSWORD, &peppers(None)), Proof::Unknown, "{name}");
        assert_eq!(show(&sandbox, name)["peppered"], true);
    }
    assert_eq!(show(&sandbox, "ann")["peppered"], false);
}

/// Each command, its code, words of its note, what `show` says of `ann` afterwards, and whether her sessions ended.
#[test]
fn users_are_changed() {
    let sandbox = with_users();
    let table: &[(&str, i32, &str, &str, Value, bool)] = &[
        ("role ann reader", 0, "the user 'Ann' is reader now", "role", json!("reader"), true),
        ("role ann reader", 0, "note: the user 'Ann' was reader before", "role", json!("reader"), false),
        ("role none reader", 3, "there is no user 'none'", "role", json!("reader"), false),
        ("role ann king", 2, "a role is admin, writer or reader", "role", json!("reader"), false),
        ("disable ann", 0, "was disabled", "locked_seconds", Value::Null, true),
        ("disable ANN ann", 0, "note: the user 'Ann' had been disabled already", "locked_seconds", Value::Null, false),
        ("enable ann", 0, "was enabled", "disabled", Value::Null, false),
        ("enable ann", 0, "note: the user 'Ann' was not disabled", "disabled", Value::Null, false),
        ("disable ann none", 3, "there is no user 'none'", "disabled", Value::Null, false),
        ("unlock ann", 0, "note: the user 'Ann' was not locked", "locked_seconds", Value::Null, false),
        ("2fa-off ann", 0, "note: the user 'Ann' was asked for no code before", "second_factor", json!(false), false),
        ("passwd ann", 0, "has another password, and no session", "verifier", json!("argon2id"), true),
        ("passwd none", 3, "there is no user 'none'", "verifier", json!("argon2id"), false),
    ];
    for (line, code, said, field, value, ends) in table {
        let before = user(&sandbox, "ann").session;
        let words: Vec<&str> = ["user"].into_iter().chain(line.split(' ')).collect();
        let output = sandbox.vault(&words).stdin("An0ther one!\n").run().ends(*code);
        assert!(output.stdout.is_empty() && output.stderr.contains(said), "{line}: {}", output.stderr);
        assert_eq!(&show(&sandbox, "ann")[field], value, "{line}");
        assert_eq!(user(&sandbox, "ann").session != before, *ends, "{line}");
    }
    assert_eq!(proof(&sandbox, "ann", "An0ther one!", &peppers(None)), Proof::Right);
    let weak = sandbox.vault(&["user", "passwd", "ann"]).stdin("weak").run().fails(2, "at least 8 characters");
    assert!(!weak.stderr.contains("weak\n"));
    // A note that nothing was changed is no record.
    let log = sandbox.vault(&["audit", "show", "--action", "user-change", "--format", "json"]).run().ok().json();
    let records = log["records"].as_array().unwrap().iter();
    let done =
        records.map(|record| format!("{} {}", record["result"].as_str().unwrap(), record["detail"].as_str().unwrap_or("-")));
    let expected = "ok user 'Ann' is reader now;not_found -;ok user 'Ann' was disabled;ok user 'Ann' was enabled;not_found -;\
                    ok user 'Ann' has another password;not_found -";
    assert_eq!(done.collect::<Vec<_>>().join(";"), expected);
}

#[test]
fn a_lock_is_lifted_and_a_second_factor_is_reset() {
    let sandbox = with_users();
    fail(&sandbox, "ann", 5);
    assert!(show(&sandbox, "ann")["locked_seconds"].as_u64().unwrap() > 800);
    let text = sandbox.vault(&["user", "list"]).run().ok().text();
    assert!(text.lines().next().unwrap().contains("locked for 8") || text.contains("locked for 900"), "{text}");
    let output = sandbox.vault(&["user", "unlock", "ann", "root"]).run().ok();
    assert!(
        output.stderr.contains("'Ann' is heard again") && output.stderr.contains("'root' was not locked"),
        "{}",
        output.stderr
    );
    assert!(show(&sandbox, "ann")["locked_seconds"].is_null());
    // The window starts afresh.
    fail(&sandbox, "ann", 4);
    assert!(show(&sandbox, "ann")["locked_seconds"].is_null());

    let vault = sandbox.library(Options::default());
    vault
        .update_user(&UserName::of("ann"), now(), &mut |user, state| {
            (user.second_factor, user.app, state.step) = (true, true, 7);
            user.recovery = vec![[1; 32], [2; 32]];
            Ok(())
        })
        .unwrap();
    let before = user(&sandbox, "ann");
    assert_eq!(show(&sandbox, "ann")["recovery_codes"], 2);
    assert!(sandbox.vault(&["user", "show", "ann"]).run().ok().text().contains("2FA by app"));
    sandbox.vault(&["user", "2fa-off", "ann"]).run().ok();
    let (mark, after) = vault.user(&UserName::of("ann")).unwrap();
    assert!(!after.second_factor && !after.app && after.recovery.is_empty() && after.session != before.session);
    assert!(after.otp.expose() != before.otp.expose() && vault.sign_in(mark).unwrap().step == 0);
}

#[test]
fn one_administrator_stays() {
    let sandbox = with_users();
    for line in ["role root writer", "disable root", "rm root", "disable ann root", "rm ann root --force"] {
        let words: Vec<&str> = ["user"].into_iter().chain(line.split(' ')).collect();
        sandbox.vault(&words).run().fails(6, "no administrator would be left");
    }
    assert!(user(&sandbox, "ann").disabled.is_none() && user(&sandbox, "root").role == Role::Admin);
    sandbox.vault(&["user", "role", "ann", "admin"]).run().ok();
    sandbox.vault(&["user", "rm", "root", "ann"]).run().fails(6, "no administrator would be left");
    sandbox.vault(&["user", "rm", "root"]).run().ok();
    sandbox.vault(&["user", "show", "root"]).run().fails(3, "there is no user 'root'");
}

#[test]
fn what_a_user_keeps_is_exported_and_goes_with_them() {
    let sandbox = with_users();
    keep(&sandbox, "ann", "kept \"value\"");
    let exported = sandbox.vault(&["user", "export", "ann"]).run().ok();
    let shown = exported.json();
    assert_eq!(fields(&shown), ["version", "user", "data"]);
    assert_eq!((&shown["user"]["name"], &shown["data"][0]["data_type"]), (&json!("Ann"), &json!("note")));
    assert_eq!(fields(&shown["data"][0]), ["id", "data_type", "created", "modified"]);
    assert!(!exported.text().contains("kept"));
    let revealed = sandbox.vault(&["user", "export", "ann", "--reveal"]).run().ok().json();
    assert_eq!(revealed["data"][0]["value"], "kept \"value\"");
    sandbox.vault(&["user", "export", "ann", "--reveal", "--out", "ann.json"]).run().ok();
    let files = sandbox.files("work");
    assert!(files.iter().any(|(path, mode)| path.ends_with("ann.json") && *mode == 0o600), "{files:?}");
    assert!(fs::read_to_string(sandbox.path("work/ann.json")).unwrap().contains("kept"));
    sandbox.vault(&["user", "export", "none"]).run().fails(3, "there is no user 'none'");
    assert_eq!(show(&sandbox, "ann")["records"], 1);
    let log = sandbox.vault(&["audit", "show", "--action", "user-export", "--format", "json"]).run().ok().text();
    assert!(log.contains("with 1 records and their values") && log.contains("not_found"), "{log}");

    add(&sandbox, &["bob"]);
    sandbox.vault(&["user", "rm", "bob", "ann"]).run().fails(6, "the user 'Ann' keeps data");
    assert_eq!(show(&sandbox, "bob")["records"], 0);
    sandbox.vault(&["user", "rm", "bob", "ann", "ANN", "--force"]).run().ok();
    assert_eq!(sandbox.library(Options::default()).count_users().unwrap(), 1);
    sandbox.vault(&["check"]).run().ok();
    // Who comes after has nothing of it.
    add(&sandbox, &["ann"]);
    assert_eq!(show(&sandbox, "ann")["records"], 0);
}

#[test]
fn a_limited_key_changes_no_user() {
    let sandbox = with_users();
    sandbox.write("part.key", [7; 32]);
    sandbox.vault(&["key", "add", "--label", "part", "--key-file", "part.key", "--only", "category:ci"]).run().ok();
    for line in ["list", "show ann", "role ann reader", "add bob", "rm ann", "export ann"] {
        let words: Vec<&str> = ["user"].into_iter().chain(line.split(' ')).collect();
        sandbox.vault(&words).arg("--key-file").arg("part.key").stdin(PASSWORD).run().fails(12, "");
    }
    let remote = sandbox.vault(&["user", "list", "--server", "http://127.0.0.1:9"]).run();
    remote.ends(2);
}

/// What a service exported (tests/python/foreign.py): its files, written to the working directory.
fn exported(sandbox: &Sandbox) -> Value {
    let made: Value = serde_json::from_str(include_str!("../vectors-foreign/users.json")).unwrap();
    let lines =
        |documents: &Value| documents.as_array().unwrap().iter().map(|document| format!("{document}\n")).collect::<String>();
    sandbox.write("users.json", lines(&made["users"]));
    sandbox.write("data.json", made["data"].to_string());
    sandbox.write("keys.json", made["keys"].to_string());
    sandbox.write("pepper", made["pepper"].as_str().unwrap());
    made
}

fn import(sandbox: &Sandbox, more: &[&str]) -> Output {
    let all = ["user", "import", "users.json", "--data", "data.json", "--keys", "keys.json", "--pepper-file", "pepper"];
    sandbox.vault(&[&all, more].concat()).run()
}

#[test]
fn users_of_another_service_keep_their_passwords_and_data() {
    let sandbox = Sandbox::new();
    let made = exported(&sandbox);
    let dry = import(&sandbox, &["--dry-run", "--report", "json"]).ok().json();
    assert_eq!((&dry["dry_run"], &dry["records"]), (&json!(true), &json!(3)));
    assert_eq!(sandbox.library(Options::default()).count_users().unwrap(), 0);
    let said = import(&sandbox, &["--admin", "ANN"]).ok();
    assert!(said.stdout.is_empty() && said.stderr.contains("4 users and 3 records taken over"), "{}", said.stderr);
    sandbox.vault(&["check"]).run().ok();

    let peppers = peppers(made["pepper"].as_str());
    for (name, password) in made["passwords"].as_object().unwrap() {
        let password = password.as_str().unwrap();
        // Right, and to be replaced.
        assert_eq!(proof(&sandbox, name, password, &peppers), Proof::Stale, "{name}");
        assert_eq!(proof(&sandbox, name, &password.replace('1', "2"), &peppers), Proof::Wrong, "{name}");
        let shown = sandbox.vault(&["user", "export", name, "--reveal"]).run().ok().json();
        let values: Vec<&Value> = shown["data"].as_array().unwrap().iter().map(|datum| &datum["value"]).collect();
        assert_eq!(values, made["values"][name].as_array().unwrap().iter().collect::<Vec<_>>(), "{name}");
        assert_eq!(shown["user"]["verifier"], "bcrypt");
        assert_eq!(shown["user"]["role"], if name == "ann" { "admin" } else { "writer" });
        assert!(shown["user"]["created"].as_str().unwrap().starts_with("2023-11-14T"), "{shown}");
    }
    assert_eq!(proof(&sandbox, "ann", "StrongP@ssw0rd1!", &self::peppers(None)), Proof::Unknown);
    // Clients find their records by the ids that they know.
    let first = sandbox.vault(&["user", "export", "ann"]).run().ok().json();
    assert_eq!(first["data"][0]["id"], made["data"][0]["_id"]["$oid"]);
    let log = sandbox.vault(&["audit", "show", "--action", "user-import", "--format", "json"]).run().ok().text();
    assert!(log.contains("4 users, 3 records") && log.contains("user 'José Ünï' was taken over"), "{log}");

    // A second time each of them is in the way, and all are told of.
    let again = import(&sandbox, &[]).fails(6, "there is a user 'ann' already (and 3 more)");
    assert_eq!(again.stderr.matches("there is a user").count(), 5, "{}", again.stderr);
    assert!(again.stderr.lines().any(|line| line == "there is a user 'José Ünï' already"), "{}", again.stderr);
}

#[test]
fn what_cannot_be_taken_over_is_told_of_and_nothing_is_imported() {
    let sandbox = Sandbox::new();
    let made = exported(&sandbox);
    let edited = |what: &str, change: &dyn Fn(&mut Value)| {
        let mut part = made[what].clone();
        change(&mut part);
        sandbox.write(&format!("{what}.json"), part.to_string());
    };
    let secret = made["data"][0]["encrypted_value"].as_str().unwrap();
    type Edit = fn(&mut Value);
    let table: &[(&str, Edit, i32, &[&str])] = &[
        ("users", |users| users[3]["username"] = json!("ANN"), 6, &["'ann' and 'ANN' (user 4) would be one user"]),
        ("users", |users| users[0]["username"] = json!(""), 2, &["user 1 (''): the name is empty"]),
        (
            "users",
            |users| users[0]["username"] = Value::Null,
            2,
            &["user 1: username is missing", "record 1: it is of none of the users"],
        ),
        (
            "users",
            |users| users[0]["hashed_password"] = json!("plain"),
            2,
            &["user 1 ('ann'): what the password is compared with"],
        ),
        (
            "users",
            |users| users[0]["hashed_password"] = json!(users[0]["hashed_password"].as_str().unwrap().replace("$04$", "$15$")),
            2,
            &["bcrypt of cost 15"],
        ),
        ("users", |users| drop(users[2].as_object_mut().unwrap().remove("salt")), 2, &["user 3 ('long'): salt is missing"]),
        ("users", |users| users[2]["email"] = json!("a b"), 2, &["user 3 ('long'): the e-mail address is malformed"]),
        ("users", |users| users[2]["totp_secret"] = json!("1"), 2, &["user 3 ('long'): the secret of codes"]),
        ("users", |users| users[2]["two_factor_enabled"] = json!("yes"), 2, &["two_factor_enabled is neither"]),
        ("users", |users| users[2]["last_failed_attempt_time"] = json!("noon"), 2, &["last_failed_attempt_time is not a date"]),
        ("users", |users| users[3] = json!(7), 2, &["user 4: it is not an object"]),
        (
            "data",
            |data| {
                data[0]["encrypted_value"] = json!("00".repeat(40));
                data[2]["encrypted_value"] = json!("xy");
            },
            2,
            &["record 1 of 'ann': it cannot be decrypted", "record 3 of 'José Ünï': its value is not hex digits"],
        ),
        ("data", |data| data[1]["encrypted_value"] = json!("00"), 2, &["record 2 of 'ann': it cannot be decrypted"]),
        ("data", |data| data[1]["_id"] = data[0]["_id"].clone(), 2, &["record 2 of 'ann': its _id occurs twice"]),
        ("data", |data| data[1]["user_id"] = json!({ "$oid": "0" }), 2, &["record 2: it is of none of the users"]),
        ("data", |data| data[1]["data_type"] = json!(""), 2, &["record 2 of 'ann': data_type has not"]),
        (
            "keys",
            |keys| keys["master_key"] = json!("00".repeat(32)),
            2,
            &["record 1 of 'ann': the key of this user cannot be unwrapped"],
        ),
        ("keys", |keys| keys["user_keys"]["ann"] = json!({}), 2, &["record 2 of 'ann': the key of this user is malformed"]),
        ("keys", |keys| keys["user_keys"] = json!({}), 2, &["record 3 of 'José Ünï': there is no key of this user"]),
    ];
    for (what, change, code, words) in table {
        edited(what, change);
        for dry_run in [true, false] {
            let output = import(&sandbox, if dry_run { &["--dry-run"] } else { &[] }).fails(*code, "nothing was imported: ");
            for words in *words {
                let notes = output.stderr.lines().filter(|line| !line.starts_with("error: ") && !line.starts_with("hint: "));
                assert_eq!(notes.filter(|line| line.contains(words)).count(), 1, "{words} in {}", output.stderr);
            }
            assert!(!output.stderr.contains(secret) && !output.stderr.contains("plain"), "{}", output.stderr);
        }
        edited(what, &|_| {});
    }
    assert_eq!(sandbox.library(Options::default()).count_users().unwrap(), 0);

    for (arguments, words) in [
        (&["user", "import", "users.json"][..], "the pepper of the service is missing"),
        (&["user", "import", "users.json", "--no-pepper", "--data", "data.json"], ""),
        (&["user", "import", "pepper", "--no-pepper"], "the users are not JSON (line 1, column 1)"),
        (
            &["user", "import", "users.json", "--no-pepper", "--data", "data.json", "--keys", "users.json"],
            "the keys are malformed",
        ),
        (&["user", "import", "users.json", "--no-pepper", "--data", "data.json", "--keys", "pepper"], "the keys are not JSON"),
        (&["user", "import", "users.json", "--no-pepper", "--admin", "eve"], "'eve' is to be an administrator"),
    ] {
        let output = sandbox.vault(arguments).run().ends(2);
        assert!(output.stderr.contains(words), "{words} in {}", output.stderr);
    }
    assert_eq!(sandbox.library(Options::default()).count_users().unwrap(), 0);
}

#[test]
fn other_ways_to_write_an_export_are_read() {
    let sandbox = Sandbox::new();
    let mut made = exported(&sandbox);
    let when = now() - 60_000;
    made["users"][0]["failed_attempts"] = json!({ "$numberInt": "5" });
    made["users"][0]["last_failed_attempt_time"] = json!({ "$date": { "$numberLong": when.to_string() } });
    let until = jiff::Timestamp::from_millisecond(when as i64 + 600_000).unwrap().to_string();
    // As older versions write it.
    made["users"][2]["lockout_until"] = json!({ "$date": until.replace('Z', "+0000") });
    made["users"][2]["two_factor_enabled"] = json!(true);
    made["users"][0]["unknown"] = json!([{ "a": null }]);
    // By name, and in capital digits.
    made["data"][0].as_object_mut().unwrap().remove("user_id");
    made["data"][0]["username"] = json!("ann");
    made["data"][0]["encrypted_value"] = json!(made["data"][0]["encrypted_value"].as_str().unwrap().to_uppercase());
    sandbox.write("users.json", serde_json::to_string_pretty(&made["users"]).unwrap());
    sandbox.write("data.json", made["data"].to_string());
    let run = sandbox.vault(&["user", "import", "-", "--data", "data.json", "--keys", "keys.json"]);
    let users = fs::read(sandbox.path("work/users.json")).unwrap();
    run.env("PEPPER", made["pepper"].as_str().unwrap()).stdin(users).run().ok();
    let ann = show(&sandbox, "ann");
    assert!((800..=840).contains(&ann["locked_seconds"].as_u64().unwrap()) && ann["records"] == 2, "{ann}");
    let long = show(&sandbox, "long");
    assert!(long["locked_seconds"].as_u64().unwrap() > 500 && long["second_factor"] == true, "{long}");
    assert_eq!(proof(&sandbox, "ann", "StrongP@ssw0rd1!", &peppers(made["pepper"].as_str())), Proof::Stale);
}

#[test]
fn two_copies_with_users_are_joined() {
    let sandbox = with_users();
    add(&sandbox, &["Dora"]);
    add(&sandbox, &["Emil"]);
    let before = user(&sandbox, "ann").session;
    for copy in ["base", "theirs"] {
        fs::copy(sandbox.file(), sandbox.path("work").join(copy)).unwrap();
    }
    let theirs = |arguments: &[&str], input: &str| {
        sandbox.vault(&[&["user"], arguments, &["--vault", "theirs"]].concat()).stdin(input).run().ok();
    };
    let new = "An0ther password!";
    sandbox.vault(&["user", "passwd", "ann"]).stdin(new).run().ok();
    add(&sandbox, &["bob"]);
    sandbox.vault(&["user", "rm", "dora"]).run().ok();
    sandbox.vault(&["user", "role", "emil", "reader"]).run().ok();
    theirs(&["disable", "ann"], "");
    theirs(&["add", "carl"], PASSWORD);
    theirs(&["role", "dora", "reader"], "");
    theirs(&["rm", "emil"], "");
    let file = sandbox.file();
    sandbox.vault(&["merge", "base", file.to_str().unwrap(), "theirs"]).run().ok();
    sandbox.vault(&["check"]).run().ok();
    let names: Vec<Value> = {
        let list = sandbox.vault(&["user", "list", "--format", "json"]).run().ok().json();
        list["users"].as_array().unwrap().iter().map(|user| user["name"].clone()).collect()
    };
    assert_eq!(names, ["Ann", "bob", "carl", "root"]);
    // What either side took from ann is gone, and so are the sessions of both.
    let ann = user(&sandbox, "ann");
    assert!(ann.disabled.is_some() && ann.session > before + 1, "{} {before}", ann.session);
    assert_eq!(proof(&sandbox, "ann", new, &peppers(None)), Proof::Right);

    // Two new passwords: which one counts is told as a conflict, and nothing else is lost.
    for copy in ["base", "theirs"] {
        fs::copy(sandbox.file(), sandbox.path("work").join(copy)).unwrap();
    }
    sandbox.vault(&["user", "passwd", "bob"]).stdin("B0b's password!").run().ok();
    theirs(&["passwd", "bob"], "Their passw0rd!");
    let merged = sandbox.vault(&["merge", "base", file.to_str().unwrap(), "theirs"]).run();
    assert!(merged.stderr.contains("1 records of keys and settings"), "{}", merged.stderr);
    sandbox.vault(&["check"]).run().ok();
    assert_eq!(proof(&sandbox, "bob", "B0b's password!", &peppers(None)), Proof::Right);
}
