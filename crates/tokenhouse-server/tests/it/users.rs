//! Accounts from the command line, and what a running server makes of them.

use serde_json::json;

use crate::{PASSWORD, Place, SIGNUP, field};

const OTHER: &str = "another horse battery staple";

#[test]
fn an_account_lives_from_create_to_delete() {
    let place = Place::for_serve().with("TOKENHOUSE_SECOND_FACTORS__REQUIRED_FOR", "admin");
    let server = place.serve();
    let with_password = format!("{PASSWORD}\n");
    let create = [
        "user",
        "create",
        "--email",
        "Ada@example.org",
        "--username",
        "ada",
        "--role",
        "staff",
        "--json",
    ];
    let said = place.run_with(&with_password, &create);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let id = field(&said.out, "id");
    assert!(said.out.contains("\"staff\"") && !said.out.contains(PASSWORD));
    let again = place.run_with(&with_password, &create);
    assert_eq!(
        (again.code, again.err.as_str()),
        (
            Some(1),
            "tokenhouse: an account with this e-mail address exists\n"
        )
    );

    let login = |password: &str| {
        server.post(
            "/auth/login",
            &format!(r#"{{"login":"ada","password":"{password}"}}"#),
        )
    };
    assert_eq!(login(PASSWORD).0, 200);
    for name in [id.as_str(), "ada@example.org", "ADA"] {
        let said = place.run(&["user", "show", name, "--json"]);
        assert_eq!(field(&said.out, "id"), id);
    }
    assert_eq!(
        place
            .run_with(&format!("{OTHER}\n"), &["user", "set-password", "ada"])
            .code,
        Some(0)
    );
    assert_eq!(login(PASSWORD).0, 401);
    assert_eq!(login(OTHER).0, 200);

    assert_eq!(
        place.run(&["user", "disable", &id]).out,
        "Ada@example.org is disabled,staff\n"
    );
    assert_eq!(login(OTHER).0, 403);
    assert_eq!(place.run(&["user", "enable", &id]).code, Some(0));
    assert_eq!(login(OTHER).0, 200);

    let (_, body) = login(OTHER);
    let refresh = |body: &str| {
        let token = field(body, "refresh_token");
        server.post("/auth/refresh", &format!(r#"{{"refresh_token":"{token}"}}"#))
    };
    let said = place.run(&["user", "set-rights", &id, "--role", "staff", "--role", "editor"]);
    assert_eq!(
        said.out, "Ada@example.org is active,staff,editor\n",
        "{}",
        said.err
    );
    let (status, body) = refresh(&body);
    assert_eq!(status, 200, "{body}");
    // What demands a second factor, where there is none, ends what was opened without.
    let said = place.run(&["user", "set-rights", &id, "--role", "admin"]);
    assert_eq!(said.out, "Ada@example.org is active,admin\n", "{}", said.err);
    let (status, body) = refresh(&body);
    assert_eq!((status, field(&body, "code").as_str()), (401, "refresh_invalid"));
    assert_eq!(field(&login(OTHER).1, "code"), "mfa_required");
    let said = place.run(&["user", "set-rights", &id, "--role", "staff"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let said = place.run(&["user", "allow-codes", &id]);
    assert_eq!(
        said.out, "codes of Ada@example.org are looked at again\n",
        "{}",
        said.err
    );
    let said = place.run(&["user", "reset", &id]);
    assert!(said.err.contains("sends no mail"), "{}", said.err);

    let said = place.run(&["user", "remove-factors", &id]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("has no second factor any more"), "{}", said.out);

    let asked = place.run(&["user", "delete", &id]);
    assert_eq!(
        (asked.code, asked.err.as_str()),
        (Some(2), "tokenhouse: nobody can be asked here: add --yes\n")
    );
    assert_eq!(place.run(&["user", "delete", &id, "--yes"]).code, Some(0));
    assert_eq!(login(OTHER).0, 401);
    let gone = place.run(&["user", "show", "ada"]);
    assert!(
        gone.err.starts_with("tokenhouse: there is no user `ada`"),
        "{}",
        gone.err
    );
}

#[test]
fn a_password_is_never_an_argument_and_a_bad_one_is_told_whole() {
    let place = Place::new();
    assert_eq!(
        place
            .run(&["user", "create", "--email", "a@example.org", "--password", "x"])
            .code,
        Some(2)
    );
    let said = place.run_with("password\n", &["user", "create", "--email", "nonsense"]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.lines().count() >= 2, "{}", said.err);
    assert!(
        said.err.contains("email ") && said.err.contains("password "),
        "{}",
        said.err
    );
    let said = place.run(&["user", "create", "--email", "a@example.org"]);
    assert!(
        said.err.contains("write it as one line to standard input"),
        "{}",
        said.err
    );
}

#[test]
fn accounts_are_listed_in_pages() {
    let place = Place::new();
    for name in ["ada", "bob", "cleo"] {
        let email = format!("{name}@example.org");
        place.run_with(&format!("{PASSWORD}\n"), &["user", "create", "--email", &email]);
    }
    let first = place.run(&["user", "list", "--limit", "2"]);
    assert_eq!(first.out.lines().count(), 2);
    let after = first.err.trim_end().rsplit(' ').next().unwrap().to_owned();
    let second = place.run(&["user", "list", "--limit", "2", "--after", &after, "--json"]);
    let users: serde_json::Value = serde_json::from_str(&second.out).unwrap();
    assert_eq!(users.as_array().unwrap().len(), 1);
    assert_eq!(users[0]["email"], "cleo@example.org");
}

#[test]
fn whoever_lost_every_second_factor_is_let_in_by_the_operator() {
    let place = Place::for_serve();
    let server = place.serve();
    let (_, body) = server.post("/auth/signup", SIGNUP);
    let bearer = format!("authorization: Bearer {}\r\n", field(&body, "access_token"));
    let (status, begun) = server.post_with("/users/me/totp", &bearer, "");
    assert_eq!(status, 200, "{begun}");
    let secret = tokenhouse::Secret::from(field(&begun, "secret"));
    let now = tokenhouse::Clock::system().now();
    let code = tokenhouse::features::totp::code_of_app(&secret, now);
    let confirm = json!({ "code": code }).to_string();
    let (status, confirmed) = server.post_with("/users/me/totp/confirm", &bearer, &confirm);
    assert_eq!(status, 200, "{confirmed}");
    let refresh = format!(r#"{{"refresh_token":"{}"}}"#, field(&body, "refresh_token"));
    let (status, refreshed) = server.post("/auth/refresh", &refresh);
    assert_eq!(status, 200, "{refreshed}");
    let refresh = format!(r#"{{"refresh_token":"{}"}}"#, field(&refreshed, "refresh_token"));
    let (status, due) = server.post("/auth/login", SIGNUP);
    assert_eq!(
        (status, field(&due, "code").as_str()),
        (401, "mfa_required"),
        "{due}"
    );

    let said = place.run(&["user", "remove-factors", "ada@example.org"]);
    assert_eq!(
        said.out,
        "ada@example.org has no second factor any more; every session is over, the password is as it was\n"
    );
    // The server that runs meanwhile follows.
    assert_eq!(server.post("/auth/login", SIGNUP).0, 200);
    assert_eq!(server.post("/auth/refresh", &refresh).0, 401);
    let recovery = json!({ "mfa_token": field(&due, "mfa_token"), "code": code }).to_string();
    assert_eq!(
        server.post("/auth/mfa", &recovery).0,
        401,
        "nor does a step that was begun go on"
    );
    let nobody = place.run(&["user", "remove-factors", "eve@example.org"]);
    assert_eq!(nobody.code, Some(1));
}
