//! Users of the server: their records behind the seal, their names, their sessions, and the exports of another service.

use vault::crypto::{Claims, SessionKeys};
use vault::format::user::{Datum, MAX_FAILURES, MAX_STRANGERS, SignIn, Strangers, User};
use vault::secret::{OtpKey, SessionSecret};
use vault::vault::users::{UserName, code, read_export};

const NOW: u64 = 1_760_000_000;

pub fn users(data: &[u8]) {
    if let Ok(user) = User::decode(data) {
        assert!(user.encode().as_slice() == data && user.fits() && !user.ring.is_empty(), "what was read is written otherwise");
    }
    if let Ok(state) = SignIn::decode(data) {
        assert!(state.encode().as_slice() == data && state.failures.len() <= MAX_FAILURES);
        assert!(state.locked_for(NOW * 1000).is_none_or(|seconds| seconds <= 900));
    }
    if let Ok(strangers) = Strangers::decode(data) {
        assert!(strangers.encode().as_slice() == data && strangers.0.len() <= MAX_STRANGERS);
    }
    if let Ok(datum) = Datum::decode(data) {
        assert!(datum.encode().as_slice() == data && !datum.kind.is_empty());
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let name = UserName::of(text);
        assert!(UserName::of(name.as_str()) == name && UserName::of(&format!(" {text}.")) == name, "{text:?}");
        session(text);
    }
    let lines: Vec<&[u8]> = data.splitn(3, |byte| *byte == b'\n').collect();
    // What cannot be read is told of, and nothing else happens.
    let _ = read_export(data, None);
    if let [users, data, keys] = lines[..] {
        let _ = read_export(users, Some((data, keys)));
    }
    if (10..=64).contains(&data.len()) {
        let digits = code(&OtpKey::new(data.to_vec().into()), NOW);
        assert!(digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_digit()));
    }
}

fn session(text: &str) {
    let keys = SessionKeys::new(&SessionSecret::new(vec![7; 32].into()));
    // Nobody signs by chance.
    assert!(keys.verify(text, NOW, 3600).is_none(), "{text}");
    let claims = Claims { sub: text.to_owned(), exp: NOW + 9, iat: NOW, jti: "1".to_owned(), ses: text.len() as u64 };
    let token = keys.sign(&claims).unwrap();
    let read = keys.verify(&token, NOW, 3600);
    assert!(read == Some(claims) || token.len() > 4096, "{text:?}");
}
