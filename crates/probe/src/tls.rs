//! Encrypted connections to services that have proven their names.

// What can be wrong with a certificate is a large enumeration of another crate's, of which a few have words of their own.
#![allow(clippy::wildcard_enum_match_arm)]

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls_native_certs::CertificateResult;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::task;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{CertificateError, ClientConfig, Error as RustlsError, RootCertStore};

/// Why a service is not spoken to over an encrypted connection.
#[derive(Debug, Error)]
pub enum TlsError {
    /// Nobody is trusted on this machine, so no name can be proven.
    #[error(
        "this machine has no root certificates to know it by{}; install the package ca-certificates, or name a file \
         of them in SSL_CERT_FILE",
        reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default()
    )]
    NoRoots {
        /// What could not be read, if anything could not.
        reason: Option<String>,
    },
    /// It is called by something that no certificate can be for.
    #[error("{name:?} is no name that a certificate can be for")]
    Unprovable {
        /// What it is called by.
        name: String,
    },
    /// Nobody who is trusted has signed its certificate.
    #[error(
        "its certificate is signed by nobody whom this machine trusts; add the certificate of who signed it to the \
         machine's own"
    )]
    UnknownIssuer,
    /// Its certificate names an issuer who is trusted, and is signed with another key than that one's.
    #[error(
        "its certificate is not signed with the key that this machine knows of its issuer; where the issuer has a new \
         one, add that to the machine's own"
    )]
    WrongSignature,
    /// It has proven another name.
    #[error("its certificate is not for {name} but for {}", list(others))]
    WrongName {
        /// What it is called by.
        name: String,
        /// What its certificate is for.
        others: Vec<String>,
    },
    /// Its certificate held once.
    #[error("its certificate has expired, by the clock of this machine")]
    Expired,
    /// Its certificate will hold one day.
    #[error("its certificate does not hold yet, by the clock of this machine")]
    NotYetValid,
    /// Anything else that keeps the two apart.
    #[error("no encrypted connection comes about: {0}")]
    Handshake(io::Error),
}

/// Whom a machine trusts to say who is who.
///
/// Nothing is read before the first encrypted connection, and nothing is held where there is none.
#[derive(Clone)]
pub struct Trust {
    read: Arc<dyn Fn() -> CertificateResult + Send + Sync>,
    known: Arc<Mutex<Option<Arc<ClientConfig>>>>,
}

impl Trust {
    /// Returns the trust of the system: that in the file that the environment names by `SSL_CERT_FILE` and in the folder
    /// by `SSL_CERT_DIR`, or else what its package of root certificates has installed.
    pub fn of_system() -> Self {
        Self::read_by(rustls_native_certs::load_native_certs)
    }

    /// Returns the trust in who is read so.
    pub(crate) fn read_by(read: impl Fn() -> CertificateResult + Send + Sync + 'static) -> Self {
        Self { read: Arc::new(read), known: Arc::default() }
    }

    /// Makes an encrypted connection of one in the clear, once who is at its other end has proven this name.
    ///
    /// # Errors
    /// [`TlsError`]; who is trusted is read anew for the connection after one that nobody trusted has vouched
    /// for, so that who is added is known without a restart.
    pub(crate) async fn connect(
        &self,
        name: &str,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, TlsError> {
        let server = ServerName::try_from(name.to_owned())
            .map_err(|_| TlsError::Unprovable { name: name.to_owned() })?;
        let connector = TlsConnector::from(self.config().await?);
        let connected = connector.connect(server, stream).await.map_err(|error| verdict(name, error));
        if matches!(connected, Err(TlsError::UnknownIssuer | TlsError::WrongSignature)) {
            *self.known() = None;
        }
        connected
    }

    async fn config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        if let Some(known) = &*self.known() {
            return Ok(Arc::clone(known));
        }
        let read = Arc::clone(&self.read);
        // A file system may be slow.
        let read = task::spawn_blocking(move || read()).await;
        let config = Arc::new(config(read.expect("reading certificates neither panics nor is aborted"))?);
        Ok(Arc::clone(self.known().insert(config)))
    }

    fn known(&self) -> MutexGuard<'_, Option<Arc<ClientConfig>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Trust").finish_non_exhaustive()
    }
}

fn config(read: CertificateResult) -> Result<ClientConfig, TlsError> {
    let CertificateResult { certs, errors, .. } = read;
    let mut roots = RootCertStore::empty();
    // A machine's collection may hold some that are too old to be understood.
    roots.add_parsable_certificates(certs);
    if roots.is_empty() {
        return Err(TlsError::NoRoots { reason: errors.first().map(ToString::to_string) });
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has every version")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Connections are rare and each is alone: nothing is worth being remembered for the next one.
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Returns what it means that a connection to this name has not come about.
fn verdict(name: &str, error: io::Error) -> TlsError {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<RustlsError>());
    let Some(RustlsError::InvalidCertificate(certificate)) = inner else { return TlsError::Handshake(error) };
    match certificate {
        CertificateError::UnknownIssuer => TlsError::UnknownIssuer,
        CertificateError::BadSignature => TlsError::WrongSignature,
        CertificateError::NotValidForNameContext { presented, .. } => TlsError::WrongName {
            name: name.to_owned(),
            others: presented.iter().map(|other| plain(other).to_owned()).collect(),
        },
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => TlsError::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => TlsError::NotYetValid,
        _ => TlsError::Handshake(error),
    }
}

/// Returns a name as people write it, of one that the verifier presents as `DnsName("name")` or `IpAddress(10.0.0.9)`.
fn plain(presented: &str) -> &str {
    let name = presented.split_once('(').and_then(|(_, name)| name.strip_suffix(')'));
    name.unwrap_or(presented).trim_matches('"')
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "nobody (its common name does not count)".to_owned();
    }
    names.join(", ")
}
