//! Where the server listens: on which sockets, how they are opened, and who reaches them.

mod accepting;
mod addresses;
mod connection;
mod timed;

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

pub use accepting::Accepting;
pub use addresses::Addresses;

use super::limits::Peer;
use crate::process;

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// On an address and a port.
    Tcp(SocketAddr),
    /// On a Unix socket, for this user alone.
    Unix(PathBuf),
    /// On what systemd has opened (`LISTEN_FDS`).
    Systemd,
}

impl Listen {
    /// Reads `127.0.0.1:9000`, `localhost:9000`, `unix:/path` or `systemd`.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "systemd" {
            return Ok(Self::Systemd);
        }
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err("there is no path behind unix:".to_owned()) } else { Ok(Self::Unix(path.into())) };
        }
        let mut addresses = text.to_socket_addrs().map_err(|error| format!("'{text}' is no address with a port: {error}"))?;
        addresses.next().map(Self::Tcp).ok_or_else(|| format!("'{text}' is no address"))
    }
}

impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Systemd => f.write_str("systemd"),
        }
    }
}

/// A socket that listens.
pub enum Bound {
    /// On an address.
    Tcp(TcpListener),
    /// On a path.
    Unix(UnixListener, Option<PathBuf>),
}

impl Bound {
    /// Opens what is asked for.
    pub fn open(listen: &Listen) -> io::Result<Vec<Self>> {
        match listen {
            Listen::Tcp(address) => {
                let listener = std::net::TcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                Ok(vec![Self::Tcp(TcpListener::from_std(listener)?)])
            }
            Listen::Unix(path) => Ok(vec![Self::Unix(bind_private(path)?, Some(path.clone()))]),
            Listen::Systemd => process::passed_sockets()?.into_iter().map(Self::adopt).collect(),
        }
    }

    fn adopt(descriptor: OwnedFd) -> io::Result<Self> {
        use rustix::net::AddressFamily;
        match rustix::net::sockopt::socket_domain(&descriptor)? {
            AddressFamily::UNIX => {
                let listener = std::os::unix::net::UnixListener::from(descriptor);
                listener.set_nonblocking(true)?;
                Ok(Self::Unix(UnixListener::from_std(listener)?, None))
            }
            _ => {
                let listener = std::net::TcpListener::from(descriptor);
                listener.set_nonblocking(true)?;
                Ok(Self::Tcp(TcpListener::from_std(listener)?))
            }
        }
    }

    /// Whether only this machine reaches it.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(listener) => listener.local_addr().is_ok_and(|address| address.ip().to_canonical().is_loopback()),
            Self::Unix(..) => true,
        }
    }

    /// How it is reached.
    pub fn name(&self, is_tls: bool) -> String {
        match self {
            Self::Tcp(listener) => {
                let address = listener.local_addr().map_or_else(|_| "?".to_owned(), |address| address.to_string());
                format!("{}://{address}", if is_tls { "https" } else { "http" })
            }
            Self::Unix(_, path) => {
                path.as_ref().map_or_else(|| "unix:(passed)".to_owned(), |path| format!("unix:{}", path.display()))
            }
        }
    }

    async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok((Stream::Tcp(stream), Peer::Address(peer)))
            }
            Self::Unix(listener, _) => Ok((Stream::Unix(listener.accept().await?.0), Peer::Local)),
        }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if let Self::Unix(_, Some(path)) = self {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// A socket that only this user reaches. One that nobody listens on any more makes room.
fn bind_private(path: &Path) -> io::Result<UnixListener> {
    if path.symlink_metadata().is_ok_and(|there| there.file_type().is_socket()) {
        match std::os::unix::net::UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path)?,
            _ => return Err(io::Error::new(io::ErrorKind::AddrInUse, "somebody listens there")),
        }
    }
    // Bound under another name, so that nobody reaches it before its mode is what it should be.
    let mut hidden = path.file_name().map(std::ffi::OsString::from).unwrap_or_default();
    hidden.push(format!(".{}", std::process::id()));
    let hidden = path.with_file_name(hidden);
    let listener = std::os::unix::net::UnixListener::bind(&hidden)?;
    let placed =
        std::fs::set_permissions(&hidden, std::fs::Permissions::from_mode(0o600)).and_then(|()| std::fs::rename(&hidden, path));
    if placed.is_err() {
        let _ = std::fs::remove_file(&hidden);
    }
    placed?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

/// A connection.
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}
