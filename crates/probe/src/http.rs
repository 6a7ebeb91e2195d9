//! Does a GET request bring the expected answer?

use std::net::SocketAddr;
use std::pin::pin;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use virtual_server::health::HttpCheck;

use crate::failure::Failure;

/// How long an answer's status line and headers may be, in bytes.
pub const HEAD_LIMIT: usize = 16 * 1024;

/// How much of an answer's body is read, in bytes: what a check looks for stands at its beginning.
pub const BODY_LIMIT: usize = 64 * 1024;

pub(crate) const USER_AGENT: &str = concat!("baton/", env!("CARGO_PKG_VERSION"));

/// Asks over a connection of its own, follows no redirection, and reads the answer to its end or to [`BODY_LIMIT`].
pub(crate) async fn probe(target: SocketAddr, check: &HttpCheck) -> Result<(), Failure> {
    let request = request(target, check)?;
    let stream = TcpStream::connect(target).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(HEAD_LIMIT).handshake(TokioIo::new(stream)).await?;
    let mut exchange = pin!(async {
        let answer = sender.send_request(request).await?;
        let status = answer.status().as_u16();
        if !check.status.iter().any(|&(first, last)| (first..=last).contains(&status)) {
            return Err(Failure::Status { status, expected: check.status.clone() });
        }
        search(answer.into_body(), check.body.as_deref()).await
    });
    tokio::select! {
        result = &mut exchange => result,
        // Whatever ended the connection, the exchange knows of it, and what it has read already still counts.
        _ = connection => exchange.await,
    }
}

fn request(target: SocketAddr, check: &HttpCheck) -> Result<Request<Empty<Bytes>>, Failure> {
    let host = check.host.clone().unwrap_or_else(|| target.to_string());
    let request = Request::get(&check.path)
        .header(header::HOST, host)
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::ACCEPT, "*/*")
        .header(header::CONNECTION, "close")
        .body(Empty::new())?;
    Ok(request)
}

/// Reads the body and holds no more of it than one piece and what may be the beginning of `text`.
async fn search(mut body: Incoming, text: Option<&str>) -> Result<(), Failure> {
    let wanted = text.unwrap_or_default().as_bytes();
    let mut found = wanted.is_empty();
    let mut held = Vec::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let data = &data[..data.len().min(BODY_LIMIT - length)];
        length += data.len();
        if !found {
            held.extend_from_slice(data);
            found = held.windows(wanted.len()).any(|window| window == wanted);
            held.drain(..held.len().saturating_sub(wanted.len() - 1));
        }
        if length == BODY_LIMIT {
            break;
        }
    }
    match text {
        Some(text) if !found && length == BODY_LIMIT => Err(Failure::LongBody { text: text.into() }),
        Some(text) if !found => Err(Failure::Body { text: text.into() }),
        Some(_) | None => Ok(()),
    }
}
