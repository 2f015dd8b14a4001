//! Where the server listens, and the loop that accepts: with limits on how many connections there are and on how long each may take to say something.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use ipnet::IpNet;
use prometheus_client::metrics::counter::Counter;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::{Instant, Sleep, sleep, timeout};
use tower::Service as _;

use super::limits::{Peer, group};
use super::tls::Tls;
use super::{Server, Settings};
use crate::process;

/// What a client of HTTP/2 says first (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Most bytes of the head of a request.
const HEAD: usize = 64 << 10;
/// Most headers of a request.
const HEADERS: usize = 100;
/// Most streams of one connection of HTTP/2.
const STREAMS: u32 = 128;
/// How many bytes one stream, and one connection of HTTP/2, may send before somebody reads them.
const STREAM_WINDOW: u32 = 128 << 10;
const WINDOW: u32 = 1 << 20;
/// How many bytes of a response wait in a stream of HTTP/2 that does not take them.
const UNSENT: usize = 64 << 10;
/// How many streams may be begun and given up by a client, or by the server because of what it says, before the connection ends (CVE-2023-44487).
const GIVEN_UP: usize = 20;
/// How long nothing may be said on a connection of HTTP/2.
const IDLE: Duration = Duration::from_secs(60);
/// How many connections one address may have, unless the configuration says so.
const OF_ONE: usize = 1024;

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
    fn admit(self: &Arc<Self>, peer: Peer) -> Option<Counted> {
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
struct Counted(Option<(Arc<Addresses>, IpAddr)>);

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

struct Connection {
    server: Arc<Server>,
    router: Router,
    peer: Peer,
    draining: watch::Receiver<bool>,
    _counted: Counted,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    async fn begin(self, stream: Stream, tls: Option<Arc<Tls>>) {
        match (stream, tls) {
            (Stream::Unix(stream), _) => self.serve(stream).await,
            (Stream::Tcp(stream), None) => self.serve(stream).await,
            (Stream::Tcp(stream), Some(tls)) => {
                let handshake = timeout(self.server.settings.handshake_timeout, tls.acceptor().accept(stream)).await;
                if let Ok(Ok(stream)) = handshake {
                    self.serve(stream).await;
                }
            }
        }
    }

    async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(mut self, stream: S) {
        let _counted = self.server.metrics.connection();
        let limit = self.server.settings.header_timeout;
        let (router, peer) = (self.router.clone(), self.peer);
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer);
            router.clone().call(request)
        });
        let mut builder = Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(limit).max_buf_size(HEAD).max_headers(HEADERS);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_send_buf_size(UNSENT)
            .max_pending_accept_reset_streams(GIVEN_UP)
            .max_local_error_reset_streams(GIVEN_UP)
            .max_header_list_size(HEAD as u32);
        let (tell, mut idle) = oneshot::channel();
        let stream = TokioIo::new(Timed::new(stream, limit, IDLE, tell));
        let mut connection = std::pin::pin!(builder.serve_connection(stream, service));
        let is_to_end = tokio::select! {
            biased;
            // Whatever a connection ends with is the client's to see, and no failure of the server.
            _ = connection.as_mut() => false,
            _ = self.draining.wait_for(|draining| *draining) => true,
            Ok(()) = &mut idle => true,
        };
        if is_to_end {
            // What is under way is answered; it is said that nothing more is.
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

/// A stream on which the first bytes must come in time, until it is clear which protocol they are of. HTTP/1.1 then has its own limits; on HTTP/2 something
/// must be said now and then. And what is sent must be taken in time.
struct Timed<S> {
    stream: S,
    /// How many bytes of the preface have come, and until when the rest is waited for; `None` once it is decided.
    undecided: Option<(usize, Pin<Box<Sleep>>)>,
    /// Until when the client has to take something of what is sent; `None` while it does.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Of HTTP/2: since when nothing was said.
    idle: Option<Idle>,
    /// Who is told that it is idle.
    tell: Option<oneshot::Sender<()>>,
    limit: Duration,
    idle_limit: Duration,
}

struct Idle {
    since: Instant,
    timer: Pin<Box<Sleep>>,
    limit: Duration,
}

impl Idle {
    fn begin(limit: Duration) -> Self {
        Self { since: Instant::now(), timer: Box::pin(sleep(limit)), limit }
    }

    /// Ready when nothing has been said for long.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.timer.as_mut().poll(context).is_ready() {
            if self.since.elapsed() >= self.limit {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(self.since + self.limit);
        }
        Poll::Pending
    }
}

impl<S> Timed<S> {
    fn new(stream: S, limit: Duration, idle_limit: Duration, tell: oneshot::Sender<()>) -> Self {
        let undecided = Some((0, Box::pin(sleep(limit))));
        Self { stream, undecided, stalled: None, idle: None, tell: Some(tell), limit, idle_limit }
    }

    /// What came of an attempt to send: waiting has an end.
    fn sent<T>(&mut self, context: &mut Context<'_>, attempt: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if attempt.is_ready() {
            self.stalled = None;
            if let Some(idle) = &mut self.idle {
                idle.since = Instant::now();
            }
            return attempt;
        }
        let limit = self.limit * 2;
        ready!(self.stalled.get_or_insert_with(|| Box::pin(sleep(limit))).as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> Timed<S> {
    /// Reads what is of a protocol that is known.
    fn read_known(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let Some(idle) = &mut self.idle else { return read };
        if read.is_ready() {
            idle.since = Instant::now();
            return read;
        }
        ready!(idle.poll(context));
        match self.tell.take().map(|tell| tell.send(())) {
            // It is ended with a word, and without one if that is not enough.
            Some(Ok(())) => {
                *idle = Idle::begin(self.idle_limit);
                idle.poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
            }
            _ => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let Some((matched, deadline)) = &mut this.undecided else { return this.read_known(context, buffer) };
        let before = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(context, buffer) {
            Poll::Pending => {
                ready!(deadline.as_mut().poll(context));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            Poll::Ready(read) => {
                let (new, rest) = (&buffer.filled()[before..], &PREFACE[*matched..]);
                if new.len() < rest.len() && rest.starts_with(new) {
                    *matched += new.len();
                } else {
                    this.idle = new.starts_with(rest).then(|| Idle::begin(this.idle_limit));
                    this.undecided = None;
                }
                Poll::Ready(read)
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let attempt = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.sent(context, attempt)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let attempt = Pin::new(&mut self.stream).poll_flush(context);
        self.sent(context, attempt)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let attempt = Pin::new(&mut self.stream).poll_shutdown(context);
        self.sent(context, attempt)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let attempt = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.sent(context, attempt)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// What a connection that begins so is told, and how its reading ends; who is at the other end says something `pings` times.
    fn silence(beginning: &'static [u8], pings: u32) -> (bool, io::Result<usize>, Duration) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut client, stream) = tokio::io::duplex(1024);
            let (tell, mut told) = oneshot::channel();
            let mut timed = Timed::new(stream, Duration::from_secs(2), Duration::from_millis(200), tell);
            client.write_all(beginning).await.unwrap();
            tokio::spawn(async move {
                for _ in 0..pings {
                    sleep(Duration::from_millis(120)).await;
                    client.write_all(b"x").await.unwrap();
                }
                sleep(Duration::from_secs(1)).await;
            });
            let began = Instant::now();
            let mut buffer = [0; 256];
            loop {
                match timed.read(&mut buffer).await {
                    Ok(1..) => {}
                    ended => return (told.try_recv().is_ok(), ended, began.elapsed()),
                }
            }
        })
    }

    #[test]
    fn a_connection_of_http_2_on_which_nothing_is_said_ends_with_a_word_first() {
        let (told, ended, took) = silence(PREFACE, 0);
        assert!(told && ended.is_err_and(|error| error.kind() == io::ErrorKind::TimedOut), "{took:?}");
        assert!(took >= Duration::from_millis(390) && took < Duration::from_millis(900), "{took:?}");
        let (told, ended, took) = silence(PREFACE, 4);
        assert!(told && ended.is_err() && took >= Duration::from_millis(4 * 120 + 390), "{took:?}");
        // HTTP/1.1 has a limit of its own.
        let (told, ended, _) = silence(b"GET / HTTP/1.1\r\n", 0);
        assert!(!told && ended.is_ok_and(|length| length == 0));
    }

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
