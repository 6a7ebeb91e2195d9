//! HTTP and JSON over the daemon's Unix socket.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::UnixListener;

use crate::config_file::duration;
use crate::control::{Control, ReloadError, Stopping};
use crate::passing::PassError;

/// What `POST /reload` answers when it worked.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reloaded {
    /// What is different, one line each.
    pub changes: Vec<String>,
}

/// What any request answers when it did not work.
#[derive(Debug, Serialize, Deserialize)]
pub struct Refused {
    /// What is wrong and what to do.
    pub error: String,
}

/// Why the daemon cannot be asked anything.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another daemon answers there.
    #[error(
        "Another baton daemon answers on {path}: stop it, or give this one, in another network namespace, a --socket of \
         its own"
    )]
    Taken {
        /// The socket.
        path: String,
    },
    /// The file system refused.
    #[error("Cannot listen on {path}: {error}; --socket PATH names another place")]
    Socket {
        /// The socket.
        path: String,
        /// The system's reason.
        error: io::Error,
    },
}

/// Makes the socket, in place of one that a dead daemon left; only this user may connect.
///
/// # Errors
/// [`ListenError`] when another daemon lives there or the file system refuses.
pub fn listen(path: &path::Path) -> Result<UnixListener, ListenError> {
    let refused = |error| ListenError::Socket { path: path.display().to_string(), error };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(refused)?;
    }
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => {
            if UnixStream::connect(path).is_ok() {
                return Err(ListenError::Taken { path: path.display().to_string() });
            }
            fs::remove_file(path).map_err(refused)?;
        }
        // Whatever else stands there is not ours to remove: binding says so.
        Ok(_) | Err(_) => {}
    }
    let listener = UnixListener::bind(path).map_err(refused)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(refused)?;
    Ok(listener)
}

/// Answers requests until the listener fails.
///
/// # Errors
/// The system's, when the listener fails.
pub async fn serve(listener: UnixListener, control: Arc<Control>) -> io::Result<()> {
    let router = Router::new()
        .route("/status", get(status))
        .route("/reload", post(reload))
        .route("/pass/{name}", post(pass))
        .route("/release/{name}", post(release))
        .with_state(control);
    axum::serve(listener, router).await
}

async fn status(State(control): State<Arc<Control>>) -> Response {
    match control.status().await {
        Ok(view) => Json(view).into_response(),
        Err(error @ Stopping) => refusal(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    }
}

async fn reload(State(control): State<Arc<Control>>) -> Response {
    match control.reload().await {
        Ok(changes) => Json(Reloaded { changes }).into_response(),
        Err(error @ ReloadError::Invalid(_)) => refusal(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
        Err(error @ ReloadError::Stopping(Stopping)) => {
            refusal(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
        }
    }
}

/// What may be said about a hand-over besides its name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PassQuery {
    /// How long to stay away, like 10m.
    r#for: Option<String>,
}

async fn pass(
    State(control): State<Arc<Control>>,
    Path(name): Path<String>,
    Query(PassQuery { r#for }): Query<PassQuery>,
) -> Response {
    let time = match r#for.as_deref().map(duration::parse).transpose() {
        Ok(time) => time,
        Err(error) => return refusal(StatusCode::BAD_REQUEST, format!("\"for\" is no time: {error}")),
    };
    match control.pass(&name, time).await {
        Ok(passed) => Json(passed).into_response(),
        Err(error) => pass_refusal(&error),
    }
}

async fn release(State(control): State<Arc<Control>>, Path(name): Path<String>) -> Response {
    match control.release(&name).await {
        Ok(released) => Json(released).into_response(),
        Err(error) => pass_refusal(&error),
    }
}

fn pass_refusal(error: &PassError) -> Response {
    let status = match error {
        PassError::Unknown { .. } => StatusCode::NOT_FOUND,
        PassError::Owner { .. } | PassError::NotAway { .. } => StatusCode::CONFLICT,
        PassError::Unfinished { .. } => StatusCode::GATEWAY_TIMEOUT,
        PassError::Stopping(Stopping) => StatusCode::SERVICE_UNAVAILABLE,
    };
    refusal(status, error.to_string())
}

fn refusal(status: StatusCode, error: String) -> Response {
    (status, Json(Refused { error })).into_response()
}
