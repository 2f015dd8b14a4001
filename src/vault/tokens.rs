//! API tokens: what a client of the server proves itself with, and what it may do. A token is random, so that its verifier need not be slow.

use std::collections::BTreeSet;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ipnet::IpNet;
use zeroize::Zeroizing;

use super::error::{Error, ErrorKind, Result};
use super::together::Changes;
use super::{Seen, Vault};
use crate::crypto::{self, keys};
use crate::format::header::{hex, unhex};
use crate::format::token::{Rights, Token};
use crate::name::{Category, EntryId, Environment};
use crate::secret::{SecretValue, TokenSecret};
use crate::store::{Snapshot, Walk};

/// What tokens begin with, so that people and scanners know one when they see it.
const PREFIX: &str = "vault_";

/// Which token: what stands before its secret, and what it is listed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId([u8; 8]);

impl TokenId {
    /// Reads the 16 hex digits of an id.
    pub fn parse(text: &str) -> Option<Self> {
        unhex(text).ok().map(Self)
    }
}

impl std::fmt::Display for TokenId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

/// A token as a client presents it; not yet compared with anything.
pub struct PresentedToken {
    id: TokenId,
    secret: TokenSecret,
}

impl PresentedToken {
    /// Reads `vault_` ‖ 16 hex digits ‖ `_` ‖ 43 characters of base64url.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let mut bytes = Zeroizing::new([0; 32]);
        let exact =
            secret.len() == 43 && URL_SAFE_NO_PAD.decode_slice(secret, bytes.as_mut_slice()).is_ok_and(|length| length == 32);
        exact.then_some(())?;
        Some(Self { id: TokenId::parse(id)?, secret: TokenSecret::new(bytes) })
    }

    /// The token that it says to be.
    pub fn id(&self) -> TokenId {
        self.id
    }
}

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenRefused {
    /// There is no such token, or its secret is another one.
    Unknown,
    /// It was revoked.
    Revoked,
    /// Its time is over.
    Expired,
    /// All its uses are used up.
    UsedUp,
    /// It is not good from this address.
    Elsewhere,
}

impl TokenRefused {
    /// What people call it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::UsedUp => "used up",
            Self::Elsewhere => "elsewhere",
        }
    }
}

impl Token {
    /// Why it is good for no request at a time, from wherever; `None`: it is good.
    pub fn refused(&self, now: u64) -> Option<TokenRefused> {
        match (self.revoked, self.expires, self.uses) {
            (Some(_), _, _) => Some(TokenRefused::Revoked),
            (_, Some(expires), _) if expires <= now => Some(TokenRefused::Expired),
            (_, _, Some(0)) => Some(TokenRefused::UsedUp),
            _ => None,
        }
    }
}

/// What a client may do.
#[derive(Debug, Clone)]
pub struct Grant {
    rights: Rights,
    categories: Option<BTreeSet<String>>,
    environments: Option<BTreeSet<String>>,
    names: Option<Vec<glob::Pattern>>,
}

impl Grant {
    /// Everything.
    pub fn all() -> Self {
        Self { rights: Rights::ADMIN, categories: None, environments: None, names: None }
    }

    /// Nothing.
    pub fn none() -> Self {
        Self { rights: Rights::default(), ..Self::all() }
    }

    /// Reading, of everything that a key opens by itself.
    pub fn reading() -> Self {
        Self { rights: Rights::READ, ..Self::all() }
    }

    fn of(token: &Token) -> Result<Self> {
        let set = |list: &Option<Vec<String>>| list.as_ref().map(|list| list.iter().cloned().collect());
        let patterns = |list: &Vec<String>| list.iter().map(|text| pattern(text)).collect::<Result<Vec<_>>>();
        Ok(Self {
            rights: token.rights,
            categories: set(&token.categories),
            environments: set(&token.environments),
            names: token.names.as_ref().map(patterns).transpose()?,
        })
    }

    /// Whether it holds this right at all.
    pub fn has(&self, right: Rights) -> bool {
        self.rights.include(right) || self.rights.include(Rights::ADMIN)
    }

    /// Whether it is good for entries of this name and environment, whatever their category.
    pub fn covers(&self, id: &EntryId) -> bool {
        self.environments.as_ref().is_none_or(|set| set.contains(id.environment_text()))
            && self.names.as_ref().is_none_or(|patterns| patterns.iter().any(|pattern| pattern.matches(id.name.as_str())))
    }

    /// Whether it is good for entries of this category.
    pub fn covers_category(&self, category: Option<&Category>) -> bool {
        match (&self.categories, category) {
            (None, _) => true,
            (Some(set), Some(category)) => set.contains(category.as_str()),
            (Some(_), None) => false,
        }
    }

    /// Whether it is good for every entry that there is and may be.
    pub fn is_unlimited(&self) -> bool {
        self.categories.is_none() && self.environments.is_none() && self.names.is_none()
    }
}

impl Vault {
    /// What a presented token grants, in the state of a look at the file, from an address (`None`: this machine) at a time. A token with a number of uses is not counted here:
    /// [`Changes::use_token`].
    pub fn grant(
        &self,
        seen: &Seen,
        presented: &PresentedToken,
        from: Option<IpAddr>,
        now: u64,
    ) -> Result<std::result::Result<(Token, Grant), TokenRefused>> {
        let id = presented.id.to_string();
        let content = self.read_at(seen, &mut |state| self.system_get_in(state.as_ref(), Token::RECORD, &id))?;
        let token = content.map(|content| Token::decode(&content)).transpose()?;
        // For an id that there is not something is compared as well, so that ids are not found by time.
        let expected = token.as_ref().map_or([0; 32], |token| token.verifier);
        let proved = crypto::same(&keys::token_verifier(&presented.secret, &self.id, &presented.id.0), &expected);
        let Some(token) = token.filter(|_| proved) else { return Ok(Err(TokenRefused::Unknown)) };
        if let Some(refused) = token.refused(now) {
            return Ok(Err(refused));
        }
        if !is_within(token.networks.as_deref(), from)? {
            return Ok(Err(TokenRefused::Elsewhere));
        }
        Grant::of(&token).map(|grant| Ok((token, grant)))
    }

    /// All tokens, the revoked ones too, by their ids.
    pub fn tokens(&self) -> Result<Vec<(TokenId, Token)>> {
        let mut tokens = Vec::new();
        self.system_range(Token::RECORD, &mut |name, content| {
            let id = TokenId::parse(name).ok_or(crate::format::FormatError::Malformed("a token has no token's name"))?;
            tokens.push((id, Token::decode(&content)?));
            Ok(Walk::Continue(()))
        })?;
        tokens.sort_by_key(|(_, token)| token.created);
        Ok(tokens)
    }

    /// Reads every token, and refuses one that is not what it should be.
    pub(super) fn check_tokens(&self, snapshot: &dyn Snapshot) -> Result<()> {
        self.system_range_in(snapshot, Token::RECORD, &mut |_, content| Ok(Token::decode(&content).map(|_| Walk::Continue(()))?))
    }

    /// A token.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none.
    pub fn token(&self, id: TokenId) -> Result<Token> {
        let content = self.system_get(Token::RECORD, &id.to_string())?.ok_or_else(|| no_token(id))?;
        Ok(Token::decode(&content)?)
    }

    /// Makes a token; what proves its possession is returned here and never again.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for a token that is good for nothing, or whose limits are not well-formed.
    pub fn create_token(&self, token: Token, now: u64) -> Result<(TokenId, SecretValue)> {
        let mut made = None;
        self.change_together(now, &mut |changes| made = Some(changes.create_token(token.clone())))?;
        made.unwrap_or_else(|| Err(Error::new(ErrorKind::Internal, "internal", "a change was not made")))
    }

    /// Revokes a token. Returns whether it was good until now.
    pub fn revoke_token(&self, id: TokenId, now: u64) -> Result<bool> {
        let mut made = None;
        self.change_together(now, &mut |changes| made = Some(changes.revoke_token(id)))?;
        made.unwrap_or_else(|| Err(Error::new(ErrorKind::Internal, "internal", "a change was not made")))
    }
}

impl Changes<'_> {
    /// As [`Vault::create_token`].
    pub fn create_token(&mut self, token: Token) -> Result<(TokenId, SecretValue)> {
        check(&token)?;
        let (id, secret) = (crypto::random()?, TokenSecret::new(crypto::random_key()?));
        let mut token = token;
        (token.verifier, token.created) = (keys::token_verifier(&secret, &self.vault().id, &id), self.now());
        let id = TokenId(id);
        self.system_put(Token::RECORD, &id.to_string(), &token.encode())?;
        let mut text = Zeroizing::new(format!("{PREFIX}{id}_").into_bytes());
        text.reserve_exact(43);
        let mut digits = Zeroizing::new([0; 43]);
        if URL_SAFE_NO_PAD.encode_slice(secret.expose(), digits.as_mut_slice()) != Ok(43) {
            return Err(Error::new(ErrorKind::Internal, "internal", "32 bytes are 43 digits"));
        }
        text.extend_from_slice(digits.as_slice());
        Ok((id, SecretValue::new(text)))
    }

    /// As [`Vault::revoke_token`].
    pub fn revoke_token(&mut self, id: TokenId) -> Result<bool> {
        let content = self.system_get(Token::RECORD, &id.to_string())?.ok_or_else(|| no_token(id))?;
        let mut token = Token::decode(&content)?;
        if token.revoked.is_some() {
            return Ok(false);
        }
        token.revoked = Some(self.now());
        self.system_put(Token::RECORD, &id.to_string(), &token.encode())?;
        Ok(true)
    }

    /// Uses a token up by one, if its uses are counted. Returns whether it was good.
    pub fn use_token(&mut self, id: TokenId) -> Result<bool> {
        let content = self.system_get(Token::RECORD, &id.to_string())?.ok_or_else(|| no_token(id))?;
        let mut token = Token::decode(&content)?;
        if token.refused(self.now()).is_some() {
            return Ok(false);
        }
        let Some(left) = token.uses.and_then(|uses| uses.checked_sub(1)) else { return Ok(true) };
        token.uses = Some(left);
        self.system_put(Token::RECORD, &id.to_string(), &token.encode())?;
        Ok(true)
    }
}

/// Whether an address is in one of these networks.
pub fn is_within(networks: Option<&[String]>, address: Option<IpAddr>) -> Result<bool> {
    let Some(networks) = networks else { return Ok(true) };
    let Some(address) = address.map(|address| address.to_canonical()) else { return Ok(false) };
    for network in networks {
        if parse_network(network)?.contains(&address) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A network such as `10.0.0.0/8`, or a single address.
pub fn parse_network(text: &str) -> Result<IpNet> {
    let single = text.parse::<IpAddr>().map(IpNet::from);
    text.parse::<IpNet>().or(single).map_err(|_| Error::usage("a network is written like 10.0.0.0/8 or 2001:db8::/32"))
}

fn pattern(text: &str) -> Result<glob::Pattern> {
    glob::Pattern::new(text).map_err(|error| Error::usage(format!("the pattern of a token is malformed: {}", error.msg)))
}

fn check(token: &Token) -> Result<()> {
    if token.rights.is_empty() {
        return Err(Error::usage("a token that may do nothing is none").hint("say what it may do: read, write, rotate or admin"));
    }
    if !token.fits() {
        return Err(Error::usage("a token has a label of 1 to 512 bytes, and at most 64 items in each list of its scope"));
    }
    for category in token.categories.iter().flatten() {
        Category::parse(category).map_err(|error| Error::name("category", error))?;
    }
    for environment in token.environments.iter().flatten().filter(|text| !text.is_empty()) {
        Environment::parse(environment).map_err(|error| Error::name("environment", error))?;
    }
    for text in token.networks.iter().flatten() {
        parse_network(text)?;
    }
    let grant = Grant::of(token)?;
    if grant.has(Rights::ADMIN) && !grant.is_unlimited() {
        return Err(Error::usage("a token of an administrator is not limited to some entries: it can make others for the rest"));
    }
    Ok(())
}

fn no_token(id: TokenId) -> Error {
    Error::new(ErrorKind::NotFound, "not_found", format!("there is no token '{id}'")).hint("`vault token list` shows them")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::name::Name;
    use crate::store::memory::MemoryStore;
    use crate::vault::Options;

    fn vault() -> Vault {
        Vault::over(Arc::new(MemoryStore::new()), Options::default()).unwrap()
    }

    fn new(change: impl FnOnce(&mut Token)) -> Token {
        let mut token = Token::new("ci".to_owned(), [0; 32], 0);
        token.rights = Rights::READ;
        change(&mut token);
        token
    }

    fn refusal(vault: &Vault, text: &SecretValue, from: Option<&str>, now: u64) -> Option<TokenRefused> {
        let presented = PresentedToken::parse(std::str::from_utf8(text.expose()).unwrap()).unwrap();
        vault.grant(&vault.refresh().unwrap(), &presented, from.map(|text| text.parse().unwrap()), now).unwrap().err()
    }

    #[test]
    fn a_token_is_good_until_it_is_not() {
        let vault = vault();
        let (id, text) = vault.create_token(new(|token| token.expires = Some(100)), 1).unwrap();
        assert_eq!(text.expose().len(), PREFIX.len() + 16 + 1 + 43);
        assert_eq!(refusal(&vault, &text, None, 99), None);
        assert_eq!(refusal(&vault, &text, None, 100), Some(TokenRefused::Expired));
        let mut other = text.expose().to_vec();
        let last = other.len() - 2;
        other[last] = if other[last] == b'A' { b'B' } else { b'A' };
        assert_eq!(refusal(&vault, &SecretValue::new(other.into()), None, 1), Some(TokenRefused::Unknown));
        assert!(vault.revoke_token(id, 5).unwrap() && !vault.revoke_token(id, 6).unwrap());
        assert_eq!(refusal(&vault, &text, None, 6), Some(TokenRefused::Revoked));
        assert_eq!(vault.token(id).unwrap().revoked, Some(5));
        assert_eq!(vault.tokens().unwrap().len(), 1);
    }

    #[test]
    fn uses_are_counted() {
        let vault = vault();
        let (id, text) = vault.create_token(new(|token| token.uses = Some(2)), 1).unwrap();
        let mut left = Vec::new();
        vault.change_together(2, &mut |changes| left = (0..3).map(|_| changes.use_token(id).unwrap()).collect()).unwrap();
        assert_eq!(left, [true, true, false]);
        assert_eq!(refusal(&vault, &text, None, 3), Some(TokenRefused::UsedUp));
        // Also what expires between the look at it and its use.
        let (id, _) = vault.create_token(new(|token| (token.uses, token.expires) = (Some(1), Some(5))), 1).unwrap();
        vault.change_together(5, &mut |changes| left = vec![changes.use_token(id).unwrap()]).unwrap();
        assert_eq!((left, vault.token(id).unwrap().uses), (vec![false], Some(1)));
    }

    #[test]
    fn networks_are_those_of_the_peer() {
        let vault = vault();
        let networks = vec!["10.0.0.0/8".to_owned(), "::1".to_owned()];
        let (_, text) = vault.create_token(new(|token| token.networks = Some(networks)), 1).unwrap();
        for good in ["10.1.2.3", "::1", "::ffff:10.9.9.9"] {
            assert_eq!(refusal(&vault, &text, Some(good), 2), None, "{good}");
        }
        for bad in [None, Some("11.0.0.1"), Some("::2")] {
            assert_eq!(refusal(&vault, &text, bad, 2), Some(TokenRefused::Elsewhere), "{bad:?}");
        }
    }

    #[test]
    fn scopes_are_those_of_the_entry() {
        let token = new(|token| {
            token.categories = Some(vec!["db".to_owned()]);
            token.environments = Some(vec![String::new(), "prod".to_owned()]);
            token.names = Some(vec!["app/*".to_owned()]);
        });
        let grant = Grant::of(&token).unwrap();
        let id = |environment: &str, name: &str| EntryId {
            environment: Environment::parse(environment).ok(),
            name: Name::parse(name).unwrap(),
        };
        assert!(grant.covers(&id("", "app/x")) && grant.covers(&id("prod", "app/x")));
        assert!(!grant.covers(&id("dev", "app/x")) && !grant.covers(&id("", "other")));
        let category = |text: &str| Category::parse(text).ok();
        assert!(grant.covers_category(category("db").as_ref()));
        assert!(!grant.covers_category(category("ci").as_ref()) && !grant.covers_category(None));
        assert!(grant.has(Rights::READ) && !grant.has(Rights::WRITE) && Grant::all().has(Rights::ROTATE));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let vault = vault();
        for token in [
            new(|token| token.rights = Rights::default()),
            new(|token| token.names = Some(vec!["[".to_owned()])),
            new(|token| token.networks = Some(vec!["10.0.0.0/99".to_owned()])),
            new(|token| token.categories = Some(vec![String::new()])),
            new(|token| (token.rights, token.names) = (Rights::ADMIN, Some(vec!["*".to_owned()]))),
        ] {
            assert_eq!(vault.create_token(token, 1).err().unwrap().kind(), ErrorKind::Usage);
        }
        for text in ["", "vault_", "vault_0011223344556677_", "vault_001122334455667_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"]
        {
            assert!(PresentedToken::parse(text).is_none(), "{text}");
        }
        // 43 characters hold two bits more than 32 bytes: they must be zero, or one token would have four spellings.
        assert!(PresentedToken::parse(&format!("vault_0011223344556677_{}A", "A".repeat(42))).is_some());
        assert!(PresentedToken::parse(&format!("vault_0011223344556677_{}B", "A".repeat(42))).is_none());
    }
}
