//! Bodies on their way in: each within the operator's size and time, all requests together within what there is room for.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use http_body_util::BodyExt as _;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{Context, door, failed};
use crate::app::App;
use crate::error::{Code, Error};

/// How long a body that is refused goes on being read.
const DRAINING: Duration = Duration::from_secs(2);

/// Bytes that the room for bodies is counted in. The first of each body are not: there are no more of these than connections and
/// their streams.
const PIECE_BYTES: usize = 64 << 10;

/// Room for 256 MiB of bodies, whole or not. What is made of one takes more, so it is given back when the request is over.
static ROOM: Semaphore = Semaphore::const_new((256 << 20) / PIECE_BYTES);

/// Why a body was not taken in.
#[derive(Debug)]
enum Refusal {
    TooLarge,
    NoRoom,
    Broken(axum::Error),
}

/// Reads a body within the operator's size and time; its room is the request's until that is over.
pub(super) async fn body(app: &App, context: &Context, request: Request) -> Result<Bytes, Response> {
    let limits = &app.config().limits;
    let most = limits.max_request_size_mb << 20;
    let encoding = door::header(request.headers(), "content-encoding");
    if let Some(encoding) = encoding.filter(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        let shown: String = encoding.chars().take(100).collect();
        let error =
            Error::bad_request(format!("the header `content-encoding`: `{shown}`: send the body as it is, not compressed"));
        drain(request.into_body());
        return Err(failed(context, &error, Some(StatusCode::UNSUPPORTED_MEDIA_TYPE)));
    }
    let announced = door::header(request.headers(), "content-length").and_then(|value| value.parse::<u64>().ok());
    let mut body = request.into_body();
    let outcome = match announced.is_some_and(|length| length > most) {
        true => Ok(Err(Refusal::TooLarge)),
        false => {
            let reading = taken(&mut body, usize::try_from(most).unwrap_or(usize::MAX), &ROOM);
            tokio::time::timeout(Duration::from_secs(limits.body_timeout_s), reading).await
        }
    };
    let (error, status) = match outcome {
        Ok(Ok((bytes, held))) => {
            let _ = context.room.set(held);
            return Ok(bytes);
        }
        Ok(Err(Refusal::Broken(cause))) => (Error::bad_request("the body broke off").caused_by(cause), None),
        Ok(Err(Refusal::TooLarge)) => {
            let message = format!(
                "the body is larger than {} MiB; send less, or raise `MAX_REQUEST_SIZE_MB` where the service runs",
                most >> 20
            );
            (Error::new(Code::BodyTooLarge, message), None)
        }
        Ok(Err(Refusal::NoRoom)) => {
            let error = Error::new(Code::Overloaded, "too many large requests are open; try again in a moment");
            (error.retry_after(Some(Duration::from_secs(1))), None)
        }
        Err(_) => {
            let error = Error::new(Code::Timeout, format!("the body did not arrive within {} seconds", limits.body_timeout_s));
            (error, Some(StatusCode::REQUEST_TIMEOUT))
        }
    };
    drain(body);
    Err(failed(context, &error, status))
}

/// The whole of a body of at most so many bytes, and the part of the room that it takes.
async fn taken<'a>(body: &mut Body, most: usize, room: &'a Semaphore) -> Result<(Bytes, Vec<SemaphorePermit<'a>>), Refusal> {
    let (mut bytes, mut held) = (Vec::new(), Vec::new());
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(Refusal::Broken)?.into_data() else { continue };
        let size = bytes.len() + data.len();
        if size > most {
            return Err(Refusal::TooLarge);
        }
        while held.len() < size.saturating_sub(1) / PIECE_BYTES {
            held.push(room.try_acquire().map_err(|_| Refusal::NoRoom)?);
        }
        bytes.extend_from_slice(&data);
    }
    Ok((bytes.into(), held))
}

/// Takes the rest of a body that is of no use, for a while: a connection that is closed while its client still sends is reset, and
/// the client reads no answer.
pub(super) fn drain(mut body: Body) {
    let reading = async move { while let Some(Ok(_)) = body.frame().await {} };
    tokio::spawn(tokio::time::timeout(DRAINING, reading));
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use futures_util::stream;

    use super::*;

    /// A body of so many pieces, which ends or does not.
    fn sent(pieces: usize, ends: bool) -> Body {
        let pieces = stream::iter((0..pieces).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; PIECE_BYTES]))));
        if ends { Body::from_stream(pieces) } else { Body::from_stream(pieces.chain(stream::pending())) }
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_on_their_way_have_a_room_that_is_given_back() {
        let room = Semaphore::new(4);
        let (bytes, held) = taken(&mut sent(5, true), 5 * PIECE_BYTES, &room).await.unwrap();
        assert_eq!((bytes.len(), room.available_permits()), (5 * PIECE_BYTES, 0), "a whole one takes its room, too");
        drop(held);
        assert!(matches!(taken(&mut sent(6, true), 5 * PIECE_BYTES, &room).await, Err(Refusal::TooLarge)));
        {
            let mut slow = sent(4, false);
            let mut slow = std::pin::pin!(taken(&mut slow, usize::MAX, &room));
            assert!(futures_util::poll!(&mut slow).is_pending());
            assert_eq!(room.available_permits(), 1);
            assert!(taken(&mut sent(1, true), usize::MAX, &room).await.is_ok(), "small ones find room always");
            assert!(matches!(taken(&mut sent(3, true), usize::MAX, &room).await, Err(Refusal::NoRoom)));
        }
        assert_eq!(room.available_permits(), 4);
        assert!(taken(&mut sent(5, true), usize::MAX, &room).await.is_ok());
    }
}
