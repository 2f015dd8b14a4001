//! `vault token`

use vault::Options;
use vault::format::token::Rights;
use vault::vault::{PresentedToken, TokenRefused};

use crate::sandbox::{Sandbox, fields, now};

const DAY: u64 = 86_400_000;

#[track_caller]
fn create(sandbox: &Sandbox, arguments: &[&str]) -> String {
    sandbox.vault(&[&["token", "create"], arguments].concat()).run().ok().text()
}

/// What the vault says of a token that is presented from an address.
fn grant(sandbox: &Sandbox, token: &str, from: Option<&str>, time: u64) -> Result<vault::vault::Grant, TokenRefused> {
    let presented = PresentedToken::parse(token).unwrap_or_else(|| panic!("`{token}` is no token"));
    let vault = sandbox.library(Options::default());
    vault
        .grant(&vault.refresh().unwrap(), &presented, from.map(|from| from.parse().unwrap()), time)
        .unwrap()
        .map(|(_, grant)| grant)
}

fn id_of(token: &str) -> &str {
    token.split('_').nth(1).unwrap()
}

#[test]
fn what_is_printed_is_a_token_and_nothing_else() {
    let sandbox = Sandbox::new();
    let token = create(&sandbox, &["--label", "app"]);
    let granted = grant(&sandbox, &token, None, now()).unwrap();
    assert!([Rights::READ, Rights::WRITE, Rights::ROTATE].into_iter().all(|right| granted.has(right)));
    assert!(!granted.has(Rights::ADMIN) && granted.is_unlimited());

    let made = sandbox.vault(&["token", "create", "--label", "json", "--read-only", "--format", "json"]).run().ok();
    let shown = made.json();
    let token = shown["token"].as_str().unwrap();
    assert_eq!((shown["id"].as_str().unwrap(), &shown["rights"]), (id_of(token), &serde_json::json!(["read"])));
    let granted = grant(&sandbox, token, None, now()).unwrap();
    assert!(granted.has(Rights::READ) && !granted.has(Rights::WRITE) && !granted.has(Rights::ROTATE));
    assert!(made.stderr.contains(id_of(token)) && !made.stderr.contains(token), "{}", made.stderr);
}

#[test]
fn a_token_is_limited_as_it_was_asked_for() {
    let sandbox = Sandbox::new();
    let limits = "--label ci --read --rotate --category db --category ci --environment prod --environment= --name app/* --network 10.0.0.0/8 --uses 3";
    let token = create(&sandbox, &limits.split(' ').collect::<Vec<_>>());
    let granted = grant(&sandbox, &token, Some("10.1.2.3"), now()).unwrap();
    assert!(granted.has(Rights::READ) && granted.has(Rights::ROTATE) && !granted.has(Rights::WRITE));
    let category = |name| vault::Category::parse(name).unwrap();
    assert!(granted.covers_category(Some(&category("db"))) && granted.covers_category(Some(&category("ci"))));
    assert!(!granted.covers_category(Some(&category("web"))) && !granted.covers_category(None));
    let id = |name, environment: Option<&str>| vault::EntryId {
        environment: environment.map(|text| vault::Environment::parse(text).unwrap()),
        name: vault::Name::parse(name).unwrap(),
    };
    assert!(granted.covers(&id("app/x", None)) && granted.covers(&id("app/x", Some("prod"))));
    assert!(!granted.covers(&id("app/x", Some("dev"))) && !granted.covers(&id("web", None)));
    assert_eq!(grant(&sandbox, &token, Some("11.0.0.1"), now()).unwrap_err(), TokenRefused::Elsewhere);

    let shown = sandbox.vault(&["token", "show", "ci", "--format", "json"]).run().ok().json();
    let names = "version id label state rights categories environments names networks uses_left created expires revoked";
    assert_eq!(fields(&shown).join(" "), names);
    assert_eq!(shown["environments"], serde_json::json!(["prod", ""]));
    assert_eq!((&shown["uses_left"], &shown["state"]), (&serde_json::json!(3), &serde_json::json!("good")));
    let text = sandbox.vault(&["token", "show", id_of(&token)]).run().ok().text();
    for words in ["rights", "read, rotate", "db, ci", "prod, (none)", "app/*", "10.0.0.0/8"] {
        assert!(text.contains(words), "{words} in {text}");
    }
}

#[test]
fn the_end_of_a_token_is_a_time_from_now_or_a_date() {
    let sandbox = Sandbox::new();
    for option in ["--expires", "--ttl"] {
        let before = now();
        let token = create(&sandbox, &["--label", "a", option, "30d"]);
        assert!(grant(&sandbox, &token, None, before + 30 * DAY - 1).is_ok());
        assert_eq!(grant(&sandbox, &token, None, now() + 30 * DAY).unwrap_err(), TokenRefused::Expired);
    }
    let token = create(&sandbox, &["--label", "b", "--expires", "2999-01-31"]);
    let shown = sandbox.vault(&["token", "show", id_of(&token), "--format", "json"]).run().ok().json();
    assert_eq!(shown["expires"], "2999-02-01T00:00:00Z");
    for (when, words) in [("2001-01-01", "expired already"), ("0s", "expired already"), ("soon", "neither a duration nor a date")]
    {
        sandbox.vault(&["token", "create", "--label", "c", "--expires", when]).run().fails(2, words);
    }
    assert_eq!(sandbox.library(Options::default()).tokens().unwrap().len(), 3);
}

#[test]
fn no_listing_and_no_log_has_what_proves_a_token() {
    let sandbox = Sandbox::new();
    let token = create(&sandbox, &["--label", "app", "--admin"]);
    let secret = crate::remote::proof(&token).to_owned();
    sandbox.vault(&["token", "revoke", "app"]).run().ok();
    for arguments in [
        &["token", "list"][..],
        &["token", "ls", "--format", "json"],
        &["token", "show", "app"],
        &["token", "show", "app", "--format", "json"],
        &["audit", "show", "--format", "json"],
    ] {
        let output = sandbox.vault(arguments).run().ok();
        assert!(!output.text().contains(&secret) && !output.stderr.contains(&secret), "{arguments:?}");
        assert!(output.text().contains("app"), "{arguments:?}: {}", output.text());
    }
    let log = sandbox.vault(&["audit", "show", "--format", "json"]).run().ok().text();
    assert!(log.contains("\"token-create\"") && log.contains("\"token-revoke\"") && log.contains(id_of(&token)), "{log}");
    assert!(!String::from_utf8_lossy(&sandbox.bytes()).contains(&secret));
    // A token that is given where its id belongs is not said again.
    sandbox.vault(&["token", "show", &token]).run().fails(3, "there is no token").stderr.find(&secret).ok_or(()).unwrap_err();
}

#[test]
fn tokens_are_revoked_by_id_or_label_all_or_none() {
    let sandbox = Sandbox::new();
    let [one, two, third] = ["one", "two", "two"].map(|label| create(&sandbox, &["--label", label]));
    sandbox.vault(&["token", "revoke", "two"]).run().fails(6, "several tokens");
    sandbox.vault(&["token", "revoke", "one", "none"]).run().fails(3, "there is no token");
    sandbox.vault(&["token", "revoke", "0123456789abcdef"]).run().fails(3, "0123456789abcdef");
    assert!(grant(&sandbox, &one, None, now()).is_ok());
    let said = sandbox.vault(&["token", "revoke", "one", id_of(&two)]).run().ok();
    assert!(said.stdout.is_empty() && said.stderr.matches("was revoked").count() == 2, "{}", said.stderr);
    for token in [&one, &two] {
        assert_eq!(grant(&sandbox, token, None, now()).unwrap_err(), TokenRefused::Revoked);
    }
    assert!(grant(&sandbox, &third, None, now()).is_ok());
    let again = sandbox.vault(&["token", "revoke", "one"]).run().ok();
    assert!(again.stderr.contains("had been revoked already"), "{}", again.stderr);

    let states = |arguments: &[&str]| -> Vec<String> {
        let listed = sandbox.vault(&[arguments, &["--format", "json"]].concat()).run().ok().json();
        let tokens = listed["tokens"].as_array().unwrap().iter();
        tokens.map(|token| format!("{} {}", token["label"].as_str().unwrap(), token["state"].as_str().unwrap())).collect()
    };
    assert_eq!(states(&["token", "list"]), ["one revoked", "two revoked", "two good"]);
    assert_eq!(states(&["token", "list", "--good"]), ["two good"]);
}

#[test]
fn a_token_that_cannot_be_is_not_made() {
    let sandbox = Sandbox::new();
    for (arguments, words) in [
        (&["--label", ""][..], "a label of 1 to 512 bytes"),
        (&["--label", "a", "--admin", "--category", "ci"], "not limited to some entries"),
        (&["--label", "a", "--network", "10.0.0.0/99"], "a network is written like"),
        (&["--label", "a", "--name", "[a"], "the pattern of a token is malformed"),
        (&["--label", "a", "--category", "a\nb"], "category"),
    ] {
        sandbox.vault(&[&["token", "create"], arguments].concat()).run().fails(2, words);
    }
    sandbox.vault(&["token", "create"]).run().fails(2, "");
    sandbox.vault(&["token", "create", "--label", "a", "--uses", "0"]).run().fails(2, "");
    assert!(sandbox.library(Options::default()).tokens().unwrap().is_empty());

    sandbox.write("part.key", [7; 32]);
    sandbox.vault(&["key", "add", "--label", "part", "--key-file", "part.key", "--only", "category:ci"]).run().ok();
    let limited = |arguments: &[&str]| sandbox.vault(arguments).arg("--key-file").arg("part.key").run();
    limited(&["token", "create", "--label", "a"]).fails(12, "");
    create(&sandbox, &["--label", "b"]);
    limited(&["token", "revoke", "b"]).fails(12, "");
}
