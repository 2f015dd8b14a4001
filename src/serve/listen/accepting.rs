//! The loop that accepts, with a limit on how many connections there are.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::sync::{Semaphore, watch};
use tokio::time::sleep;

use super::Bound;
use super::addresses::Addresses;
use super::connection::Connection;
use crate::serve::Server;
use crate::serve::tls::Tls;

/// What all listeners share.
#[derive(Clone)]
pub struct Accepting {
    /// The server.
    pub server: Arc<Server>,
    /// Its routes.
    pub router: Router,
    /// Room for connections.
    pub room: Arc<Semaphore>,
    /// How many of them each address has.
    pub addresses: Arc<Addresses>,
    /// Handshakes, for what comes over the network.
    pub tls: Option<Arc<Tls>>,
}

impl Accepting {
    /// Accepts until the server drains.
    pub async fn accept_all(self, bound: Bound, mut draining: watch::Receiver<bool>) {
        loop {
            let permit = tokio::select! {
                permit = self.room.clone().acquire_owned() => permit,
                _ = draining.wait_for(|draining| *draining) => return,
            };
            let Ok(permit) = permit else { return };
            let accepted = tokio::select! {
                accepted = bound.accept() => accepted,
                _ = draining.wait_for(|draining| *draining) => return,
            };
            match accepted {
                Ok((stream, peer)) => {
                    // One too many is closed.
                    let Some(counted) = self.addresses.admit(peer) else { continue };
                    let connection = Connection {
                        server: self.server.clone(),
                        router: self.router.clone(),
                        peer,
                        draining: draining.clone(),
                        _counted: counted,
                        _permit: permit,
                    };
                    tokio::spawn(connection.begin(stream, self.tls.clone()));
                }
                Err(error) => {
                    // Out of descriptors or memory: others have to go first.
                    if error
                        .raw_os_error()
                        .is_some_and(|code| [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::ENOBUFS].contains(&code))
                    {
                        self.server.lines.failure("accept", &error.to_string());
                        sleep(Duration::from_millis(100)).await;
                    }
                }
            }
        }
    }
}
