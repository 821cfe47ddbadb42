//! A mail server as a client meets it: real SMTP over TCP, with TLS, and with whatever goes wrong on the way.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokenhouse::Settings;
use tokenhouse::settings::{Encryption, Period};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const CERTIFICATE: &[u8] = include_bytes!("../keys_made_for_tests/mail-server.pem");
const KEY: &[u8] = include_bytes!("../keys_made_for_tests/mail-server-key.pem");
const AUTHORITY: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../tokenhouse/tests/it/keys_made_for_tests/mail-authority.pem"
);

/// A mail as the server got it.
#[derive(Clone, Debug)]
pub struct Received {
    pub from: String,
    pub to: String,
    pub data: String,
    pub over_tls: bool,
    pub logged_in: bool,
}

impl Received {
    /// The value of a header.
    pub fn header(&self, name: &str) -> &str {
        let start = format!("{name}: ");
        self.data
            .lines()
            .find_map(|line| line.strip_prefix(&start))
            .unwrap_or_else(|| panic!("no {name} in\n{}", self.data))
            .trim_end()
    }

    /// The lines of all its parts, whole again (quoted-printable, RFC 2045 section 6.7).
    pub fn text(&self) -> String {
        let whole = self.data.replace("=\n", "");
        let mut bytes = Vec::new();
        let mut rest = whole.as_bytes();
        while let [first, after @ ..] = rest {
            let quoted = after.get(..2).filter(|_| *first == b'=');
            match quoted.and_then(|digits| data_encoding::HEXUPPER.decode(digits).ok()) {
                Some(byte) => {
                    bytes.extend(byte);
                    rest = &after[2..];
                }
                None => {
                    bytes.push(*first);
                    rest = after;
                }
            }
        }
        String::from_utf8(bytes).unwrap()
    }
}

/// How the server behaves.
#[derive(Clone, Debug, Default)]
pub struct Manner {
    pub encryption: Encryption,
    /// Who may send; without, everybody.
    pub login: Option<(&'static str, &'static str)>,
    /// Whether it takes addresses beyond ASCII.
    pub utf8: bool,
    /// Does not offer STARTTLS, whatever `encryption` says.
    pub hides_starttls: bool,
    /// Says nothing any more when it is told whom a mail is for.
    pub hangs: bool,
    /// Lets nobody know that it has taken a mail until there is a permit.
    pub gate: Option<Arc<tokio::sync::Semaphore>>,
}

#[derive(Default)]
struct State {
    received: Vec<Received>,
    /// What is answered to `RCPT TO`, before it is `250` again.
    answers: VecDeque<&'static str>,
    connections: usize,
    goodbyes: usize,
}

pub struct Server {
    pub port: u16,
    manner: Manner,
    state: Arc<Mutex<State>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Server {
    pub async fn start(manner: Manner) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State::default()));
        let task = tokio::spawn(serve(listener, manner.clone(), Arc::clone(&state)));
        Self {
            port,
            manner,
            state,
            task,
        }
    }

    /// What a house needs to send through it.
    pub fn configure(&self, settings: &mut Settings) {
        let mail = &mut settings.mail;
        mail.host = Some("localhost".to_owned());
        mail.port = self.port;
        mail.encryption = self.manner.encryption;
        mail.from = Some("Example <no-reply@example.com>".to_owned());
        mail.ca_file = Some(AUTHORITY.to_owned());
        mail.timeout = Period::seconds(20);
        if let Some((name, password)) = self.manner.login {
            mail.username = Some(name.to_owned());
            mail.password = Some(password.into());
        }
    }

    /// What the program needs for the same, as variables.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let encryption = format!("{:?}", self.manner.encryption).to_lowercase();
        let mut variables = vec![
            ("TOKENHOUSE_MAIL__HOST", "localhost".to_owned()),
            ("TOKENHOUSE_MAIL__PORT", self.port.to_string()),
            ("TOKENHOUSE_MAIL__ENCRYPTION", encryption),
            (
                "TOKENHOUSE_MAIL__FROM",
                "Example <no-reply@example.com>".to_owned(),
            ),
            ("TOKENHOUSE_MAIL__CA_FILE", AUTHORITY.to_owned()),
        ];
        if let Some((name, password)) = self.manner.login {
            variables.push(("TOKENHOUSE_MAIL__USERNAME", name.to_owned()));
            variables.push(("TOKENHOUSE_MAIL__PASSWORD", password.to_owned()));
        }
        variables
    }

    /// The next mails are answered so, each one once.
    pub fn answer(&self, answers: &[&'static str]) {
        self.state.lock().answers.extend(answers);
    }

    pub fn received(&self) -> Vec<Received> {
        self.state.lock().received.clone()
    }

    /// Connections that ended as they should.
    pub fn goodbyes(&self) -> usize {
        self.state.lock().goodbyes
    }

    pub fn connections(&self) -> usize {
        self.state.lock().connections
    }
}

async fn serve(listener: TcpListener, manner: Manner, state: Arc<Mutex<State>>) {
    let tls = acceptor();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        state.lock().connections += 1;
        let (manner, state, tls) = (manner.clone(), Arc::clone(&state), tls.clone());
        tokio::spawn(async move {
            let _ = connection(stream, &manner, &state, &tls).await;
        });
    }
}

fn acceptor() -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE).unwrap();
    let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn connection(
    stream: tokio::net::TcpStream,
    manner: &Manner,
    state: &Mutex<State>,
    tls: &TlsAcceptor,
) -> std::io::Result<()> {
    if manner.encryption == Encryption::Tls {
        let mut stream = tls.accept(stream).await?;
        say(&mut stream, "220 here").await?;
        converse(&mut stream, manner, state, true).await?;
        return Ok(());
    }
    let mut stream = stream;
    say(&mut stream, "220 here").await?;
    if converse(&mut stream, manner, state, false).await? {
        let mut stream = tls.accept(stream).await?;
        converse(&mut stream, manner, state, true).await?;
    }
    Ok(())
}

async fn say(stream: &mut (impl Stream + ?Sized), line: &str) -> std::io::Result<()> {
    stream.write_all(format!("{line}\r\n").as_bytes()).await?;
    stream.flush().await
}

async fn line(stream: &mut (impl Stream + ?Sized)) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n") {
        bytes.push(stream.read_u8().await?);
    }
    bytes.truncate(bytes.len() - 2);
    Ok(String::from_utf8(bytes).unwrap())
}

/// Until the end, or until TLS is to begin, which is `true`.
async fn converse(
    stream: &mut impl Stream,
    manner: &Manner,
    state: &Mutex<State>,
    over_tls: bool,
) -> std::io::Result<bool> {
    let (mut from, mut to, mut logged_in) = (String::new(), String::new(), false);
    loop {
        let command = line(stream).await?;
        let upper = command.to_ascii_uppercase();
        if upper.starts_with("EHLO") {
            let mut offers = vec!["localhost", "8BITMIME"];
            if manner.encryption == Encryption::Starttls && !over_tls && !manner.hides_starttls {
                offers.push("STARTTLS");
            }
            if manner.login.is_some() && over_tls {
                offers.push("AUTH PLAIN LOGIN");
            }
            if manner.utf8 {
                offers.push("SMTPUTF8");
            }
            let last = offers.len() - 1;
            for (number, offer) in offers.iter().enumerate() {
                let hyphen = if number == last { ' ' } else { '-' };
                say(stream, &format!("250{hyphen}{offer}")).await?;
            }
        } else if upper == "STARTTLS" {
            say(stream, "220 go ahead").await?;
            return Ok(true);
        } else if let Some(given) = command.strip_prefix("AUTH PLAIN ") {
            let (name, password) = manner.login.unwrap();
            let right = data_encoding::BASE64.encode(format!("\0{name}\0{password}").as_bytes());
            logged_in = given == right;
            say(
                stream,
                if logged_in {
                    "235 welcome"
                } else {
                    "535 5.7.8 who are you?"
                },
            )
            .await?;
        } else if upper.starts_with("MAIL FROM:") {
            if manner.login.is_some() && !logged_in {
                say(stream, "530 5.7.0 log in first").await?;
                continue;
            }
            from = between(&command);
            say(stream, "250 ok").await?;
        } else if upper.starts_with("RCPT TO:") {
            if manner.hangs {
                tokio::time::sleep(Duration::from_secs(600)).await;
            }
            to = between(&command);
            let answer = state.lock().answers.pop_front().unwrap_or("250 ok");
            say(stream, answer).await?;
        } else if upper == "DATA" {
            say(stream, "354 go on").await?;
            let mut data = String::new();
            loop {
                let line = line(stream).await?;
                if line == "." {
                    break;
                }
                data.push_str(line.strip_prefix('.').unwrap_or(&line));
                data.push('\n');
            }
            state.lock().received.push(Received {
                from: from.clone(),
                to: to.clone(),
                data,
                over_tls,
                logged_in,
            });
            if let Some(gate) = &manner.gate {
                gate.acquire().await.unwrap().forget();
            }
            say(stream, "250 taken").await?;
        } else if upper == "QUIT" {
            state.lock().goodbyes += 1;
            say(stream, "221 bye").await?;
            return Ok(false);
        } else {
            say(stream, "500 what?").await?;
        }
    }
}

fn between(command: &str) -> String {
    let (_, rest) = command.split_once('<').unwrap();
    rest.split_once('>').unwrap().0.to_owned()
}
