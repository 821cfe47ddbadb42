//! Keys from the command line, followed by a running server.

use std::process::Command;

use crate::{Place, SIGNUP, field};

fn openssl(arguments: &[&str]) -> String {
    let output = Command::new("openssl")
        .arg("genpkey")
        .args(arguments)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_rotation_beside_a_running_server_is_followed_and_logs_nobody_out() {
    let place = Place::for_serve();
    let mut server = place.serve();
    let (_, body) = server.post("/auth/signup", SIGNUP);
    let token = field(&body, "access_token");
    let said = place.run(&["keys", "rotate"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let active = said.out.lines().find(|line| line.contains("active")).unwrap();
    let kid = active.split_whitespace().next().unwrap();
    server.wait_for(&format!("\"kid\":\"{kid}\""));
    assert!(server.get("/.well-known/jwks.json").1.contains(kid));
    let (status, _) = server.exchange(&format!(
        "GET /users/me HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\r\n"
    ));
    assert_eq!(status, 200);
}

#[test]
fn the_master_key_is_exchanged_and_nobody_is_logged_out() {
    let place = Place::for_serve();
    let server = place.serve();
    let (_, body) = server.post("/auth/signup", SIGNUP);
    let file = place.path().join("tokenhouse.db.master-key");
    let (old, new) = (std::fs::read_to_string(&file).unwrap(), "5a".repeat(32));
    let refused = place.run_with("too short\n", &["master-key", "add"]);
    assert!(
        refused.code == Some(1) && refused.err.contains("32 random bytes"),
        "{}",
        refused.err
    );
    let said = place.run_with(&format!("{new}\n"), &["master-key", "add"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let listed = place.run(&["master-key", "list"]).out;
    assert_eq!(
        (
            listed.lines().count(),
            listed.matches("of these settings").count()
        ),
        (2, 1),
        "{listed}"
    );
    assert!(!listed.contains(&new[..16]) && !listed.contains(&old[..16]));
    // The server that runs needs neither; the next one is started with the new one.
    let refresh = |server: &crate::Running, body: &str| {
        let token = field(body, "refresh_token");
        server.post("/auth/refresh", &format!(r#"{{"refresh_token":"{token}"}}"#))
    };
    let (status, body) = refresh(&server, &body);
    assert_eq!(status, 200, "{body}");
    server.stop();
    place.write("tokenhouse.db.master-key", &new);
    let server = place.serve();
    let (status, body) = refresh(&server, &body);
    assert_eq!(status, 200, "{body}");
    assert_eq!(
        place.run(&["master-key", "remove-others"]).code,
        Some(2),
        "nobody can be asked"
    );
    let said = place.run(&["master-key", "remove-others", "--yes"]);
    assert_eq!(
        said.out, "the other master key opens the house no more\n",
        "{}",
        said.err
    );
    assert_eq!(refresh(&server, &body).0, 200);
    assert!(place.run(&["doctor"]).out.contains("opens the signing keys"));
    server.stop();
    place.write("tokenhouse.db.master-key", &old);
    let said = place.run(&["user", "list"]);
    assert!(said.err.contains("the master key is not the one"), "{}", said.err);
}

#[test]
fn keys_that_openssl_made_are_taken_and_sign() {
    for (algorithm, arguments) in [
        (
            "ES256",
            ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"].as_slice(),
        ),
        ("EdDSA", &["-algorithm", "ed25519"]),
        (
            "RS256",
            &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        ),
    ] {
        let place = Place::for_serve().with("TOKENHOUSE_TOKENS__ALGORITHM", algorithm);
        let pem = openssl(arguments);
        place.write("key.pem", &pem);
        let said = place.run(&["keys", "import", "key.pem"]);
        assert_eq!(said.code, Some(0), "{algorithm}: {}", said.err);
        let kid = said.out.split(' ').next().unwrap().to_owned();
        assert_eq!(place.run_with(&pem, &["keys", "import", "-"]).out, said.out);
        let server = place.serve();
        let (status, _) = server.post("/auth/signup", SIGNUP);
        assert_eq!(status, 201);
        let jwks = server.get("/.well-known/jwks.json").1;
        assert!(jwks.contains(&kid), "{algorithm}: {jwks}");
        let listed = place.run(&["keys", "list"]).out;
        assert!(
            listed
                .lines()
                .any(|line| line.starts_with(&kid) && line.contains("active")),
            "{listed}"
        );
    }
}

#[test]
fn a_short_rsa_key_a_public_key_and_nonsense_are_refused() {
    let place = Place::new().with("TOKENHOUSE_TOKENS__ALGORITHM", "RS256");
    place.write(
        "short.pem",
        &openssl(&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"]),
    );
    place.write("nonsense.pem", "-----BEGIN NONSENSE-----");
    for (file, part) in [
        ("short.pem", "at least 2048 bits"),
        ("nonsense.pem", "no private key in PEM"),
        ("nowhere.pem", "nowhere.pem cannot be read"),
    ] {
        let said = place.run(&["keys", "import", file]);
        assert_eq!(said.code, Some(1));
        assert!(said.err.contains(part), "{}", said.err);
    }
}

#[test]
fn a_command_with_other_settings_leaves_the_signing_key_alone() {
    let place = Place::new();
    let before = place.run(&["keys", "list"]).out;
    let place = place.with("TOKENHOUSE_TOKENS__ALGORITHM", "EdDSA");
    assert_eq!(place.run(&["user", "list"]).code, Some(0));
    assert_eq!(place.run(&["keys", "list"]).out, before);
}
