//! Handing mail to a server (RFC 5321, RFC 6409): over TLS from the first byte, or after STARTTLS, which is then
//! required and not merely tried; in the clear only to this very machine.
//!
//! A connection is opened and logged in to before any mail is offered: what goes wrong until then is the server's
//! (or the settings') fault and passes, whatever number the server says; a 5xx about a mail is that mail's end.

use std::time::Duration;

use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters};
use lettre::transport::smtp::extension::{ClientId, Extension};

use super::{Message, Sender, Undelivered};
use crate::base::secret::Secret;

/// How the way to the server is kept private.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encryption {
    /// TLS from the first byte (port 465).
    #[default]
    Tls,
    /// TLS after STARTTLS, without which nothing is sent (port 587).
    Starttls,
    /// None at all: to a server on this machine only.
    None,
}

impl Encryption {
    /// The port that goes with it.
    #[must_use]
    pub fn usual_port(self) -> u16 {
        match self {
            Self::Tls => 465,
            Self::Starttls => 587,
            Self::None => 25,
        }
    }
}

/// Where mail is handed over, and how.
#[derive(Clone)]
pub struct Smtp {
    /// The server's name, which its certificate must have.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the way there is kept private.
    pub encryption: Encryption,
    /// Who we are to it.
    pub credentials: Option<(String, Secret)>,
    /// Certificates, in PEM, that are believed beside those of the well-known authorities.
    pub authorities: Option<Vec<u8>>,
    /// How we call ourselves.
    pub hello: String,
    /// How long connecting may take, and handing over each mail.
    pub timeout: Duration,
}

impl std::fmt::Debug for Smtp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Smtp({}:{})", self.host, self.port)
    }
}

/// A server that waits for mail.
pub struct Connection {
    inner: AsyncSmtpConnection,
    timeout: Duration,
}

impl Smtp {
    /// Opens a connection and logs in.
    ///
    /// # Errors
    /// [`Undelivered`], never for good.
    pub async fn connect(&self) -> Result<Connection, Undelivered> {
        let place = format!("{}:{}", self.host, self.port);
        match tokio::time::timeout(self.timeout, self.open()).await {
            Ok(Ok(inner)) => Ok(Connection {
                inner,
                timeout: self.timeout,
            }),
            Ok(Err(reason)) => Err(Undelivered::for_now(format!("{place}: {reason}"))),
            Err(_) => Err(Undelivered::for_now(format!(
                "{place}: the server did not answer in time (mail.timeout)"
            ))),
        }
    }

    async fn open(&self) -> Result<AsyncSmtpConnection, String> {
        let told = |error: lettre::transport::smtp::Error| error.to_string();
        let hello = ClientId::Domain(self.hello.clone());
        let wrapper = match self.encryption {
            Encryption::Tls => Some(self.tls()?),
            Encryption::Starttls | Encryption::None => None,
        };
        let server = (self.host.as_str(), self.port);
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(server, Some(self.timeout), &hello, wrapper, None)
                .await
                .map_err(told)?;
        if self.encryption == Encryption::Starttls {
            connection.starttls(self.tls()?, &hello).await.map_err(told)?;
        }
        if let Some((name, password)) = &self.credentials {
            let credentials = Credentials::new(name.clone(), password.expose().to_owned());
            connection
                .auth(DEFAULT_MECHANISMS, &credentials)
                .await
                .map_err(|error| format!("the server refused the user name or the password: {error}"))?;
        }
        Ok(connection)
    }

    fn tls(&self) -> Result<TlsParameters, String> {
        let mut builder =
            TlsParameters::builder(self.host.clone()).certificate_store(CertificateStore::WebpkiRoots);
        if let Some(pem) = &self.authorities {
            let certificate = Certificate::from_pem(pem)
                .map_err(|_| "mail.ca_file holds no certificate in PEM".to_owned())?;
            builder = builder.add_root_certificate(certificate);
        }
        builder.build().map_err(|error| error.to_string())
    }
}

/// What became of a mail that was offered.
#[derive(Debug)]
pub enum Offered {
    /// The server has taken it over, or will never: the connection can be used for the next.
    Done(Result<(), Undelivered>),
    /// The connection is of no use any more; the mail may go with another.
    Lost(Undelivered),
}

impl Connection {
    /// Hands one mail over.
    pub async fn send(&mut self, sender: &Sender, message: &Message) -> Offered {
        let composition = match sender.compose(message) {
            Ok(composition) => composition,
            Err(undelivered) => return Offered::Done(Err(undelivered)),
        };
        let knows_utf8 = self.inner.server_info().supports_feature(Extension::SmtpUtfEight);
        if !composition.is_ascii() && !knows_utf8 {
            return Offered::Done(Err(Undelivered::for_good(
                "the address has letters beyond ASCII before its @, and the mail server takes no such (SMTPUTF8)",
            )));
        }
        let sending = self.inner.send(&composition.envelope, &composition.bytes);
        let Ok(sent) = tokio::time::timeout(self.timeout, sending).await else {
            return Offered::Lost(Undelivered::for_now(
                "the server did not answer in time (mail.timeout)",
            ));
        };
        match sent {
            Ok(_) => Offered::Done(Ok(())),
            // lettre ends the connection after any refusal.
            Err(error) if error.is_permanent() => Offered::Lost(Undelivered::for_good(error.to_string())),
            Err(error) => Offered::Lost(Undelivered::for_now(error.to_string())),
        }
    }

    /// Says goodbye; whatever the server answers.
    pub async fn end(mut self) {
        let _ = tokio::time::timeout(self.timeout, self.inner.quit()).await;
    }
}
