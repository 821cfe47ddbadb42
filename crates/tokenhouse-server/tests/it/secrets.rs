//! Secrets come from files too, and are never shown.

use crate::{PASSWORD, Place, SIGNUP, field};

const MASTER_KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const SHARED: &str = "a shared secret that other services know";

#[test]
fn a_secret_comes_from_a_file_without_its_final_newline() {
    let place = Place::for_serve()
        .with("TOKENHOUSE_MASTER_KEY_FILE", "master-key")
        .with("TOKENHOUSE_TOKENS__ALGORITHM", "HS256")
        .with("TOKENHOUSE_TOKENS__SECRET_FILE", "shared");
    place.write("master-key", &format!("{MASTER_KEY}\n"));
    place.write("shared", &format!("{SHARED}\n"));
    place.serve().stop();
    assert!(!place.path().join("tokenhouse.db.master-key").exists());
    let listed = place.run(&["keys", "list"]).out;

    let place = place.with("TOKENHOUSE_MASTER_KEY", MASTER_KEY);
    let both = place.run(&["config", "check"]);
    assert_eq!(
        (both.code, both.err.as_str()),
        (
            Some(2),
            "tokenhouse: TOKENHOUSE_MASTER_KEY_FILE: TOKENHOUSE_MASTER_KEY is set too; remove one of them\n"
        )
    );
    let mut place = place;
    place.variables.retain(|(name, _)| !name.ends_with("_FILE"));
    let place = place.with("TOKENHOUSE_TOKENS__SECRET", SHARED);
    assert_eq!(place.run(&["keys", "list"]).out, listed);
    let missing = Place::new()
        .with("TOKENHOUSE_MASTER_KEY_FILE", "nowhere")
        .run(&["config", "check"]);
    assert!(
        missing
            .err
            .starts_with("tokenhouse: TOKENHOUSE_MASTER_KEY_FILE: nowhere cannot be read")
    );
}

#[test]
fn no_log_line_and_no_answer_of_the_command_shows_a_secret() {
    let place = Place::for_serve()
        .with("TOKENHOUSE_MASTER_KEY", MASTER_KEY)
        .with("TOKENHOUSE_TOKENS__ALGORITHM", "HS256")
        .with("TOKENHOUSE_TOKENS__SECRET", SHARED)
        .with("TOKENHOUSE_LOG__LEVEL", "trace");
    let server = place.start_serve();
    let (status, body) = server.post("/auth/signup", SIGNUP);
    assert_eq!(status, 201, "{body}");
    let mut secrets = vec![MASTER_KEY.to_owned(), SHARED.to_owned(), PASSWORD.to_owned()];
    for name in ["access_token", "refresh_token"] {
        secrets.push(field(&body, name));
    }
    let refresh = format!(r#"{{"refresh_token":"{}"}}"#, field(&body, "refresh_token"));
    let (_, body) = server.post("/auth/refresh", &refresh);
    secrets.push(field(&body, "refresh_token"));
    let login = format!(r#"{{"email":"ada@example.org","password":"{PASSWORD}"}}"#);
    assert_eq!(server.post("/auth/login", &login).0, 200);
    let wrong = r#"{"email":"ada@example.org","password":"wrong horse battery staple"}"#;
    assert_eq!(server.post("/auth/login", wrong).0, 401);
    secrets.push("wrong horse battery staple".to_owned());
    let bearer = format!("authorization: Bearer {}\r\n", field(&body, "access_token"));
    assert_eq!(server.post_with("/auth/logout", &bearer, "{}").0, 204);
    let (status, log) = server.stop();
    assert!(status.success());
    assert!(
        log.contains("answered") && log.contains("\"request_id\""),
        "{log}"
    );

    let check = place.run(&["config", "check"]);
    let doctor = place.run(&["doctor"]);
    let said = [log, check.out, check.err, doctor.out, doctor.err].concat();
    for secret in &secrets {
        assert!(!said.contains(secret), "`{secret}` is in\n{said}");
    }
}

#[test]
fn a_mistake_beside_a_secret_does_not_show_it() {
    for file in [
        "master_key = 4711471147114711\n",
        "master_key = \"4711471147114711\nlisten = 1",
        "master_key = 4711471147114711x",
        "masterkey = \"4711471147114711\"",
        "[tokens]\nsecret = [\"4711471147114711\"]",
        "master_key = \"4711471147114711\"\nmaster_key = \"4711471147114711\"",
        "database_url = \"4711471147114711\"\npublic_url = \"http://localhost\"\nlisten = \"127.0.0.1:0\"",
        "database_url = \"postgres://me:4711471147114711@[::1\"\npublic_url = \"http://localhost\"\nlisten = \"127.0.0.1:0\"",
    ] {
        let place = Place::new();
        place.write("tokenhouse.toml", file);
        let said = place.run(&["serve"]);
        assert_ne!(said.code, Some(0));
        assert!(
            !said.err.is_empty() && !said.err.contains("4711"),
            "{file}\n{}",
            said.err
        );
    }
    let place = Place::new();
    place.write(".env", "TOKENHOUSE_MASTER_KEY=4711 4711471147114711 'x\n");
    let said = place.run(&["config", "check"]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.starts_with("tokenhouse: .env:1: "), "{}", said.err);
    assert!(!said.err.contains("4711"), "{}", said.err);
}
