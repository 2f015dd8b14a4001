//! How many connections each address has, and may have.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;
use prometheus_client::metrics::counter::Counter;

use crate::serve::Settings;
use crate::serve::limits::{Peer, group};

/// How many connections one address may have, unless the configuration says so.
const OF_ONE: usize = 1024;

/// How many connections each address has.
pub struct Addresses {
    most: usize,
    /// This machine may have as many as there is room for.
    spares_this_machine: bool,
    /// So may proxies, of whom many come.
    spared: Vec<IpNet>,
    count: Mutex<HashMap<IpAddr, usize>>,
    refused: Counter,
}

impl Addresses {
    /// None yet.
    pub fn new(settings: &Settings) -> Arc<Self> {
        Arc::new(Self {
            most: settings.max_connections_per_address.unwrap_or(OF_ONE),
            spares_this_machine: settings.max_connections_per_address.is_none(),
            spared: settings.trusted_proxies.clone(),
            count: Mutex::default(),
            refused: Counter::default(),
        })
    }

    /// How many connections were one too many.
    pub fn refused(&self) -> Counter {
        self.refused.clone()
    }

    fn count(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more connection, if it is not one too many.
    pub(super) fn admit(self: &Arc<Self>, peer: Peer) -> Option<Counted> {
        let address = peer.ip().filter(|address| !(self.spares_this_machine && address.is_loopback()));
        let Some(address) = address.filter(|address| !self.spared.iter().any(|network| network.contains(address))) else {
            return Some(Counted(None));
        };
        let address = group(address);
        let mut count = self.count();
        let of_one = count.entry(address).or_default();
        if *of_one >= self.most {
            self.refused.inc();
            return None;
        }
        *of_one += 1;
        Some(Counted(Some((self.clone(), address))))
    }
}

/// A connection of an address, for as long as this lives.
pub(super) struct Counted(Option<(Arc<Addresses>, IpAddr)>);

impl Drop for Counted {
    fn drop(&mut self) {
        let Some((addresses, address)) = &self.0 else { return };
        let mut count = addresses.count();
        if let Some(of_one) = count.get_mut(address) {
            *of_one -= 1;
            if *of_one == 0 {
                count.remove(address);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    #[test]
    fn one_address_has_so_many_connections_and_leaves_the_others_theirs() {
        let peer = |text: &str| Peer::Address(SocketAddr::new(text.parse().unwrap(), 1));
        let count = |addresses: &Arc<Addresses>, text: &str| {
            (0..OF_ONE + 5).map_while(|_| addresses.admit(peer(text))).collect::<Vec<_>>()
        };
        let trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
        let usual = Addresses::new(&Settings { trusted_proxies, ..Settings::default() });
        let kept = count(&usual, "192.0.2.1");
        assert_eq!((kept.len(), usual.refused().get()), (OF_ONE, 1));
        assert!(usual.admit(peer("192.0.2.2")).is_some() && usual.admit(Peer::Local).is_some());
        assert_eq!((count(&usual, "127.0.0.1").len(), count(&usual, "10.1.1.1").len()), (OF_ONE + 5, OF_ONE + 5));
        drop(kept);
        assert_eq!(count(&usual, "192.0.2.1").len(), OF_ONE);
        let said = Addresses::new(&Settings { max_connections_per_address: Some(3), ..Settings::default() });
        assert_eq!((count(&said, "127.0.0.1").len(), count(&said, "2001:db8::1").len()), (3, 3));
        assert!(said.count().is_empty());
    }
}
