//! Sessions of users: JSON Web Tokens (RFC 7519) with HMAC-SHA-256 (RFC 7515, RFC 7518), of one shape and no other.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::CryptoError;
use crate::secret::SessionSecret;

/// The longest that is looked at, in bytes.
const LONGEST: usize = 4096;
/// How far the clock of whoever signed may be ahead, in seconds.
const AHEAD: u64 = 60;

/// What a session says; in seconds since 1970. Whatever else one might say is not understood, and refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// Whose it is.
    pub sub: String,
    /// When it ends.
    pub exp: u64,
    /// When it began.
    pub iat: u64,
    /// Tells it from others.
    pub jti: String,
    /// The number of the user's session.
    pub ses: u64,
}

/// The header that we write. The algorithm is not taken from it: it has to be this one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OurHeader<'a> {
    alg: &'a str,
    #[serde(default)]
    typ: Option<&'a str>,
}

/// What sessions are signed and verified with.
pub struct SessionKeys {
    signing: EncodingKey,
    verifying: DecodingKey,
    validation: Validation,
}

impl SessionKeys {
    /// The keys of a secret.
    pub fn new(secret: &SessionSecret) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_required_spec_claims(&["exp", "sub"]);
        // By our own clock, below: it is the one of everything else.
        validation.validate_exp = false;
        Self {
            signing: EncodingKey::from_secret(secret.expose()),
            verifying: DecodingKey::from_secret(secret.expose()),
            validation,
        }
    }

    /// A session as a client presents it.
    pub fn sign(&self, claims: &Claims) -> Result<Zeroizing<String>, CryptoError> {
        let text = jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &self.signing);
        text.map(Zeroizing::new).map_err(|_| CryptoError::Derivation)
    }

    /// What a session says, if it is one that was signed here, and holds at `now` (seconds), and for no longer than `lifetime`.
    pub fn verify(&self, token: &str, now: u64, lifetime: u64) -> Option<Claims> {
        if token.len() > LONGEST {
            return None;
        }
        let header = header_of(token)?;
        let header: OurHeader<'_> = serde_json::from_slice(&header).ok()?;
        if header.alg != "HS256" || header.typ.is_some_and(|kind| kind != "JWT") {
            return None;
        }
        let claims = jsonwebtoken::decode::<Claims>(token, &self.verifying, &self.validation).ok()?.claims;
        let holds =
            claims.exp > now && claims.iat <= now.saturating_add(AHEAD) && claims.exp.saturating_sub(claims.iat) <= lifetime;
        holds.then_some(claims)
    }
}

/// The header, if the token has three parts, none of them empty, and two objects (RFC 7519, section 7.2): an array of the right values is none, though
/// it would be taken for one.
fn header_of(token: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    let (header, rest) = token.split_once('.')?;
    let (claims, signature) = rest.split_once('.')?;
    if signature.is_empty() || signature.contains('.') {
        return None;
    }
    let [header, claims] = [header, claims].map(|part| base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).ok());
    claims?.starts_with(b"{").then_some(header?).filter(|header| header.starts_with(b"{"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use hmac::{Hmac, Mac};

    use super::*;

    const SECRET: &[u8] = b"jwt-secret-for-tests-0123456789ab";
    const NOW: u64 = 1_760_000_000;

    fn keys() -> SessionKeys {
        SessionKeys::new(&SessionSecret::new(SECRET.to_vec().into()))
    }

    fn claims() -> Claims {
        Claims { sub: "ann".to_owned(), exp: NOW + 3600, iat: NOW, jti: "1".to_owned(), ses: 0 }
    }

    /// Signed with the secret, whatever stands in it.
    fn signed(header: &str, claims: &str, secret: &[u8]) -> String {
        let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let tag = <Hmac<sha2::Sha256> as hmac::digest::KeyInit>::new_from_slice(secret).unwrap();
        let tag = tag.chain_update(text.as_bytes()).finalize().into_bytes();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag))
    }

    fn holds(token: &str) -> bool {
        keys().verify(token, NOW, 3600).is_some()
    }

    const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
    const CLAIMS: &str = r#"{"sub":"ann","exp":1760003600,"iat":1760000000,"jti":"1","ses":0}"#;

    #[test]
    fn a_session_returns_until_it_ends() {
        let keys = keys();
        let token = keys.sign(&claims()).unwrap();
        assert_eq!(keys.verify(&token, NOW, 3600), Some(claims()));
        assert_eq!(keys.verify(&token, NOW + 3599, 3600), Some(claims()));
        assert_eq!(keys.verify(&token, NOW + 3600, 3600), None);
        assert_eq!(keys.verify(&token, NOW - 61, 3600), None);
        assert_eq!(keys.verify(&token, NOW, 3599), None);
        assert!(holds(&signed(HEADER, CLAIMS, SECRET)) && holds(&signed(r#"{"alg":"HS256"}"#, CLAIMS, SECRET)));
        let other = SessionKeys::new(&SessionSecret::new(b"another secret of thirty-two byte".to_vec().into()));
        assert_eq!(other.verify(&token, NOW, 3600), None);
    }

    #[test]
    fn no_header_but_ours() {
        for header in [
            r#"{"alg":"none","typ":"JWT"}"#,
            r#"{"alg":"None"}"#,
            r#"{"alg":"nOnE"}"#,
            r#"{"alg":"NONE"}"#,
            r#"{"alg":""}"#,
            r#"{"alg":null}"#,
            r#"{"alg":["HS256"]}"#,
            r#"{"alg":"hs256"}"#,
            r#"{"alg":"HS256 "}"#,
            r#"{"alg":"HS384"}"#,
            r#"{"alg":"HS512"}"#,
            r#"{"alg":"RS256"}"#,
            r#"{"alg":"PS256"}"#,
            r#"{"alg":"ES256"}"#,
            r#"{"alg":"EdDSA"}"#,
            r#"{"alg":"HS256","alg":"none"}"#,
            r#"{"alg":"none","alg":"HS256"}"#,
            r#"{"typ":"JWT"}"#,
            r#"{"alg":"HS256","typ":"at+jwt"}"#,
            r#"{"alg":"HS256","typ":"JWE"}"#,
            r#"{"alg":"HS256","kid":"../../../../dev/null"}"#,
            r#"{"alg":"HS256","kid":"' OR 1=1 --"}"#,
            r#"{"alg":"HS256","kid":""}"#,
            r#"{"alg":"HS256","jku":"https://example.org/keys"}"#,
            r#"{"alg":"HS256","x5u":"https://example.org/key"}"#,
            r#"{"alg":"HS256","x5c":["MII"]}"#,
            r#"{"alg":"HS256","x5t":"x"}"#,
            r#"{"alg":"HS256","jwk":{"kty":"oct","k":"AAAA"}}"#,
            r#"{"alg":"HS256","crit":["exp"],"exp":1}"#,
            r#"{"alg":"HS256","b64":false,"crit":["b64"]}"#,
            r#"{"alg":"HS256","zip":"DEF"}"#,
            r#"{"alg":"HS256","enc":"A128GCM"}"#,
            r#"{"alg":"HS256","cty":"JWT"}"#,
            r#"["HS256"]"#,
            r#"["HS256","JWT"]"#,
            r#"["JWT","HS256"]"#,
            r#""HS256""#,
            r#"{"alg":"HS256"}{}"#,
            "",
            "{",
        ] {
            assert!(!holds(&signed(header, CLAIMS, SECRET)), "{header}");
        }
        // The library has the fields of a header in another order, and would refuse these by chance.
        assert_eq!(header_of(&signed(HEADER, CLAIMS, SECRET)).as_deref(), Some(HEADER.as_bytes()));
        let array = r#"["ann",1760003600,1760000000,"1",0]"#;
        for (header, claims) in [(r#"["HS256","JWT"]"#, CLAIMS), (HEADER, array), (array, array), (HEADER, ""), ("", CLAIMS)] {
            assert_eq!(header_of(&signed(header, claims, SECRET)), None, "{header} {claims}");
        }
        // Signed with what others might take for the key.
        for secret in [&b""[..], b"\0", b"none", b"secret", &[0; 32], HEADER.as_bytes()] {
            assert!(!holds(&signed(HEADER, CLAIMS, secret)));
        }
    }

    #[test]
    fn no_claims_but_ours() {
        for claims in [
            r#"{"exp":1760003600,"iat":1760000000,"jti":"1","ses":0}"#,
            r#"{"sub":"ann","iat":1760000000,"jti":"1","ses":0}"#,
            r#"{"sub":"ann","exp":1760003600,"jti":"1","ses":0}"#,
            r#"{"sub":"ann","exp":1760003600,"iat":1760000000,"ses":0}"#,
            r#"{"sub":"ann","exp":1760003600,"iat":1760000000,"jti":"1"}"#,
            r#"{"sub":"ann","exp":4102444800}"#,
            r#"{"sub":"ann","exp":4102444800,"iat":1760000000,"jti":"1","ses":0}"#,
            r#"{"sub":"ann","exp":"1760003600","iat":1760000000,"jti":"1","ses":0}"#,
            r#"{"sub":"ann","exp":1760003600.5,"iat":1760000000,"jti":"1","ses":0}"#,
            r#"{"sub":"ann","exp":-1,"iat":1760000000,"jti":"1","ses":0}"#,
            r#"{"sub":"ann","exp":18446744073709551616,"iat":1760000000,"jti":"1","ses":0}"#,
            r#"{"sub":"ann","exp":18446744073709551615,"iat":18446744073709551615,"jti":"1","ses":0}"#,
            r#"{"sub":"ann","exp":1760003600,"iat":1760000061,"jti":"1","ses":0}"#,
            r#"{"sub":"ann","exp":1760000000,"iat":1759999000,"jti":"1","ses":0}"#,
            r#"{"sub":["ann"],"exp":1760003600,"iat":1760000000,"jti":"1","ses":0}"#,
            r#"{"sub":null,"exp":1760003600,"iat":1760000000,"jti":"1","ses":0}"#,
            r#"{"sub":"eve","sub":"ann","exp":1760003600,"iat":1760000000,"jti":"1","ses":0}"#,
            r#"{"sub":"ann","exp":1,"exp":1760003600,"iat":1760000000,"jti":"1","ses":0}"#,
            r#"{"sub":"ann","exp":1760003600,"iat":1760000000,"jti":"1","ses":0,"nbf":1860000000}"#,
            r#"{"sub":"ann","exp":1760003600,"iat":1760000000,"jti":"1","ses":0,"aud":"another"}"#,
            r#"{"sub":"ann","exp":1760003600,"iat":1760000000,"jti":"1","ses":0,"iss":"another"}"#,
            r#"{"sub":"ann","exp":1760003600,"iat":1760000000,"jti":"1","ses":0,"role":"admin"}"#,
            r#"{"sub":"ann","exp":1760003600,"iat":1760000000,"jti":"1","ses":-1}"#,
            r#"["ann",1760003600,1760000000,"1"]"#,
            r#"["ann",1760003600,1760000000,"1",0]"#,
            "null",
            "",
        ] {
            assert!(!holds(&signed(HEADER, claims, SECRET)), "{claims}");
        }
    }

    #[test]
    fn one_spelling_of_each() {
        let token = signed(HEADER, CLAIMS, SECRET);
        let parts: Vec<&str> = token.split('.').collect();
        let [header, claims, tag] = parts[..] else { unreachable!() };
        let next = |text: &str| {
            // The last digit holds bits that decoders may ignore.
            let (rest, last) = text.split_at(text.len() - 1);
            format!("{rest}{}", char::from(last.as_bytes()[0] + 1))
        };
        let long = "A".repeat(1 << 20);
        for bad in [
            format!("{header}.{claims}."),
            format!("{header}.{claims}"),
            format!("{header}..{tag}"),
            format!(".{claims}.{tag}"),
            format!("{header}.{claims}.{tag}."),
            format!("{header}.{claims}.{tag}.{tag}"),
            format!("{header}.{claims}.{tag}="),
            format!("{header}=.{claims}.{tag}"),
            format!("{header}.{claims}.{tag} "),
            format!(" {token}"),
            format!("{token}\n"),
            format!("{header}.{claims}.{}", next(tag)),
            format!("{header}.{claims}.{}", &tag[..tag.len() - 1]),
            format!("{header}.{claims}.{}", "A".repeat(43)),
            format!("{long}.{claims}.{tag}"),
            format!("{header}.{claims}.{tag}{long}"),
            format!("{header}.{}.{tag}", next(claims)),
            token.replace('.', ".."),
            token.to_uppercase(),
            String::new(),
            ".".to_owned(),
            "..".to_owned(),
        ] {
            assert!(!holds(&bad), "{}", bad.chars().take(200).collect::<String>());
        }
        // Every byte of it counts.
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            assert!(!holds(&String::from_utf8(bytes).unwrap()), "{at}");
        }
    }
}
