//! Traces arrive where the standard variables say, continue the caller's trace, and hold no secret.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::channel;

use crate::{PASSWORD, PATIENCE, Place, SIGNUP, field};

fn holds(hay: &[u8], needle: &[u8]) -> bool {
    hay.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn a_span_arrives_over_http_and_holds_no_secret() {
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = collector.local_addr().unwrap();
    let (sender, received) = channel();
    std::thread::spawn(move || {
        for stream in collector.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut head, mut length) = (String::new(), 0);
            while stream.read_line(&mut head).unwrap() > 2 {
                let last = head.lines().last().unwrap().to_lowercase();
                if let Some(text) = last.strip_prefix("content-length: ") {
                    length = text.parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            stream.get_mut().write_all(answer).unwrap();
            sender.send((head, body)).unwrap();
        }
    });
    let place = Place::for_serve()
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}"))
        .with("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=one")
        .with("OTEL_SERVICE_NAME", "the-accounts");
    let server = place.serve();
    let parent = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n";
    let (status, answer) = server.post_with("/auth/signup", parent, SIGNUP);
    assert_eq!(status, 201);
    // What is left is sent at the end.
    assert!(server.stop().0.success());
    let (head, body) = received.recv_timeout(PATIENCE).unwrap();
    assert!(head.starts_with("POST /v1/traces "), "{head}");
    assert!(head.contains("x-tenant: one"), "{head}");
    for part in ["the-accounts", "/auth/signup", "request_id"] {
        assert!(holds(&body, part.as_bytes()), "{part}");
    }
    let trace = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes();
    assert!(holds(&body, &trace));
    let secrets = [
        PASSWORD.to_owned(),
        field(&answer, "access_token"),
        field(&answer, "refresh_token"),
    ];
    for secret in secrets.iter().map(String::as_str).chain(["ada@example.org"]) {
        assert!(!holds(&body, secret.as_bytes()), "{secret}");
    }
}
