//! What users cost: `cargo bench --bench users -- [--users N]`.
//!
//! How long it takes to verify a session and look its user up, and to replace the master key of a vault with many users, beside a copy of the file that is
//! written and synced. Nothing here passes or fails: it measures.
#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::time::Instant;

use vault::crypto::{Claims, SessionKeys};
use vault::format::user::{PasswordVerifier, Role};
use vault::secret::SessionSecret;
use vault::vault::users::{NewPassword, NewUser, UserName};
use vault::vault::{NewSlot, Rotation};
use vault::{Credential, Locked, Options, RawKey, Vault};

/// How many sessions are verified.
const SESSIONS: u32 = 20_000;

fn key() -> RawKey {
    RawKey::new([7; 32].into())
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let users = arguments.iter().position(|argument| argument == "--users").and_then(|at| arguments.get(at + 1)?.parse().ok());
    let users: u64 = users.unwrap_or(100_000);
    let place = std::env::temp_dir().join(format!("vault-bench-users-{}", std::process::id()));
    fs::create_dir_all(&place).unwrap();
    let path = place.join("a.vault");
    let now = 1_760_000_000_000;
    Vault::create(&path, &[("key".to_owned(), NewSlot::RawKey(key()))], now).unwrap();
    let open = || Locked::open(&path).unwrap().unlock(&Credential::RawKey(key()), Options::default()).unwrap();
    let mut vault = open();
    for first in (0..users).step_by(10_000) {
        let mut made = Ok(());
        let filled = vault.change_together(now, &mut |changes| {
            made = (first..users.min(first + 10_000)).try_for_each(|number| {
                let verifier = PasswordVerifier::Argon2id { m: 47_104, t: 1, p: 1, salt: [1; 16], hash: [2; 32] };
                let password = NewPassword { verifier, pepper: None };
                let (name, email) = (format!("user{number}"), format!("user{number}@example.org"));
                changes.add_user(&NewUser { name, email, role: Role::Writer, password }, u64::MAX)
            });
        });
        filled.unwrap();
        made.unwrap();
    }
    let bytes = fs::metadata(&path).unwrap().len();
    println!("{users} users in {:.1} MB", bytes as f64 / 1e6);

    let keys = SessionKeys::new(&SessionSecret::new(vec![9; 32].into()));
    let seconds = now / 1000;
    let tokens: Vec<_> = (0..100)
        .map(|number| {
            let sub = format!("user{}", number * users / 100);
            let (_, user) = vault.user(&UserName::of(&sub)).unwrap();
            let claims = Claims { sub, exp: seconds + 3600, iat: seconds, jti: number.to_string(), ses: user.session };
            keys.sign(&claims).unwrap()
        })
        .collect();
    let seen = vault.refresh().unwrap();
    let start = Instant::now();
    for number in 0..SESSIONS {
        let claims = keys.verify(&tokens[number as usize % tokens.len()], seconds, 3600).unwrap();
        let (_, user) = vault.user_at(&seen, &UserName::of(&claims.sub)).unwrap().unwrap();
        assert_eq!(user.session, claims.ses);
    }
    println!("a session: {:.1} µs", start.elapsed().as_secs_f64() * 1e6 / f64::from(SESSIONS));

    // The reference: as many bytes, read, written and synced.
    let start = Instant::now();
    let mut copied = Vec::new();
    File::open(&path).unwrap().read_to_end(&mut copied).unwrap();
    let mut copy = File::create(place.join("copy")).unwrap();
    copy.write_all(&copied).unwrap();
    copy.sync_all().unwrap();
    let reference = start.elapsed().as_secs_f64();
    let start = Instant::now();
    vault.rotate_keys(Rotation::Master, now + 1).unwrap();
    let took = start.elapsed().as_secs_f64();
    println!("a new master key: {took:.2} s, {:.1} × a copy of the file that is synced ({reference:.2} s)", took / reference);
    open().user(&UserName::of("user0")).unwrap();
    fs::remove_dir_all(&place).unwrap();
}
