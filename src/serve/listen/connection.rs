//! What becomes of a connection: a handshake, and the protocol, with limits on both.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::{CONNECTION, HeaderValue};
use axum::http::{Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};
use tokio::time::timeout;
use tower::Service as _;

use super::Stream;
use super::addresses::Counted;
use super::timed::{Beginning, Timed};
use crate::serve::Server;
use crate::serve::limits::Peer;
use crate::serve::tls::Tls;

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

/// A connection that was accepted, for as long as it may be there.
pub(super) struct Connection {
    pub(super) server: Arc<Server>,
    pub(super) router: Router,
    pub(super) peer: Peer,
    pub(super) draining: watch::Receiver<bool>,
    pub(super) _counted: Counted,
    pub(super) _permit: OwnedSemaphorePermit,
}

impl Connection {
    /// Serves it. Each kind is in a box of its own: a task takes the room of the largest that it may become, and a connection behind TLS is several times a
    /// plain one.
    pub(super) async fn begin(self, stream: Stream, tls: Option<Arc<Tls>>) {
        match (stream, tls) {
            (Stream::Unix(stream), _) => Box::pin(self.serve(stream)).await,
            (Stream::Tcp(stream), None) => Box::pin(self.serve(stream)).await,
            (Stream::Tcp(stream), Some(tls)) => Box::pin(self.serve_behind(tls, stream)).await,
        }
    }

    async fn serve_behind(self, tls: Arc<Tls>, stream: TcpStream) {
        let handshake = timeout(self.server.settings.handshake_timeout, tls.acceptor().accept(stream)).await;
        if let Ok(Ok(stream)) = handshake {
            Box::pin(self.serve(stream)).await;
        }
    }

    async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(mut self, mut stream: S) {
        let _counted = self.server.metrics.connection();
        let limit = self.server.settings.header_timeout;
        let (router, peer) = (self.router.clone(), self.peer);
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let answer = (head_of(&request) <= HEAD).then(|| {
                let mut request = request.map(Body::new);
                request.extensions_mut().insert(peer);
                router.clone().call(request)
            });
            async move {
                match answer {
                    Some(answer) => answer.await,
                    None => Ok(too_large()),
                }
            }
        });
        let beginning = tokio::select! {
            biased;
            beginning = timeout(limit, Beginning::read(&mut stream)) => beginning,
            _ = self.draining.wait_for(|draining| *draining) => return,
        };
        let Ok(Ok(beginning)) = beginning else { return };
        if beginning.is_empty() {
            return;
        }
        if beginning.is_http_2() {
            let (tell, idle) = oneshot::channel();
            let stream = TokioIo::new(Timed::new(stream, beginning, limit * 2).with_idle(IDLE, tell));
            let connection = http2().serve_connection(stream, service);
            Box::pin(self.until_ended(connection, async move { idle.await.is_ok() })).await;
        } else {
            let stream = TokioIo::new(Timed::new(stream, beginning, limit * 2));
            let connection = http1(limit).serve_connection(stream, service);
            self.until_ended(connection, std::future::pending()).await;
        }
    }

    /// Until the connection has ended, or is to end.
    async fn until_ended(mut self, connection: impl GracefulConnection, idle: impl Future<Output = bool>) {
        let (mut connection, mut idle) = (std::pin::pin!(connection), std::pin::pin!(idle));
        let is_to_end = tokio::select! {
            biased;
            // Whatever a connection ends with is the client's to see, and no failure of the server.
            _ = connection.as_mut() => false,
            _ = self.draining.wait_for(|draining| *draining) => true,
            true = &mut idle => true,
        };
        if is_to_end {
            // What is under way is answered; it is said that nothing more is.
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

/// How many bytes the head of a request has, as far as it still can be told. Of HTTP/1.1 hyper may have read twice of what it was told: it looks only
/// when its buffer is full.
fn head_of(request: &hyper::Request<Incoming>) -> usize {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    target + request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len()).sum::<usize>()
}

fn too_large() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

fn http1(limit: Duration) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limit).max_buf_size(HEAD).max_headers(HEADERS);
    builder
}

fn http2() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_send_buf_size(UNSENT)
        .max_pending_accept_reset_streams(GIVEN_UP)
        .max_local_error_reset_streams(GIVEN_UP)
        .max_header_list_size(HEAD as u32);
    builder
}
