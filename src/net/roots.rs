//! Whom TLS trusts.
//!
//! To read a system's certificates takes ten milliseconds on a fast machine and far more on a small Lambda, in the midst of the first
//! call to a provider. So Mozilla's list, which is compiled in, is asked first, and the system's are read only for a certificate that
//! no one on it stands for: a company's proxy, a server of one's own.

use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_platform_verifier::Verifier;

/// TLS 1.2 or later, for HTTP/2 and HTTP/1.1, that trusts the system's certificates, and Mozilla's before them unless `system_only`.
///
/// # Errors
/// The system's alone are wanted and it has none.
pub(super) fn tls(system_only: bool) -> Result<ClientConfig, Error> {
    let crypto = Arc::new(aws_lc_rs::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match system_only {
        true => Arc::new(Verifier::new(crypto.clone())?),
        false => Arc::new(Roots::new(crypto.clone())?),
    };
    let config = ClientConfig::builder_with_provider(crypto).with_safe_default_protocol_versions()?;
    // What is dangerous in general is a verifier that says yes by itself; ours only asks the usual two.
    let mut config = config.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Mozilla's certificates, then the system's.
#[derive(Debug)]
struct Roots {
    mozilla: Arc<WebPkiServerVerifier>,
    /// None where the system has none.
    system: OnceLock<Option<Verifier>>,
    crypto: Arc<CryptoProvider>,
}

impl Roots {
    fn new(crypto: Arc<CryptoProvider>) -> Result<Self, Error> {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let mozilla = WebPkiServerVerifier::builder_with_provider(roots.into(), crypto.clone()).build();
        let mozilla = mozilla.map_err(|why| Error::General(why.to_string()))?;
        Ok(Self { mozilla, system: OnceLock::new(), crypto })
    }
}

impl ServerCertVerifier for Roots {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict = self.mozilla.verify_server_cert(end_entity, intermediates, name, ocsp, now);
        if !matches!(verdict, Err(Error::InvalidCertificate(CertificateError::UnknownIssuer))) {
            return verdict;
        }
        match self.system.get_or_init(|| Verifier::new(self.crypto.clone()).ok()) {
            Some(system) => system.verify_server_cert(end_entity, intermediates, name, ocsp, now),
            None => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.mozilla.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.mozilla.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.mozilla.supported_verify_schemes()
    }
}
