//! Asks a running daemon over its Unix socket.

use std::io;
use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::api::Refused;
use crate::passing;

/// How long a daemon may take to answer; a hand-over takes longest.
const PATIENCE: Duration = passing::PATIENCE.saturating_add(Duration::from_secs(5));

/// Why a daemon did not answer as it should.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no socket.
    #[error(
        "No baton daemon listens on {path}: start one with `baton run`, or name its socket with --socket"
    )]
    NotRunning {
        /// Where it was looked for.
        path: String,
    },
    /// The socket may not be used.
    #[error("Not allowed to ask the daemon on {path}: run as the user it runs as, usually root")]
    NotAllowed {
        /// The socket.
        path: String,
    },
    /// The daemon says no.
    #[error("{0}")]
    Refused(String),
    /// The daemon said something else than an answer.
    #[error("The daemon on {path} gave no answer: {reason}; its log may say why")]
    NoAnswer {
        /// The socket.
        path: String,
        /// What happened instead.
        reason: String,
    },
}

/// Asks the daemon on `socket`, and reads its answer.
///
/// # Errors
/// [`ClientError`] says what to do.
pub async fn ask<T: DeserializeOwned>(socket: &Path, method: Method, path: &str) -> Result<T, ClientError> {
    let name = || socket.display().to_string();
    let stream = UnixStream::connect(socket).await.map_err(|error| {
        if error.kind() == io::ErrorKind::PermissionDenied {
            ClientError::NotAllowed { path: name() }
        } else if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) {
            ClientError::NotRunning { path: name() }
        } else {
            ClientError::NoAnswer { path: name(), reason: error.to_string() }
        }
    })?;
    let no_answer = |reason: String| ClientError::NoAnswer { path: name(), reason };
    match tokio::time::timeout(PATIENCE, exchange(stream, method, path)).await {
        Err(_) => Err(no_answer(format!("nothing came within {PATIENCE:?}"))),
        Ok(Err(error)) => Err(no_answer(error.to_string())),
        Ok(Ok((status, body))) if status.is_success() => {
            serde_json::from_slice(&body).map_err(|error| no_answer(error.to_string()))
        }
        Ok(Ok((status, body))) => match serde_json::from_slice::<Refused>(&body) {
            Ok(refused) => Err(ClientError::Refused(refused.error)),
            Err(_) => Err(no_answer(format!("it answered {status}"))),
        },
    }
}

async fn exchange(
    stream: UnixStream,
    method: Method,
    path: &str,
) -> hyper::Result<(hyper::StatusCode, Bytes)> {
    let (mut requests, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(hyper::header::HOST, "baton")
        .body(Empty::<Bytes>::new())
        .expect("the methods and paths here are valid");
    let response = requests.send_request(request).await?;
    let status = response.status();
    Ok((status, response.into_body().collect().await?.to_bytes()))
}
