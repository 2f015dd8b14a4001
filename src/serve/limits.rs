//! How much one address or one credential may ask, and from where anything may be asked at all.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use axum::http::HeaderMap;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use ipnet::IpNet;

/// Wrong credentials from one address: so many at once, and one more each so many seconds. Three a minute never meet it, sixty do.
const WRONG_AT_ONCE: NonZeroU32 = NonZeroU32::new(20).expect("20 is not zero");
const WRONG_EVERY: Duration = Duration::from_secs(6);
/// Above so many addresses or credentials those that have their whole quota are forgotten.
pub const KEPT: usize = 10_000;

/// Who connected.
#[derive(Debug, Clone, Copy)]
pub enum Peer {
    /// Over the network.
    Address(SocketAddr),
    /// Over a Unix socket: this machine.
    Local,
}

impl Peer {
    /// The address, if there is one.
    pub fn ip(self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(address.ip().to_canonical()),
            Self::Local => None,
        }
    }
}

/// Where a client is: the peer, or whom a trusted proxy names.
pub fn client(peer: Peer, headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    let direct = peer.ip();
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    // Who connects over a Unix socket is on this machine, and as good as a proxy that is named.
    if trusted.is_empty() || direct.is_some_and(|address| !is_trusted(&address)) {
        return direct;
    }
    let forwarded: Vec<&str> = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok()).collect();
    // From behind: what stands before the last one that is not trusted was written by whoever that is.
    let mut nearest = direct;
    for text in forwarded.join(",").rsplit(',') {
        let Ok(address) = text.trim().parse::<IpAddr>() else { break };
        let address = address.to_canonical();
        nearest = Some(address);
        if !is_trusted(&address) {
            return nearest;
        }
    }
    let real = headers.get("x-real-ip").and_then(|value| value.to_str().ok()).and_then(|text| text.trim().parse::<IpAddr>().ok());
    match (forwarded.is_empty(), real) {
        (true, Some(real)) => Some(real.to_canonical()),
        _ => nearest,
    }
}

/// What limits go by: who has an address of IPv6 has at least the 64 bits behind its network.
pub fn group(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        address => address,
    }
}

/// Limits of rates.
pub struct Limits {
    wrong: DefaultKeyedRateLimiter<Option<IpAddr>>,
    by_address: Option<DefaultKeyedRateLimiter<Option<IpAddr>>>,
    by_credential: Option<DefaultKeyedRateLimiter<String>>,
}

impl Limits {
    /// Limits of requests a second: of one address, and of one credential; `None`: as many as come.
    pub fn new(by_address: Option<NonZeroU32>, by_credential: Option<NonZeroU32>) -> Self {
        Self {
            wrong: RateLimiter::keyed(quota(WRONG_AT_ONCE, WRONG_EVERY)),
            by_address: by_address.map(|rate| RateLimiter::keyed(Quota::per_second(rate))),
            by_credential: by_credential.map(|rate| RateLimiter::keyed(Quota::per_second(rate))),
        }
    }

    /// Counts a wrong credential, or an attempt that may be one. `Err`: after how many seconds the next is heard.
    pub fn wrong(&self, from: Option<IpAddr>) -> Result<(), u64> {
        check(&self.wrong, &from.map(group))
    }

    /// Counts a request of an address.
    pub fn address(&self, from: Option<IpAddr>) -> Result<(), u64> {
        self.by_address.as_ref().map_or(Ok(()), |limiter| check(limiter, &from.map(group)))
    }

    /// Counts a request of a credential.
    pub fn credential(&self, name: &str) -> Result<(), u64> {
        self.by_credential.as_ref().map_or(Ok(()), |limiter| check(limiter, &name.to_owned()))
    }
}

/// So many at once, and one more each so often.
pub fn quota(at_once: NonZeroU32, every: Duration) -> Quota {
    // There is none only for no time at all.
    Quota::with_period(every).map_or(Quota::per_hour(at_once), |quota| quota.allow_burst(at_once))
}

/// Counts one against a limiter. `Err`: after how many seconds the next is heard.
pub fn check<K: std::hash::Hash + Eq + Clone>(limiter: &DefaultKeyedRateLimiter<K>, key: &K) -> Result<(), u64> {
    if limiter.len() > KEPT {
        limiter.retain_recent();
    }
    limiter.check_key(key).map_err(|not_until| not_until.wait_time_from(DefaultClock::default().now()).as_secs() + 1)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn sixty_wrong_ones_are_too_many_and_three_are_not() {
        let limits = Limits::new(None, None);
        let from = |text: &str| Some(text.parse().unwrap());
        assert!((0..3).all(|_| limits.wrong(from("10.0.0.1")).is_ok()));
        let refused = (0..60).filter(|_| limits.wrong(from("10.0.0.2")).is_err()).count();
        assert!((39..=40).contains(&refused), "{refused}");
        // Somebody else is not kept out by that.
        assert!(limits.wrong(from("10.0.0.3")).is_ok() && limits.wrong(None).is_ok());
        let refused = (0..60).filter(|last| limits.wrong(from(&format!("2001:db8::{last:x}"))).is_err()).count();
        assert!((39..=40).contains(&refused), "addresses of one network are one: {refused}");
        let wait = limits.wrong(from("10.0.0.2")).unwrap_err();
        assert!((1..=7).contains(&wait), "{wait}");
    }

    #[test]
    fn only_a_trusted_proxy_names_the_client() {
        let headers = |list: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in list {
                headers.append(*name, value.parse().unwrap());
            }
            headers
        };
        let peer = |text: &str| Peer::Address(SocketAddr::new(text.parse().unwrap(), 1));
        let ip = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let forwarded = headers(&[("x-forwarded-for", "1.1.1.1, 2.2.2.2"), ("x-forwarded-for", "10.0.0.9")]);
        assert_eq!(client(peer("10.0.0.1"), &forwarded, &trusted), ip("2.2.2.2"));
        assert_eq!(client(peer("9.9.9.9"), &forwarded, &trusted), ip("9.9.9.9"));
        assert_eq!(client(peer("10.0.0.1"), &forwarded, &[]), ip("10.0.0.1"));
        assert_eq!(client(peer("10.0.0.1"), &headers(&[("x-real-ip", "3.3.3.3")]), &trusted), ip("3.3.3.3"));
        assert_eq!(client(peer("10.0.0.1"), &headers(&[("x-forwarded-for", "nonsense")]), &trusted), ip("10.0.0.1"));
        assert_eq!(client(Peer::Local, &headers(&[("x-real-ip", "3.3.3.3")]), &trusted), ip("3.3.3.3"));
        assert_eq!(client(Peer::Local, &headers(&[("x-real-ip", "3.3.3.3")]), &[]), None);
        assert_eq!(client(peer("::ffff:9.9.9.9"), &headers(&[]), &trusted), ip("9.9.9.9"));
    }
}
