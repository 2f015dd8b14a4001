//! A stream with limits on how long it may take to say something, and to take what is said.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep};

/// What a client of HTTP/2 says first (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The first bytes of a connection: as many as it takes to see which protocol they are of.
pub(super) struct Beginning {
    bytes: [u8; PREFACE.len()],
    length: usize,
    /// How many of them were handed on.
    given: usize,
}

impl Beginning {
    /// Reads them.
    pub(super) async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Self> {
        let mut beginning = Self { bytes: [0; PREFACE.len()], length: 0, given: 0 };
        loop {
            let read = stream.read(&mut beginning.bytes[beginning.length..]).await?;
            beginning.length += read;
            if read == 0 || beginning.is_http_2() || !PREFACE.starts_with(beginning.bytes()) {
                return Ok(beginning);
            }
        }
    }

    /// Of HTTP/2, if they are all of its preface; of HTTP/1.1 otherwise.
    pub(super) fn is_http_2(&self) -> bool {
        self.bytes() == PREFACE
    }

    /// Whether the client went without a word.
    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Hands on what fits. Returns whether that was the last of it.
    fn give(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let end = self.length.min(self.given + buffer.remaining());
        buffer.put_slice(&self.bytes[self.given..end]);
        self.given = end;
        end == self.length
    }
}

/// A stream whose beginning was read, on which what is sent must be taken in time. HTTP/1.1 has its own limits for what is said; on HTTP/2 something must be
/// said now and then.
pub(super) struct Timed<S> {
    stream: S,
    /// What was read and not handed on.
    beginning: Option<Beginning>,
    /// What came of reading on after it, for whoever reads next.
    failed: Option<io::Error>,
    /// Until when the client has to take something of what is sent; `None` while it does.
    stalled: Option<Pin<Box<Sleep>>>,
    /// How long it may take that.
    limit: Duration,
    /// Since when nothing was said, where that has a limit.
    idle: Option<Idle>,
}

struct Idle {
    since: Instant,
    timer: Pin<Box<Sleep>>,
    limit: Duration,
    /// Who is told first.
    tell: Option<oneshot::Sender<()>>,
}

impl Idle {
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

    /// It is ended with a word, and without one if that is not enough.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<()> {
        ready!(self.poll(context));
        if self.tell.take().is_none_or(|tell| tell.send(()).is_err()) {
            return Poll::Ready(());
        }
        self.since = Instant::now();
        self.timer.as_mut().reset(self.since + self.limit);
        self.poll(context)
    }
}

impl<S> Timed<S> {
    /// Each piece of what is sent must be taken in this time.
    pub(super) fn new(stream: S, beginning: Beginning, limit: Duration) -> Self {
        Self { stream, beginning: Some(beginning), failed: None, stalled: None, limit, idle: None }
    }

    /// If nothing is said for so long, somebody is told; if it then takes as long again, reading fails.
    pub(super) fn with_idle(self, limit: Duration, tell: oneshot::Sender<()>) -> Self {
        let idle = Idle { since: Instant::now(), timer: Box::pin(sleep(limit)), limit, tell: Some(tell) };
        Self { idle: Some(idle), ..self }
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
        let limit = self.limit;
        ready!(self.stalled.get_or_insert_with(|| Box::pin(sleep(limit))).as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Some(beginning) = &mut this.beginning {
            if beginning.give(buffer) {
                this.beginning = None;
                // With what has come after it: hyper makes room for a whole buffer more before it reads the rest of a head.
                if buffer.remaining() > 0
                    && let Poll::Ready(Err(error)) = Pin::new(&mut this.stream).poll_read(context, buffer)
                {
                    this.failed = Some(error);
                }
            }
            return Poll::Ready(Ok(()));
        }
        if let Some(error) = this.failed.take() {
            return Poll::Ready(Err(error));
        }
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        let Some(idle) = &mut this.idle else { return read };
        if read.is_ready() {
            idle.since = Instant::now();
            return read;
        }
        idle.poll_end(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
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
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    /// What a connection that begins so is told, and how its reading ends; who is at the other end says something `pings` times.
    fn silence(beginning: &'static [u8], pings: u32) -> (bool, io::Result<usize>, Duration) {
        // Its clock goes on by itself when nobody has anything to do.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (mut client, mut stream) = tokio::io::duplex(1024);
            let (tell, mut told) = oneshot::channel();
            client.write_all(beginning).await.unwrap();
            let read = Beginning::read(&mut stream).await.unwrap();
            let is_http_2 = read.is_http_2();
            let timed = Timed::new(stream, read, Duration::from_secs(2));
            let mut timed = if is_http_2 { timed.with_idle(Duration::from_millis(200), tell) } else { timed };
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
        let about = |milliseconds| Duration::from_millis(milliseconds)..Duration::from_millis(milliseconds + 5);
        assert!(about(400).contains(&took), "{took:?}");
        let (told, ended, took) = silence(PREFACE, 4);
        assert!(told && ended.is_err() && about(4 * 120 + 400).contains(&took), "{took:?}");
        // HTTP/1.1 has a limit of its own.
        let (told, ended, _) = silence(b"GET / HTTP/1.1\r\n", 0);
        assert!(!told && ended.is_ok_and(|length| length == 0));
    }

    /// Which protocol these pieces are of, one after the other, and what is read of them in buffers of this size.
    fn beginning(pieces: &'static [&'static [u8]], size: usize) -> (bool, Vec<Vec<u8>>) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (mut client, mut stream) = tokio::io::duplex(1024);
            let sending = tokio::spawn(async move {
                for piece in pieces {
                    client.write_all(piece).await.unwrap();
                    tokio::task::yield_now().await;
                }
            });
            let beginning = Beginning::read(&mut stream).await.unwrap();
            let is_http_2 = beginning.is_http_2();
            sending.await.unwrap();
            let mut timed = Timed::new(stream, beginning, Duration::from_secs(2));
            let mut reads = Vec::new();
            loop {
                let mut buffer = vec![0; size];
                match timed.read(&mut buffer).await.unwrap() {
                    0 => return (is_http_2, reads),
                    length => reads.push(buffer[..length].to_vec()),
                }
            }
        })
    }

    #[test]
    fn a_beginning_is_read_once_and_handed_on_with_what_follows() {
        const GET: &[u8] = b"GET /configs/some-key HTTP/1.1\r\nhost: x\r\n\r\n";
        assert_eq!(beginning(&[GET], 1024), (false, vec![GET.to_vec()]));
        let small: Vec<Vec<u8>> = [&GET[..10], &GET[10..20], &GET[20..30], &GET[30..40], &GET[40..]].map(<[u8]>::to_vec).into();
        assert_eq!(beginning(&[GET], 10), (false, small));
        let pieces: &[&[u8]] = &[b"P", b"RI * HTTP/2.0\r\n", b"\r\nSM\r\n\r\n", b"frames"];
        assert_eq!(beginning(pieces, 1024), (true, vec![pieces.concat()]));
        assert_eq!(beginning(&[b"PR", b"OPFIND / HTTP/1.1\r\n"], 1024), (false, vec![b"PROPFIND / HTTP/1.1\r\n".to_vec()]));
        assert_eq!(beginning(&[b"PRI"], 1024), (false, vec![b"PRI".to_vec()]));
        assert_eq!(beginning(&[], 1024), (false, Vec::new()));
    }
}
