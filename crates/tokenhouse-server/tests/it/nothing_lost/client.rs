//! One client on one kept-alive connection, which tells an answer from a lost one.

use std::io::{Error, ErrorKind};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Whoever is not answered within this was left hanging.
pub(super) const HANGS: Duration = Duration::from_secs(30);

/// Speaks HTTP/1.1 and repeats nothing by itself: an error means that what was asked may have been done.
pub(super) struct Client {
    port: u16,
    stream: Option<TcpStream>,
}

/// What was answered, read whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub(super) fn text(&self, name: &str) -> String {
        let json = self.json();
        let text = json[name].as_str();
        text.unwrap_or_else(|| panic!("no {name}: {self:?}")).to_owned()
    }

    pub(super) fn code(&self) -> String {
        self.text("code")
    }

    /// Whether the house says that it cannot, and when to come again.
    pub(super) fn is_away(&self) -> bool {
        let waits = self.head.to_lowercase().contains("\r\nretry-after: ");
        assert!(self.status != 503 || waits, "503 without Retry-After: {self:?}");
        self.status == 503
    }
}

impl Client {
    pub(super) fn new(port: u16) -> Self {
        Self { port, stream: None }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) async fn get(&mut self, path: &str, token: Option<&str>) -> std::io::Result<Answer> {
        self.send("GET", path, token, None).await
    }

    pub(super) async fn post(
        &mut self,
        path: &str,
        token: Option<&str>,
        body: Value,
    ) -> std::io::Result<Answer> {
        self.send("POST", path, token, Some(body)).await
    }

    /// Posts as a good client does: told to come again, it comes again.
    pub(super) async fn post_again(&mut self, path: &str, body: Value) -> Answer {
        let began = Instant::now();
        loop {
            match self.post(path, None, body.clone()).await {
                Ok(answer) if !answer.is_away() => return answer,
                other => assert!(began.elapsed() < HANGS, "{path}: {other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn send(
        &mut self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<Value>,
    ) -> std::io::Result<Answer> {
        let bearer = token
            .map(|token| format!("authorization: Bearer {token}\r\n"))
            .unwrap_or_default();
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\n{bearer}content-type: application/json\r\n\
             content-length: {length}\r\n\r\n{body}"
        );
        let answer = tokio::time::timeout(HANGS, self.exchange(request.as_bytes()))
            .await
            .unwrap_or_else(|_| panic!("{method} {path} was left hanging"));
        if answer.is_err() {
            self.stream = None;
        }
        answer
    }

    async fn exchange(&mut self, request: &[u8]) -> std::io::Result<Answer> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => TcpStream::connect(("127.0.0.1", self.port)).await?,
        };
        stream.write_all(request).await?;
        let mut bytes = Vec::with_capacity(2048);
        let head = loop {
            if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut bytes).await? == 0 {
                return Err(Error::from(ErrorKind::UnexpectedEof));
            }
        };
        let text = String::from_utf8(bytes[..head].to_vec()).unwrap();
        let lower = text.to_lowercase();
        let length: usize = lower
            .split_once("\r\ncontent-length: ")
            .and_then(|(_, rest)| rest.split_once("\r\n"))
            .map_or(0, |(number, _)| number.parse().unwrap());
        while bytes.len() < head + length {
            if stream.read_buf(&mut bytes).await? == 0 {
                return Err(Error::from(ErrorKind::UnexpectedEof));
            }
        }
        if !lower.contains("\r\nconnection: close") {
            self.stream = Some(stream);
        }
        Ok(Answer {
            status: text.split(' ').nth(1).unwrap().parse().unwrap(),
            body: String::from_utf8(bytes[head..].to_vec()).unwrap(),
            head: text,
        })
    }
}

/// What was acknowledged; nothing where the answer got lost or the house was away, so that all is in doubt.
pub(super) fn acknowledged(answer: std::io::Result<Answer>) -> Option<Answer> {
    answer.ok().filter(|answer| !answer.is_away())
}
