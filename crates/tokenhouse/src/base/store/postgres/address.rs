//! The address of a PostgreSQL server, and how its connections are encrypted.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{StoreError, StoreOptions};

/// Reads `postgres://user:password@host:port/database?sslmode=…`, as libpq understands it: `host=/folder` for a
/// Unix socket; `sslmode` is `disable`, `prefer` (encrypted when the server can, whoever it is), `require` or
/// `verify-full` (encrypted, and the certificate must be good); `sslrootcert` names a file of PEM
/// certificates to trust instead of the public ones.
pub(super) fn parse(url: &str, options: &StoreOptions) -> Result<(Config, MakeRustlsConnect), StoreError> {
    let (url, trusted) = own_parameters(url);
    let mut config: Config = url.parse().map_err(|_| bad())?;
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return Err(StoreError::BadUrl(
            "the address of the PostgreSQL server names no host".to_owned(),
        ));
    }
    if config.get_application_name().is_none() {
        config.application_name("tokenhouse");
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(options.acquire_timeout);
    }
    let limit = options.statement_timeout.as_millis();
    let given = config.get_options().unwrap_or_default();
    let timeouts =
        format!("-c statement_timeout={limit} -c idle_in_transaction_session_timeout={limit} {given}");
    config.options(timeouts.trim_end());
    if !config.get_hosts().is_empty()
        && config
            .get_hosts()
            .iter()
            .all(|host| matches!(host, Host::Unix(_)))
    {
        config.ssl_mode(SslMode::Disable);
    }
    let tls = tls(config.get_ssl_mode(), trusted.as_deref())?;
    Ok((config, MakeRustlsConnect::new(tls)))
}

/// Takes out what the driver does not know.
fn own_parameters(url: &str) -> (String, Option<String>) {
    let Some((address, parameters)) = url.split_once('?') else {
        return (url.to_owned(), None);
    };
    let mut trusted = None;
    let kept: Vec<&str> = parameters
        .split('&')
        .filter_map(|parameter| match parameter.split_once('=') {
            Some(("sslrootcert", file)) => {
                trusted = url::form_urlencoded::parse(format!("f={file}").as_bytes())
                    .next()
                    .map(|(_, file)| file.into_owned());
                None
            }
            Some(("sslmode", "verify-full" | "verify-ca")) => Some("sslmode=require"),
            _ => Some(parameter),
        })
        .collect();
    (format!("{address}?{}", kept.join("&")), trusted)
}

fn tls(mode: SslMode, trusted: Option<&str>) -> Result<ClientConfig, StoreError> {
    // Named here, so that no default of the whole process is needed.
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| StoreError::BadUrl(format!("TLS cannot be set up: {error}")))?;
    if mode != SslMode::Require && trusted.is_none() {
        let anyone = Arc::new(Anyone(provider));
        return Ok(config
            .dangerous()
            .with_custom_certificate_verifier(anyone)
            .with_no_client_auth());
    }
    let mut roots = RootCertStore::empty();
    match trusted {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(file) => {
            let unread = |error: &dyn std::fmt::Display| {
                StoreError::BadUrl(format!("cannot read sslrootcert {file}: {error}"))
            };
            for certificate in CertificateDer::pem_file_iter(file).map_err(|error| unread(&error))? {
                let certificate = certificate.map_err(|error| unread(&error))?;
                roots.add(certificate).map_err(|error| unread(&error))?;
            }
        }
    }
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// `sslmode=prefer`: whoever could forge a certificate could as well answer that there is no TLS, so checking
/// it would keep nobody out, only those with Debian's self-made one. As libpq does.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn bad() -> StoreError {
    let text = "the address of the PostgreSQL server is not of the form \
                postgres://user:password@host:5432/database?sslmode=require";
    StoreError::BadUrl(text.to_owned())
}
