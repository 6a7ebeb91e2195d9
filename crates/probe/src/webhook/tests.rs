//! Encrypted web services on the loopback interface.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls_native_certs::CertificateResult;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::*;

/// Far more than anything here takes.
const LIMIT: Duration = Duration::from_mins(2);

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn issuer() -> Issuer {
    issuer_called("Example Net's")
}

fn issuer_called(name: &str) -> Issuer {
    let mut params = CertificateParams::new([]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn known(issuers: &[&Issuer]) -> Vec<CertificateDer<'static>> {
    issuers.iter().map(|issuer| issuer.der().clone()).collect()
}

fn trust_in(issuers: &[&Issuer]) -> Trust {
    changing_trust(&Arc::new(Mutex::new(known(issuers))))
}

/// The trust of a machine whose certificates are replaced while it runs.
fn changing_trust(certificates: &Arc<Mutex<Vec<CertificateDer<'static>>>>) -> Trust {
    let certificates = Arc::clone(certificates);
    Trust::read_by(move || {
        let mut result = CertificateResult::default();
        result.certs.clone_from(&certificates.lock().unwrap());
        result
    })
}

/// A web service with a certificate, which answers every request that comes over an encrypted connection.
struct Service {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Service {
    /// Starts one with a certificate for these names.
    async fn start(issuer: &Issuer, names: &[&str]) -> Self {
        Self::start_with(issuer, names, |_| {}).await
    }

    async fn start_with(issuer: &Issuer, names: &[&str], change: impl Fn(&mut CertificateParams)) -> Self {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate: CertificateDer<'static> = params.signed_by(&key, issuer).unwrap().into();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                // Who does not trust it says so and goes.
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut request = Vec::new();
                while !request.ends_with(b"{}") {
                    assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
                }
                assert!(request.starts_with(b"POST /baton HTTP/1.1\r\n"));
                stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            }
        });
        Self { address, serving }
    }

    fn url(&self, host: &str) -> WebhookUrl {
        WebhookUrl::new(&format!("https://{host}:{}/baton", self.address.port())).unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn posted(trust: &Trust, url: &WebhookUrl) -> Result<(), String> {
    post(trust, url, "{}".to_owned(), LIMIT).await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_service_that_proves_its_name_or_its_address_is_posted_to() {
    let issuer = issuer();
    let service = Service::start(&issuer, &["localhost", "127.0.0.1"]).await;
    let trust = trust_in(&[&issuer]);
    for host in ["localhost", "127.0.0.1"] {
        assert_eq!(posted(&trust, &service.url(host)).await, Ok(()), "{host}");
    }
}

#[tokio::test]
async fn one_whose_certificate_is_for_others_is_told_nothing() {
    let issuer = issuer();
    let service = Service::start(&issuer, &["hooks.example.net", "10.0.0.9"]).await;
    let url = service.url("localhost");
    let error = posted(&trust_in(&[&issuer]), &url).await.unwrap_err();
    assert_eq!(
        error,
        format!(
            "cannot trust {url}: its certificate is not for localhost but for hooks.example.net, 10.0.0.9"
        )
    );
}

#[tokio::test]
async fn who_is_trusted_is_learnt_without_a_restart_once_somebody_is_not() {
    let issuer = issuer();
    let service = Service::start(&issuer, &["localhost"]).await;
    for (other, reason) in [
        (issuer_called("Somebody Else's"), "is signed by nobody whom this machine trusts"),
        (self::issuer(), "is not signed with the key that this machine knows of its issuer"),
    ] {
        let certificates = Arc::new(Mutex::new(known(&[&other])));
        let trust = changing_trust(&certificates);
        let error = posted(&trust, &service.url("localhost")).await.unwrap_err();
        assert!(error.contains(reason), "{error}");
        *certificates.lock().unwrap() = known(&[&other, &issuer]);
        assert_eq!(posted(&trust, &service.url("localhost")).await, Ok(()));
    }
}

#[tokio::test]
async fn who_is_trusted_is_read_once_and_only_for_an_encrypted_connection() {
    let issuer = issuer();
    let service = Service::start(&issuer, &["localhost"]).await;
    let certificates = Arc::new(Mutex::new(Vec::new()));
    let trust = changing_trust(&certificates);
    let plain = WebhookUrl::new(&format!("http://{}/baton", service.address)).unwrap();
    posted(&trust, &plain).await.unwrap_err();
    *certificates.lock().unwrap() = known(&[&issuer]);
    posted(&trust, &service.url("localhost")).await.unwrap();
    certificates.lock().unwrap().clear();
    posted(&trust, &service.url("localhost")).await.unwrap();
}

#[tokio::test]
async fn a_certificate_holds_from_its_first_to_its_last_day() {
    let issuer = issuer();
    let (past, future) = (date_time_ymd(2001, 1, 1), date_time_ymd(4001, 1, 1));
    let expired = Service::start_with(&issuer, &["localhost"], |params| params.not_after = past).await;
    let error = posted(&trust_in(&[&issuer]), &expired.url("localhost")).await.unwrap_err();
    assert!(error.ends_with("its certificate has expired, by the clock of this machine"), "{error}");
    let early = Service::start_with(&issuer, &["localhost"], |params| params.not_before = future).await;
    let error = posted(&trust_in(&[&issuer]), &early.url("localhost")).await.unwrap_err();
    assert!(error.ends_with("its certificate does not hold yet, by the clock of this machine"), "{error}");
}

#[tokio::test]
async fn a_machine_that_trusts_nobody_is_told_what_to_install() {
    let service = Service::start(&issuer(), &["localhost"]).await;
    let error = posted(&trust_in(&[]), &service.url("localhost")).await.unwrap_err();
    assert!(error.contains("no root certificates"), "{error}");
    assert!(error.contains("install the package ca-certificates"), "{error}");
}

#[tokio::test]
async fn one_that_takes_connections_and_says_nothing_is_given_up_within_the_time_of_all() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let issuer = issuer();
    for (scheme, missing) in [("https", "TLS handshake"), ("http", "answer")] {
        let url = WebhookUrl::new(&format!("{scheme}://{address}/")).unwrap();
        let limit = Duration::from_millis(200);
        let error = post(&trust_in(&[&issuer]), &url, "{}".to_owned(), limit).await.unwrap_err();
        assert_eq!(error.to_string(), format!("no {missing} from {url} within 200ms"));
    }
}

#[tokio::test]
async fn a_service_that_does_not_encrypt_is_no_encrypted_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = WebhookUrl::new(&format!("https://{}/", listener.local_addr().unwrap())).unwrap();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        // What the client says is read to its end, so that the answer is not lost to a reset.
        stream.read_to_end(&mut Vec::new()).await.unwrap_or_default()
    });
    let error = posted(&trust_in(&[&issuer()]), &url).await.unwrap_err();
    assert!(error.contains("no encrypted connection comes about"), "{error}");
    served.await.unwrap();
}
