//! A stream with limits on how long it may take to say something, and to take what is said.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep};

/// What a client of HTTP/2 says first (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A stream on which the first bytes must come in time, until it is clear which protocol they are of. HTTP/1.1 then has its own limits; on HTTP/2 something
/// must be said now and then. And what is sent must be taken in time.
pub(super) struct Timed<S> {
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
    pub(super) fn new(stream: S, limit: Duration, idle_limit: Duration, tell: oneshot::Sender<()>) -> Self {
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
}
