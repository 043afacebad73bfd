//! One request of an HTTP/2 connection: its body on the way in, its answer on the way out.
//!
//! The visitor is told to send its body when the origin asks for it, and is not when the origin answers without. A visitor that takes its
//! request back takes the origin's connection along; a body that breaks off never looks complete. An answer that comes before the body has
//! ended is followed by a reset, a little later: visitors that still send lose an answer that the reset comes along with.
//!
//! Source: RFC 9113 §5.1, §8.1, RFC 9110 §10.1.1.

use std::error::Error as _;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONTENT_LENGTH, DATE, HeaderValue};
use http::{Request, Response, StatusCode};
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::body::EdgeBody;
use super::headers::expects_continue;
use super::interim::{Interim, Interims};
use super::limits::H2_LINGER_MAX;
use super::origins::Origins;
use super::request_body::Inbound;
use super::service::Visit;

/// The body of a request, as the visitor sends it.
#[derive(Debug)]
pub(super) struct StreamBody {
    stream: Option<RecvStream>,
    /// Takes a stream that nobody reads to its end.
    rest: Option<oneshot::Sender<RecvStream>>,
    /// What is left of a declared length.
    left: Option<u64>,
    data_done: bool,
    /// Told when the body is first wanted.
    wanted: Option<oneshot::Sender<()>>,
}

impl StreamBody {
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, h2::Error>>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(None) };
        let data = ready!(stream.poll_data(cx));
        if let Some(Ok(bytes)) = &data {
            self.left = self.left.map(|left| left.saturating_sub(bytes.len() as u64));
            // Fails only where the stream is gone, which the next poll tells.
            let _ = stream.flow_control().release_capacity(bytes.len());
        }
        Poll::Ready(data)
    }
}

impl Drop for StreamBody {
    fn drop(&mut self) {
        let unread = self.stream.take().filter(|stream| !stream.is_end_stream());
        if let (Some(stream), Some(rest)) = (unread, self.rest.take()) {
            // Nobody takes it where the request is over.
            let _ = rest.send(stream);
        }
    }
}

impl Body for StreamBody {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if let Some(wanted) = self.wanted.take() {
            // Nobody listens once the answer is on its way.
            let _ = wanted.send(());
        }
        if !self.data_done {
            if let Some(data) = ready!(self.poll_data(cx)) {
                return Poll::Ready(Some(data.map(Frame::data)));
            }
            self.data_done = true;
        }
        let Some(stream) = &mut self.stream else { return Poll::Ready(None) };
        let trailers = ready!(stream.poll_trailers(cx));
        Poll::Ready(trailers.transpose().map(|trailers| trailers.map(Frame::trailers)))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.as_ref().is_none_or(RecvStream::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// Answers one request; over when the answer is sent, or taken back.
pub(super) async fn serve<O: Origins>(
    visit: Arc<Visit<O>>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) {
    let (wanted, wants) = oneshot::channel();
    let expects = expects_continue(request.headers());
    let left = declared(&request);
    let wanted = expects.then_some(wanted);
    let (rest, unread) = oneshot::channel();
    let mut request = request.map(|stream| StreamBody {
        stream: Some(stream),
        rest: Some(rest),
        left,
        data_done: false,
        wanted,
    });
    let (interim, interims) = Interim::channel();
    request.extensions_mut().insert(interim);
    let handling = visit.handle(request.map(Inbound::Http2));
    let told = Told { wants, expects, interims };
    let Some(response) = answer(handling, &mut respond, told).await else { return };
    match send(response, respond).await {
        Ok(()) => linger(unread).await,
        Err(error) => tracing::debug!(%error, "an answer was not taken to its end"),
    }
}

/// Waits for the visitor to end a body that nobody reads; its window stays closed. What follows is a reset without an error (RFC 9113 §8.1).
async fn linger(unread: oneshot::Receiver<RecvStream>) {
    let ending = async {
        let Ok(mut stream) = unread.await else { return };
        while let Some(Ok(_)) = stream.data().await {}
    };
    // One that does not end it by then has had time to read its answer.
    let _ = timeout(H2_LINGER_MAX, ending).await;
}

fn declared(request: &Request<RecvStream>) -> Option<u64> {
    request.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// What is told to a visitor before its answer.
struct Told {
    wants: oneshot::Receiver<()>,
    /// The visitor waits for that.
    expects: bool,
    interims: Interims,
}

/// The final answer, after interim ones; `None` when the visitor takes its request back.
async fn answer(
    handling: impl Future<Output = Response<EdgeBody>>,
    respond: &mut SendResponse<Bytes>,
    told: Told,
) -> Option<Response<EdgeBody>> {
    let mut handling = pin!(handling);
    let Told { mut wants, mut expects, mut interims } = told;
    loop {
        tokio::select! {
            biased;
            // Those that came right before the answer go before it.
            Some(interim) = interims.recv() => respond.send_informational(interim).ok()?,
            response = handling.as_mut() => return Some(response),
            reset = poll_fn(|cx| respond.poll_reset(cx)) => {
                tracing::debug!(?reset, "a request was taken back");
                return None;
            }
            wanted = &mut wants, if expects => {
                expects = false;
                if wanted.is_ok() {
                    respond.send_informational(go_on()).ok()?;
                }
            }
        }
    }
}

fn go_on() -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::CONTINUE;
    response
}

async fn send(
    response: Response<EdgeBody>,
    mut respond: SendResponse<Bytes>,
) -> Result<(), h2::Error> {
    let (mut parts, body) = response.into_parts();
    // A recipient with a clock dates what has no date (RFC 9110 §6.6.1).
    if !parts.headers.contains_key(DATE)
        && let Ok(date) = HeaderValue::from_str(&httpdate::fmt_http_date(SystemTime::now()))
    {
        parts.headers.insert(DATE, date);
    }
    let is_complete = body.is_end_stream();
    if let Some(length) = body.size_hint().exact().filter(|_| !is_complete) {
        parts.headers.entry(CONTENT_LENGTH).or_insert_with(|| length.into());
    }
    match respond.send_response(Response::from_parts(parts, ()), is_complete) {
        Ok(_) if is_complete => Ok(()),
        Ok(stream) => pour(body, stream).await,
        Err(error) => {
            respond.send_reset(Reason::INTERNAL_ERROR);
            Err(error)
        }
    }
}

/// Sends a body frame by frame: the next one is asked for when the visitor has made room for the last.
async fn pour(body: EdgeBody, mut stream: SendStream<Bytes>) -> Result<(), h2::Error> {
    let mut body = pin!(body);
    loop {
        let frame = tokio::select! {
            biased;
            reset = poll_fn(|cx| stream.poll_reset(cx)) => return Err(reset?.into()),
            frame = poll_fn(|cx| body.as_mut().poll_frame(cx)) => frame,
        };
        let Some(frame) = frame else { return stream.send_data(Bytes::new(), true) };
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => return Err(give_up(stream, &error).await),
        };
        match frame.into_data() {
            Ok(data) => {
                let is_last = body.is_end_stream();
                if !data.is_empty() {
                    room(&mut stream).await?;
                }
                stream.send_data(data, is_last)?;
                if is_last {
                    return Ok(());
                }
            }
            Err(frame) => match frame.into_trailers() {
                Ok(trailers) => return stream.send_trailers(trailers),
                Err(frame) => tracing::trace!(?frame, "an unknown frame"),
            },
        }
    }
}

/// Tells the visitor that the answer broke off, for the reason that the origin gave, if it gave one. A reset throws away what waits to be
/// sent before it, so that goes first.
async fn give_up(mut stream: SendStream<Bytes>, error: &hyper::Error) -> h2::Error {
    if let Err(gone) = room(&mut stream).await {
        return gone;
    }
    sleep(H2_LINGER_MAX).await;
    let mut cause = error.source();
    let mut reason = None;
    while let Some(error) = cause {
        reason = reason.or_else(|| error.downcast_ref::<h2::Error>()?.reason());
        cause = error.source();
    }
    let reason = reason.unwrap_or(Reason::INTERNAL_ERROR);
    stream.send_reset(reason);
    reason.into()
}

/// Waits for the visitor to make room. The least is asked for: more would take it from the answers beside this one.
async fn room(stream: &mut SendStream<Bytes>) -> Result<(), h2::Error> {
    stream.reserve_capacity(1);
    poll_fn(|cx| {
        if let Poll::Ready(reset) = stream.poll_reset(cx) {
            return Poll::Ready(Err(reset?.into()));
        }
        while stream.capacity() == 0 {
            match ready!(stream.poll_capacity(cx)) {
                Some(granted) => drop(granted?),
                None => return Poll::Ready(Err(Reason::CANCEL.into())),
            }
        }
        Poll::Ready(Ok(()))
    })
    .await
}
