//! Whom TLS trusts.
//!
//! To read a system's certificates takes ten milliseconds on a fast machine and far more on a small Lambda, in the midst of the
//! first call to a provider. So Mozilla's list, which is compiled in, is asked first, and the system's are read only for a
//! certificate that it does not vouch for: a company's proxy, a server of one's own. Whatever it has against one, the system
//! decides.

use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_platform_verifier::Verifier;

/// TLS 1.2 or later, for HTTP/2 and HTTP/1.1, that trusts the system's certificates, and Mozilla's before them unless
/// `system_only`.
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
        // An unknown issuer may hide behind a fault of a certificate that came along.
        if verdict.is_ok() {
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

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use rustls::CertificateError;

    use super::*;

    // Made for this test and for a hundred years: an authority that nobody knows, and its word for `model.example`.
    const AUTHORITY: &str = "\
        MIIBnzCCAUWgAwIBAgIUNsh0ku/TuwWYoL76z4yo/4lahxswCgYIKoZIzj0EAwIwJDEiMCAGA1UEAwwZQW4gYXV0aG9yaXR5IG9mIG9uZSdzIG93bjAgFw0yNjExMzAwMTM0NTRaGA8y\
        MTI2MTEwNjAxMzQ1NFowJDEiMCAGA1UEAwwZQW4gYXV0aG9yaXR5IG9mIG9uZSdzIG93bjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABPou71p1bzCf2NC0UJgPARhJ++ARn9W1fLKK\
        JgXj+QtMT6/D7H6bCwcLZD9gQ77sAYleEqnjEpZf0O9q6PmcmRmjUzBRMB0GA1UdDgQWBBTdkcF25tUWVnYqWsF3lUl1MnDUKzAfBgNVHSMEGDAWgBTdkcF25tUWVnYqWsF3lUl1MnDU\
        KzAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIGS1HXNrWG1yp5UiYc71iAMKQ4TZzlQx7kkhWV5RWMMMAiEA4SYQIJdZyb+XAhP20UzrVVGw6FvaDnkCZNGApZOJRJE=";
    const SERVER: &str = "\
        MIIBpzCCAU2gAwIBAgIUVOv2D0cvguap5nhfDfhGbc9ex0cwCgYIKoZIzj0EAwIwJDEiMCAGA1UEAwwZQW4gYXV0aG9yaXR5IG9mIG9uZSdzIG93bjAgFw0yNjExMzAwMTM0NTRaGA8y\
        MTI2MTEwNTAxMzQ1NFowGDEWMBQGA1UEAwwNbW9kZWwuZXhhbXBsZTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABDDRSRz1SyhVu67pA4cMMx+tJaKlvEEiUfz0maNxwP3rwrFBTm/T\
        9DfVdVCUWMeKH90BS26Y+gEyd0FDvjvlrP2jZzBlMBgGA1UdEQQRMA+CDW1vZGVsLmV4YW1wbGUwCQYDVR0TBAIwADAdBgNVHQ4EFgQUjcdbOxV+dnX881b8NiFPHfPUDFUwHwYDVR0j\
        BBgwFoAU3ZHBdubVFlZ2KlrBd5VJdTJw1CswCgYIKoZIzj0EAwIDSAAwRQIgNcoFF9NnZQzIWFUzjz0D8YnNPzf6JcwhUWjtuxOOlEECIQC8PkDoIMnj0+RMUYaKK1zwnRLlLez5Xsql\
        MnZGInb6Tw==";

    /// Has the authority's name and is none.
    const NAMESAKE: &str = "\
        MIIBezCCASGgAwIBAgIUdiwxuCOjBBiNgH7M/KQUPSccWdAwCgYIKoZIzj0EAwIwJDEiMCAGA1UEAwwZQW4gYXV0aG9yaXR5IG9mIG9uZSdzIG93bjAgFw0yNjExMzAwMjMxMDhaGA8yMT\
        I2MTEwNjAyMzEwOFowJDEiMCAGA1UEAwwZQW4gYXV0aG9yaXR5IG9mIG9uZSdzIG93bjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABE7FoL7ymT05MdNvKtwK83E5tDQWB7ziiZOJX2F8\
        d1hY5s7aeVZ2lQOdCvH+JORGHLOCiAnLFJ00jR/pKT2BrJqjLzAtMAwGA1UdEwEB/wQCMAAwHQYDVR0OBBYEFB36aSYvQ9MNGWrp7NMlyOVBU2cIMAoGCCqGSM49BAMCA0gAMEUCIQCPdf\
        eO28WdKabU15naJ/1SvuFQ/JT87Q0x6DyM2GofeAIgPIrE0lb6k8IOJmDQXpzdRhyAO2Yv+WZWCkfMdgFgyJ8=";

    fn certificate(text: &str) -> CertificateDer<'static> {
        STANDARD.decode(text).unwrap().into()
    }

    /// What is said of the server, where the system trusts the authority, or has no certificates at all.
    fn verdict(is_trusted: bool, name: &str, beside: &[&str]) -> Result<ServerCertVerified, Error> {
        let roots = Roots::new(Arc::new(aws_lc_rs::default_provider())).unwrap();
        let extra = [certificate(AUTHORITY)];
        let system = is_trusted.then(|| Verifier::new_with_extra_roots(extra, roots.crypto.clone()).unwrap());
        roots.system.set(system).unwrap();
        let name = ServerName::try_from(name).unwrap();
        let beside: Vec<_> = beside.iter().map(|text| certificate(text)).collect();
        let january_2027 = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_800_000_000));
        roots.verify_server_cert(&certificate(SERVER), &beside, &name, &[], january_2027)
    }

    #[test]
    fn whom_mozilla_does_not_know_the_system_may() {
        assert!(verdict(true, "model.example", &[]).is_ok());
        let unknown = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        assert_eq!(verdict(false, "model.example", &[]).unwrap_err(), unknown);
        assert!(verdict(true, "other.example", &[]).is_err());
    }

    #[test]
    fn the_fault_of_a_certificate_that_came_along_does_not_keep_the_system_from_being_asked() {
        let unknown = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        assert_ne!(verdict(false, "model.example", &[NAMESAKE]).unwrap_err(), unknown);
        assert!(verdict(true, "model.example", &[NAMESAKE]).is_ok());
    }
}
