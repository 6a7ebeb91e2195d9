//! Posts a JSON object to a web service.

use std::io;
use std::pin::pin;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use node::config::WebhookUrl;
use thiserror::Error;
use tokio::net::TcpStream;

use crate::http::{HEAD_LIMIT, USER_AGENT};

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
}

/// Posts text that is JSON over a connection of its own; follows no redirection and reads no body.
///
/// Cancel safe: dropping the future gives the request up, which may have been heard.
///
/// # Errors
/// [`PostError`], unless the answer's status is one of 200 to 299.
pub async fn post(url: &WebhookUrl, json: String) -> Result<(), PostError> {
    let connected = async {
        let stream = TcpStream::connect(url.place()).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    };
    let stream = connected.await.map_err(|error| PostError::Connection { url: url.clone(), error })?;
    let http = |error| PostError::Http { url: url.clone(), error };
    let request = Request::post(url.path())
        .header(header::HOST, url.authority())
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONNECTION, "close")
        .body(Full::<Bytes>::from(json))
        .map_err(|error| PostError::Request { url: url.clone(), error })?;
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(HEAD_LIMIT).handshake(TokioIo::new(stream)).await.map_err(http)?;
    let mut exchange = pin!(sender.send_request(request));
    let answer = tokio::select! {
        answer = &mut exchange => answer,
        // Whatever ended the connection, the exchange knows of it.
        _ = connection => exchange.await,
    };
    let status = answer.map_err(http)?.status();
    if status.is_success() {
        return Ok(());
    }
    Err(PostError::Status { url: url.clone(), status: status.as_u16() })
}
