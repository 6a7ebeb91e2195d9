//! Posts a JSON object to a web service.

#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use node::config::{Scheme, WebhookUrl};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::http::{HEAD_LIMIT, USER_AGENT};
use crate::tls::{TlsError, Trust};

/// Why a web service has not taken what was posted.
#[derive(Debug, Error)]
pub enum PostError {
    /// Its machine cannot be reached.
    #[error("cannot connect to {url}: {error}")]
    Connection {
        /// The web service.
        url: WebhookUrl,
        /// The system's reason.
        error: io::Error,
    },
    /// It has not proven its name, or does not encrypt.
    #[error("cannot trust {url}: {error}")]
    Tls {
        /// The web service.
        url: WebhookUrl,
        /// What is wrong.
        error: TlsError,
    },
    /// It spoke no HTTP.
    #[error("{url} does not answer as a web service: {error}")]
    Http {
        /// The web service.
        url: WebhookUrl,
        /// What is wrong.
        error: hyper::Error,
    },
    /// The request cannot be made.
    #[error("{url} cannot be asked for: {error}")]
    Request {
        /// The web service.
        url: WebhookUrl,
        /// What is wrong.
        error: hyper::http::Error,
    },
    /// It answered something else than 200 to 299.
    #[error("{url} answered {status}")]
    Status {
        /// The web service.
        url: WebhookUrl,
        /// The status of its answer.
        status: u16,
    },
    /// It took too long.
    #[error("no {missing} from {url} within {limit:?}")]
    Late {
        /// The web service.
        url: WebhookUrl,
        /// What had not come by then.
        missing: Stage,
        /// How long all was given.
        limit: Duration,
    },
}

/// What comes of a web service, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Its name has an address, and the machine there takes connections.
    Connection,
    /// It has proven its name and encrypts.
    Handshake,
    /// It has answered.
    Answer,
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Connection => "connection",
            Self::Handshake => "TLS handshake",
            Self::Answer => "answer",
        })
    }
}

/// Posts text that is JSON over a connection of its own, within a time; follows no redirection and reads no body.
///
/// Cancel safe: dropping the future gives the request up, which may have been heard.
///
/// # Errors
/// [`PostError`], unless the answer's status is one of 200 to 299.
pub async fn post(trust: &Trust, url: &WebhookUrl, json: String, limit: Duration) -> Result<(), PostError> {
    let clock = Clock { url, limit, end: Instant::now() + limit };
    let request = request(url, json).map_err(|error| PostError::Request { url: url.clone(), error })?;
    let connected = clock.await_stage(Stage::Connection, connect(url)).await?;
    let stream = connected.map_err(|error| PostError::Connection { url: url.clone(), error })?;
    let answered = match url.scheme() {
        Scheme::Http => clock.await_stage(Stage::Answer, exchange(stream, request)).await?,
        Scheme::Https => {
            let (name, _) = url.place();
            let proven = clock.await_stage(Stage::Handshake, trust.connect(name, stream)).await?;
            let stream = proven.map_err(|error| PostError::Tls { url: url.clone(), error })?;
            clock.await_stage(Stage::Answer, exchange(stream, request)).await?
        }
    };
    let status = answered.map_err(|error| PostError::Http { url: url.clone(), error })?;
    if status.is_success() {
        return Ok(());
    }
    Err(PostError::Status { url: url.clone(), status: status.as_u16() })
}

/// How long a request may still take.
struct Clock<'url> {
    url: &'url WebhookUrl,
    limit: Duration,
    end: Instant,
}

impl Clock<'_> {
    async fn await_stage<T>(&self, stage: Stage, future: impl Future<Output = T>) -> Result<T, PostError> {
        let Self { url, limit, end } = *self;
        timeout_at(end, future).await.map_err(|_| PostError::Late { url: url.clone(), missing: stage, limit })
    }
}

fn request(url: &WebhookUrl, json: String) -> hyper::http::Result<Request<Full<Bytes>>> {
    Request::post(url.path())
        .header(header::HOST, url.authority())
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONNECTION, "close")
        .body(Full::from(json))
}

async fn connect(url: &WebhookUrl) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(url.place()).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    request: Request<Full<Bytes>>,
) -> hyper::Result<StatusCode> {
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(HEAD_LIMIT).handshake(TokioIo::new(stream)).await?;
    let mut exchange = pin!(sender.send_request(request));
    let answer = tokio::select! {
        answer = &mut exchange => answer,
        // Whatever ended the connection, the exchange knows of it.
        _ = connection => exchange.await,
    };
    Ok(answer?.status())
}
