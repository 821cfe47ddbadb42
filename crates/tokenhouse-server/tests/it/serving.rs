//! Starting, being used, and stopping without losing a request.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use rustix::process::Signal;

use crate::{Place, SIGNUP, answer};

#[test]
fn dev_needs_nothing_and_prints_a_request_that_works() {
    let place = Place::new();
    let mut server = place.start(&["dev", "--port", "0"]);
    let line = server.wait_for("curl ").trim().to_owned();
    let output = Command::new("sh").args(["-c", &line]).output().unwrap();
    let body = String::from_utf8(output.stdout).unwrap();
    assert!(body.contains("\"access_token\""), "{line}\n{body}");
    let folder = place.path().join("tokenhouse-data");
    assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    assert!(folder.join("tokenhouse.db").exists());
    // The other commands mean the same data.
    assert!(place.run(&["user", "list"]).out.contains("ada@example.org"));
    assert!(!place.path().join("tokenhouse.db").exists());
    server.signal(Signal::INT);
    assert!(server.ended().0.success());
}

#[test]
fn what_is_in_flight_is_finished_when_the_server_is_stopped() {
    let place = Place::for_serve();
    let mut server = place.serve();
    let mut idle = server.connect();
    let mut slow = server.connect();
    let (begin, rest) = SIGNUP.split_at(20);
    let length = SIGNUP.len();
    write!(
        slow,
        "POST /auth/signup HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         expect: 100-continue\r\n\r\n"
    )
    .unwrap();
    // The server asks for the body: now the request is in flight.
    let mut asked = [0; 25];
    slow.read_exact(&mut asked).unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    slow.write_all(begin.as_bytes()).unwrap();
    server.signal(Signal::TERM);
    server.wait_for("stopping");
    assert!(std::net::TcpStream::connect(("127.0.0.1", server.port)).is_err());
    // Who is asking for nothing is sent away.
    assert_eq!(idle.read(&mut [0; 1]).unwrap_or(0), 0);
    slow.write_all(rest.as_bytes()).unwrap();
    let (status, body) = answer(&mut slow);
    assert_eq!(status, 201, "{body}");
    let (status, log) = server.ended();
    assert!(status.success(), "{log}");
    assert!(log.contains("stopped"), "{log}");
    assert!(place.run(&["user", "list"]).out.contains("ada@example.org"));
}

#[test]
fn a_request_that_never_ends_is_cut_off_in_time_and_a_second_signal_does_so_at_once() {
    for second in [false, true] {
        let place =
            Place::for_serve().with("TOKENHOUSE_SHUTDOWN_TIMEOUT", if second { "1h" } else { "50ms" });
        let mut server = place.serve();
        let mut slow = server.connect();
        slow.write_all(
            b"POST /auth/signup HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\
              expect: 100-continue\r\n\r\n",
        )
        .unwrap();
        slow.read_exact(&mut [0; 25]).unwrap();
        server.signal(Signal::TERM);
        server.wait_for("stopping");
        if second {
            server.signal(Signal::INT);
        }
        let (status, log) = server.ended();
        assert_eq!(status.code(), Some(i32::from(second)), "{log}");
    }
}

#[test]
fn who_sends_no_head_or_a_huge_one_does_not_keep_a_connection() {
    let server = Place::for_serve()
        .with("TOKENHOUSE_HTTP__HEADER_TIMEOUT", "200ms")
        .with("TOKENHOUSE_HTTP__MAX_CONNECTIONS", "3")
        .serve();
    for begin in ["", "PRI * HT", "GET / HTTP/1.1\r\nx: "] {
        let mut stream = server.connect();
        stream.write_all(begin.as_bytes()).unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"));
    }
    // More connections than there is room for wait their turn.
    let crowd: Vec<_> = (0..5).map(|_| server.connect()).collect();
    assert_eq!(server.get("/health/live").0, 200);
    drop(crowd);
    let huge = "x".repeat(100_000);
    let mut stream = server.connect();
    let _ = write!(stream, "GET / HTTP/1.1\r\nhost: x\r\nx: {huge}\r\n\r\n");
    let mut start = [0; 12];
    if stream.read_exact(&mut start).is_ok() {
        assert_eq!(&start, b"HTTP/1.1 431");
    }
}

#[test]
fn http2_is_spoken_without_tls_and_port_means_all_addresses() {
    let place = Place::new()
        .with("PORT", "0")
        .with("TOKENHOUSE_PUBLIC_URL", "https://id.example.com");
    let mut server = place.start(&["serve"]);
    assert!(server.said.contains("http://0.0.0.0:"), "{}", server.said);
    server.said.clear();
    let mut stream = server.connect();
    // The client's preface and empty SETTINGS are answered with SETTINGS (RFC 9113 §3.4).
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .unwrap();
    let mut head = [0; 9];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(head[3], 4);
}

#[test]
fn the_contract_is_printed_without_a_database() {
    let place = Place::new();
    let said = place.run(&["openapi"]);
    let openapi: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert!(openapi["paths"]["/auth/login"].is_object());
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
}
