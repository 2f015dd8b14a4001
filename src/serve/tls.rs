//! TLS: certificate and key from files that may be replaced while the server runs, and certificates of clients if they are asked for.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::vault::{Error, ErrorKind, Result};

/// Where certificate and key are.
#[derive(Debug, Clone)]
pub struct TlsSettings {
    /// The certificate and those that lead to its root, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// Clients must have a certificate that leads to one of these, PEM.
    pub client_ca: Option<PathBuf>,
}

/// What handshakes are made with now.
pub struct Tls {
    settings: TlsSettings,
    now: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    /// Reads certificate and key.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] if they cannot be used, or everybody can read the key.
    pub fn load(settings: TlsSettings) -> Result<Self> {
        let now = RwLock::new(Arc::new(configuration(&settings)?));
        Ok(Self { settings, now })
    }

    /// Reads them anew. If they cannot be used, those from before stay.
    pub fn reload(&self) -> Result<()> {
        let new = Arc::new(configuration(&self.settings)?);
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    /// Makes handshakes.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.now.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

fn configuration(settings: &TlsSettings) -> Result<ServerConfig> {
    let TlsSettings { certificate, key, client_ca } = settings;
    let mode = std::fs::metadata(key).map_err(|error| unusable("key", key, &error))?.permissions().mode();
    if mode & 0o007 != 0 {
        return Err(unusable("key", key, &"everybody can read it").hint("chmod o= it"));
    }
    let chain = certificates(certificate).map_err(|error| unusable("certificate", certificate, &error))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable("key", key, &error))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|error| Error::new(ErrorKind::Internal, "tls", error.to_string()))?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path).map_err(|error| unusable("client CA", path, &error))? {
                roots.add(certificate).map_err(|error| unusable("client CA", path, &error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| unusable("client CA", path, &error))?)
        }
    };
    let mut config = builder.with_single_cert(chain, private).map_err(|error| unusable("certificate", certificate, &error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn unusable(what: &str, path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorKind::Usage, "tls", format!("the {what} {} cannot be used: {error}", path.display()))
}

fn certificates(path: &Path) -> std::result::Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if certificates.is_empty() => Err("there is none in it".to_owned()),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(error.to_string()),
    }
}
