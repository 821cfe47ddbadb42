//! Mail as an operator and a developer meet it: what the command says, what a real server gets, and what
//! `tokenhouse dev` shows in its place.

use std::time::Instant;

use serde_json::{Value, json};
use tokenhouse::settings::Encryption;

use crate::smtp::{Manner, Received, Server};
use crate::{PASSWORD, PATIENCE, Place, Running, SIGNUP, Said};

const LOGIN: Option<(&str, &str)> = Some(("house", "secret of the house"));

async fn mail_server(encryption: Encryption) -> Server {
    let manner = Manner {
        encryption,
        login: LOGIN.filter(|_| encryption != Encryption::None),
        ..Manner::default()
    };
    Server::start(manner).await
}

fn sending_through(server: &Server) -> Place {
    let variables = server.variables();
    variables
        .into_iter()
        .fold(Place::for_serve(), |place, (name, value)| place.with(name, value))
}

fn done(said: &Said) -> &str {
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    &said.out
}

/// Asks until there is an answer.
fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "{what}");
        std::thread::yield_now();
    }
}

fn listed(place: &Place, state: &str) -> Vec<Value> {
    let said = place.run(&["mail", "list", "--state", state, "--json"]);
    serde_json::from_str(done(&said)).unwrap()
}

fn received(server: &Server, to: &str) -> Option<Received> {
    server.received().into_iter().find(|mail| mail.to == to)
}

/// What a link in a mail holds.
fn token(text: &str) -> String {
    let (_, rest) = text
        .split_once("?token=")
        .unwrap_or_else(|| panic!("no link in {text}"));
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"-_".contains(c));
    rest[..end.unwrap_or(rest.len())].to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_is_sent_to_try_and_what_the_server_says_is_said() {
    for encryption in [Encryption::Tls, Encryption::Starttls] {
        let server = mail_server(encryption).await;
        let place = sending_through(&server);
        let test = ["mail", "test", "ada@example.org"];
        let said = place.run(&test);
        assert_eq!(done(&said), "the server has taken the mail to ada@example.org\n");
        let mails = server.received();
        assert_eq!(mails.len(), 1);
        assert!(mails[0].over_tls && mails[0].logged_in, "{mails:?}");
        assert_eq!(mails[0].to, "ada@example.org");

        server.answer(&["550 5.1.1 no such mailbox"]);
        let refused = place.run(&test);
        assert_eq!(refused.code, Some(1));
        assert_eq!(refused.err.lines().count(), 1, "{}", refused.err);
        assert!(
            refused.err.contains("550") && refused.err.contains("no such mailbox"),
            "{}",
            refused.err
        );

        let place = place.with("TOKENHOUSE_MAIL__PASSWORD", "another secret");
        let refused = place.run(&test);
        assert_eq!(refused.code, Some(1));
        assert!(refused.err.contains("535"), "{}", refused.err);
        assert!(!refused.err.contains("another secret") && !refused.err.contains("panicked"));
        assert_eq!(server.received().len(), 1);
        // It was sent at once and lies nowhere.
        assert_eq!(listed(&place, "all"), Vec::<Value>::new());
    }
    let said = Place::for_serve().run(&["mail", "test", "ada@example.org"]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("mail.host"), "{}", said.err);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_that_was_given_up_is_listed_and_sent_when_it_is_tried_again() {
    let server = mail_server(Encryption::Tls).await;
    let place = sending_through(&server);
    let house = place.serve();
    server.answer(&["550 5.1.1 no such mailbox", "550 5.1.1 no such mailbox"]);
    for login in [SIGNUP.to_owned(), SIGNUP.replace("ada@", "bob@")] {
        assert_eq!(house.post("/auth/signup", &login).0, 201);
    }
    let dead = until("two mails are given up", || {
        let dead = listed(&place, "dead");
        (dead.len() == 2).then_some(dead)
    });
    let ada = dead
        .iter()
        .find(|mail| mail["address"] == "ada@example.org")
        .unwrap();
    assert!(
        ada["error"].as_str().unwrap().contains("no such mailbox"),
        "{ada}"
    );
    let id = ada["id"].as_str().unwrap();
    let text = place.run(&["mail", "list"]);
    let line = done(&text).lines().find(|line| line.starts_with(id)).unwrap();
    for part in ["dead", "verify", "ada@example.org", "1 tries", "550"] {
        assert!(line.contains(part), "{line}");
    }
    // What it says is shown nowhere.
    assert!(
        !text.out.contains("token") && !ada.to_string().contains("token"),
        "{ada}"
    );

    assert_eq!(done(&place.run(&["mail", "retry", id])), "to be tried again\n");
    let mail = until("the mail comes", || received(&server, "ada@example.org"));
    let link = json!({ "token": token(&mail.text()) }).to_string();
    let verified = house.post("/auth/email/verify", &link);
    assert!(matches!(verified.0, 200 | 204), "{verified:?}");
    until("it is listed as sent", || listed(&place, "sent").pop());
    let again = place.run(&["mail", "retry", id]);
    assert_eq!(again.code, Some(1));
    assert!(
        again.err.contains(&format!("no mail {id} was given up")),
        "{}",
        again.err
    );

    assert_eq!(
        done(&place.run(&["mail", "retry", "--all"])),
        "1 to be tried again\n"
    );
    until("the other comes too", || received(&server, "bob@example.org"));
    assert_eq!(
        done(&place.run(&["mail", "retry", "--all"])),
        "0 to be tried again\n"
    );
    assert_eq!(server.received().len(), 2, "each was taken once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_the_operator_invites_gets_a_mail_and_an_account() {
    let server = mail_server(Encryption::Starttls).await;
    let place = sending_through(&server).with("TOKENHOUSE_SIGNUP__MODE", "invitation");
    let house = place.serve();
    assert_eq!(house.post("/auth/signup", SIGNUP).0, 403);
    let invite = [
        "user",
        "invite",
        "ada@example.org",
        "--role",
        "editor",
        "--language",
        "de",
    ];
    let said = place.run(&invite);
    assert!(
        done(&said).starts_with("ada@example.org is invited"),
        "{}",
        said.out
    );
    let mail = until("the invitation comes", || received(&server, "ada@example.org"));
    let text = mail.text();
    assert!(mail.over_tls && text.contains("eingeladen"), "{text}");
    let mut body: Value = serde_json::from_str(SIGNUP).unwrap();
    body["invitation"] = token(&text).into();
    let (status, answer) = house.post("/auth/signup", &body.to_string());
    assert_eq!(status, 201, "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["user"]["roles"], json!(["editor"]));
    assert_eq!(answer["user"]["email_verified"], true);
    let again = place.run(&invite);
    assert_eq!(again.code, Some(1), "{}", again.out);
    assert!(!again.err.contains("panicked"), "{}", again.err);

    let without_mail = Place::for_serve().run(&invite);
    assert_eq!(without_mail.code, Some(1), "{}", without_mail.out);
}

/// Head and body of what this name is answered.
fn page(server: &Running, host: &str, path: &str) -> (String, String) {
    use std::io::{Read as _, Write as _};
    let mut stream = server.connect();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.to_lowercase(), body.to_owned())
}

#[test]
fn dev_shows_each_mail_as_it_would_look_and_lets_it_do_nothing() {
    const HOSTILE: &str = "<script>alert(1)</script> & \"Sons\"";
    const ADDRESS: &str = "o'neil&co@example.org";
    let place = Place::new().with("TOKENHOUSE_BRANDING__NAME", HOSTILE);
    let server = place.start(&["dev", "--port", "0"]);
    let (head, body) = page(&server, "localhost", "/dev/mail");
    assert!(
        head.starts_with("http/1.1 200") && body.contains("None yet"),
        "{head}\n{body}"
    );
    let signup = json!({ "email": ADDRESS, "password": PASSWORD }).to_string();
    assert_eq!(server.post("/auth/signup", &signup).0, 201);

    let shown = until("the mail is caught", || {
        let (_, body) = page(&server, "localhost", "/dev/mail.json");
        let mut mails: Vec<Value> = serde_json::from_str(&body).unwrap();
        mails.pop()
    });
    assert_eq!(
        (&shown["kind"], &shown["to"]),
        (&json!("verify"), &json!(ADDRESS))
    );
    assert!(shown["subject"].as_str().unwrap().contains(HOSTILE), "{shown}");
    let id = shown["id"].as_str().unwrap();
    for path in [
        "/dev/mail".to_owned(),
        format!("/dev/mail/{id}"),
        format!("/dev/mail/{id}/html"),
    ] {
        let (head, body) = page(&server, "localhost", &path);
        assert!(head.starts_with("http/1.1 200"), "{path}: {head}");
        assert!(
            !body.contains("<script") && !body.contains("& \""),
            "{path}: {body}"
        );
        assert!(body.contains("&lt;script&gt;"), "{path}: {body}");
        for part in [
            "content-security-policy: default-src 'none'; style-src 'unsafe-inline'; ",
            "base-uri 'none'; form-action 'none'",
            "referrer-policy: no-referrer",
            "x-content-type-options: nosniff",
            "cache-control: no-store",
            "content-type: text/html; charset=utf-8",
        ] {
            assert!(head.contains(part), "{path}: no {part} in {head}");
        }
        // The page frames the mail, which alone may be framed and can do nothing, not even lead away.
        let is_mail = path.ends_with("/html");
        assert_eq!(head.contains("frame-ancestors 'self'"), is_mail, "{path}: {head}");
        assert_eq!(
            head.contains("frame-ancestors 'none'"),
            !is_mail,
            "{path}: {head}"
        );
        assert_eq!(head.contains("; sandbox\r\n"), is_mail, "{path}: {head}");
        // Another site whose name leads here.
        let (head, body) = page(&server, "evil.example", &path);
        assert!(
            head.starts_with("http/1.1 403") && !body.contains(id),
            "{path}: {head}"
        );
    }
    let (head, _) = page(&server, "evil.example", "/dev/mail.json");
    assert!(head.starts_with("http/1.1 403"), "{head}");

    let (_, one) = page(&server, "localhost", &format!("/dev/mail/{id}"));
    assert!(
        one.contains("o&#39;neil&amp;co@example.org") && !one.contains("neil&co"),
        "{one}"
    );
    assert!(
        one.contains(&format!("<iframe src=\"/dev/mail/{id}/html\" sandbox ")),
        "{one}"
    );
    let code = shown["code"].as_str().unwrap();
    // As a link and a code to take, and in the text as it was sent.
    assert!(
        one.contains(&format!("<code>{code}</code>")) && one.contains("<pre>"),
        "{one}"
    );
    let (_, html) = page(&server, "localhost", &format!("/dev/mail/{id}/html"));
    assert!(html.contains(&token(shown["link"].as_str().unwrap())), "{html}");
    assert!(
        shown["text"].as_str().unwrap().contains(code) && html.contains(code),
        "{shown}"
    );

    // It is no dead picture: the link is good.
    let link = json!({ "token": token(shown["link"].as_str().unwrap()) }).to_string();
    let verified = server.post("/auth/email/verify", &link);
    assert!(matches!(verified.0, 200 | 204), "{verified:?}");
    for unknown in [
        "/dev/mail/01890a5d-ac96-774b-bcce-b302099a8057",
        "/dev/mail/nonsense",
    ] {
        let (head, _) = page(&server, "localhost", unknown);
        assert!(head.starts_with("http/1.1 40"), "{unknown}: {head}");
    }
    drop(server);
    // Where it is for others, there is no such page.
    let server = Place::for_serve().serve();
    for path in ["/dev/mail", "/dev/mail.json"] {
        assert_eq!(server.get(path).0, 404);
    }
}
