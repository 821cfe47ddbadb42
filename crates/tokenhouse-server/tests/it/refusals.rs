//! What does not start says why, in one sentence, and damages nothing.

use std::net::TcpListener;

use tokenhouse::store::{Store, StoreOptions, query};

use crate::{Place, Said};

/// Exactly one line, and the exit code.
fn one_sentence(said: &Said, code: i32, part: &str) {
    assert_eq!(said.code, Some(code), "{}", said.err);
    assert_eq!(said.err.lines().count(), 1, "{}", said.err);
    assert!(said.err.starts_with("tokenhouse: "), "{}", said.err);
    assert!(said.err.contains(part), "{part} not in {}", said.err);
}

#[test]
fn serve_refuses_what_is_unsafe() {
    let place = Place::new();
    one_sentence(&place.run(&["serve"]), 2, "public_url: must be set");
    for (url, listen, part) in [
        ("http://id.example.com", "127.0.0.1:0", "must begin with https://"),
        (
            "http://localhost:8080",
            "0.0.0.0:0",
            "reachable from other machines",
        ),
        ("ftp://localhost", "127.0.0.1:0", "http or https"),
        ("nonsense", "127.0.0.1:0", "must be an address"),
    ] {
        let place = Place::new()
            .with("TOKENHOUSE_PUBLIC_URL", url)
            .with("TOKENHOUSE_LISTEN", listen);
        one_sentence(&place.run(&["serve"]), 2, part);
    }
    let place = Place::for_serve().with("TOKENHOUSE_PASSWORDS__MEMORY_KIB", "8");
    one_sentence(&place.run(&["serve"]), 2, "OWASP");
    let place = Place::for_serve()
        .with("TOKENHOUSE_TOKENS__ALGORITHM", "HS256")
        .with("TOKENHOUSE_TOKENS__SECRET", "hunter2hunter2");
    let said = place.run(&["serve"]);
    one_sentence(&said, 2, "TOKENHOUSE_TOKENS__SECRET: tokens.secret: ");
    assert!(!said.err.contains("hunter2"));
}

#[test]
fn dev_stays_on_this_machine() {
    let said = Place::new().with("TOKENHOUSE_LISTEN", "0.0.0.0:0").run(&["dev"]);
    one_sentence(
        &said,
        2,
        "TOKENHOUSE_LISTEN: listen: `tokenhouse dev` is for this machine only",
    );
}

#[test]
fn a_taken_port_is_said_before_anything_is_made() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for command in ["dev", "serve"] {
        let place = Place::for_serve().with("TOKENHOUSE_LISTEN", &address);
        one_sentence(&place.run(&[command]), 1, &format!("{address} is taken"));
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_directory_that_cannot_be_written_to_is_named() {
    // Not even the superuser makes files there.
    let place = Place::for_serve().with("TOKENHOUSE_DATABASE_URL", "sqlite:///proc/app.db");
    one_sentence(&place.run(&["serve"]), 1, "cannot write to the directory /proc");
    let place = Place::for_serve().with("TOKENHOUSE_DATABASE_URL", "sqlite:///nowhere/at/all.db");
    one_sentence(
        &place.run(&["serve"]),
        1,
        "the directory /nowhere/at of the database does not exist",
    );
}

#[test]
fn another_master_key_is_refused_and_changes_nothing() {
    let place = Place::for_serve();
    place.serve().stop();
    let listed = place.run(&["keys", "list"]).out;
    let wrong = Place::for_serve()
        .with("TOKENHOUSE_MASTER_KEY", "ab".repeat(32))
        .with(
            "TOKENHOUSE_DATABASE_URL",
            format!("sqlite://{}/tokenhouse.db", place.path().display()),
        );
    for command in [["serve"].as_slice(), &["keys", "rotate"], &["user", "list"]] {
        let said = wrong.run(command);
        one_sentence(&said, 1, "the master key is not the one");
        assert!(!said.err.contains("abab"));
    }
    assert_eq!(place.run(&["keys", "list"]).out, listed);
    let doctor = wrong.run(&["doctor"]);
    assert_eq!(doctor.code, Some(1));
    assert!(doctor.out.contains("fail  master key"), "{}", doctor.out);
}

fn change_schema(place: &Place, statement: &'static str) {
    let path = place.path().join("tokenhouse.db");
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let url = format!("sqlite://{}", path.display());
        let store = Store::open(&url, StoreOptions::default()).await.unwrap();
        query(statement).execute(&mut store.single()).await.unwrap();
        store.close().await;
    });
}

#[test]
fn a_newer_or_older_schema_is_left_alone() {
    let place = Place::for_serve();
    place.serve().stop();
    change_schema(&place, "INSERT INTO _migrations VALUES ('9998_future', '', 0)");
    let expanded =
        "a newer version has added to the database (9998_future); this one works with it as it is\n";
    assert_eq!(place.run(&["migrate"]).out, expanded);
    assert_eq!(place.run(&["migrate", "--check"]).out, expanded);
    assert_eq!(place.run(&["user", "list"]).code, Some(0));
    assert!(place.run(&["doctor"]).out.contains("ok    schema"));
    assert_eq!(place.serve().get("/health/ready").0, 200);
    change_schema(
        &place,
        "UPDATE _migrations SET name = '9999_contract_future' WHERE name = '9998_future'",
    );
    for command in [["serve"].as_slice(), &["user", "list"], &["migrate"]] {
        one_sentence(
            &place.run(command),
            1,
            "newer version (it has 9999_contract_future)",
        );
    }
    assert!(place.run(&["doctor"]).out.contains("fail  schema"));
    change_schema(
        &place,
        "UPDATE _migrations SET name = '0000_past' WHERE name = '9999_contract_future'",
    );
    change_schema(&place, "DELETE FROM _migrations WHERE name = '0000_past'");
    assert_eq!(place.run(&["migrate", "--check"]).code, Some(0));

    let place = Place::for_serve();
    assert_eq!(place.run(&["migrate", "--check"]).code, Some(1));
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
    assert!(place.run(&["migrate"]).out.contains("applied 0001_house\n"));
    assert_eq!(place.run(&["migrate"]).out, "the database is up to date\n");
    change_schema(
        &place,
        "DELETE FROM _migrations WHERE name = (SELECT MAX(name) FROM _migrations)",
    );
    one_sentence(&place.run(&["serve"]), 1, "run `tokenhouse migrate`");
    assert!(
        place
            .run(&["migrate", "--dry-run"])
            .out
            .starts_with("to be applied: ")
    );
}
