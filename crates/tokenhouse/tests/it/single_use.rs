//! What is good once (links, codes, challenges, half-finished logins), presented fifty times at once on two nodes of one
//! PostgreSQL and on the one node of an SQLite file: one is first.

use std::sync::Arc;

use serde_json::{Value, json};
use tokenhouse::Invitation;
use tokenhouse::settings::Period;
use tokenhouse::store::query;
use tokenhouse::testing::PASSWORD;

use crate::contenders::{Nodes, rounds};
use crate::on_both_engines;
use crate::passkeys::enrol;
use crate::second_factors::{half_way, set_up_app};
use crate::support::api::{Answer, Api, Letter, Tokens};
use crate::support::authenticator::Authenticator;

const NEW: &str = "another long password";

/// A door, and what each contender brings to it: all the same, or each a login of their own that waits for the same code.
struct Once {
    what: &'static str,
    path: &'static str,
    access: Option<String>,
    bodies: Vec<Value>,
}

fn once(what: &'static str, path: &'static str, body: Value) -> Once {
    Once {
        what,
        path,
        access: None,
        bodies: vec![body],
    }
}

async fn verified(api: &Api, email: &str) -> Tokens {
    let tokens = api.signup(email).await;
    let letter = api.mail("verify", email).await;
    api.post("/auth/email/verify", None, json!({ "token": letter.token }))
        .await
        .is(204);
    tokens
}

async fn asked(api: &Api, path: &str, kind: &str, email: &str) -> Letter {
    api.post(path, None, json!({ "email": email })).await.is(202);
    api.mail(kind, email).await
}

async fn change(api: &Api, tokens: &Tokens, new: &str) -> Letter {
    let body = json!({ "new_email": new, "password": PASSWORD });
    api.post("/users/me/email", Some(&tokens.access), body)
        .await
        .is(202);
    api.mail("change", new).await
}

fn typed(letter: &Letter) -> Value {
    json!({ "email": letter.to, "code": letter.code })
}

/// One of everything that is good once, each of an account of its own.
async fn everything(api: &Api, round: usize) -> Vec<Once> {
    let mut all = Vec::new();
    let mut number = 0;
    let mut email = || {
        number += 1;
        format!("user{number}of{round}@example.org")
    };

    for by_code in [false, true] {
        let given = |letter: &Letter| {
            if by_code {
                typed(letter)
            } else {
                json!({ "token": letter.token })
            }
        };
        let who = email();
        api.signup(&who).await;
        let letter = api.mail("verify", &who).await;
        all.push(once("a mail that verifies", "/auth/email/verify", given(&letter)));

        let who = email();
        api.signup(&who).await;
        api.mails().await;
        let letter = asked(api, "/auth/magic/request", "claim", &who).await;
        all.push(once("a mail that takes over", "/auth/magic", given(&letter)));

        let who = email();
        verified(api, &who).await;
        let letter = asked(api, "/auth/magic/request", "magic", &who).await;
        all.push(once("a mail to log in", "/auth/magic", given(&letter)));

        let who = email();
        verified(api, &who).await;
        let letter = asked(api, "/auth/password/forgot", "reset", &who).await;
        let mut body = given(&letter);
        body["new_password"] = json!(NEW);
        all.push(once("a mail to choose a password", "/auth/password/reset", body));

        let ada = verified(api, &email()).await;
        let letter = change(api, &ada, &email()).await;
        all.push(Once {
            access: Some(ada.access),
            ..once("a mail to a new address", "/auth/email/change", given(&letter))
        });
    }

    let who = email();
    let ada = verified(api, &who).await;
    let letter = change(api, &ada, &email()).await;
    let body = json!({ "token": letter.token });
    api.post("/auth/email/change", Some(&ada.access), body)
        .await
        .is(204);
    let letter = api.mail("changed", &who).await;
    let body = json!({ "token": letter.token });
    all.push(once("a mail to the old address", "/auth/email/undo", body));

    let who = email();
    let ada = verified(api, &who).await;
    set_up_app(api, ada).await;
    let letter = api.mail("first_factor", &who).await;
    let body = json!({ "token": letter.token });
    all.push(once("a mail against a factor", "/auth/factors/undo", body));

    let who = email();
    let invitation = Invitation {
        email: who.clone(),
        ..Invitation::default()
    };
    api.house().invite(&invitation).await.unwrap();
    let letter = api.mail("invitation", &who).await;
    let body = json!({ "email": who, "password": PASSWORD, "invitation": letter.token });
    all.push(once("an invitation", "/auth/signup", body));

    let who = email();
    let app = set_up_app(api, api.signup(&who).await).await;
    let mut halves = Vec::new();
    for _ in 0..8 {
        halves.push(half_way(api, &who).await);
    }
    let recovery = &app.recovery_codes[0];
    all.push(Once {
        bodies: halves
            .iter()
            .map(|half| json!({ "mfa_token": half, "recovery_code": recovery }))
            .collect(),
        ..once("a recovery code", "/auth/mfa", Value::Null)
    });

    let who = email();
    let app = set_up_app(api, api.signup(&who).await).await;
    let half = half_way(api, &who).await;
    all.push(Once {
        bodies: app
            .recovery_codes
            .iter()
            .map(|code| json!({ "mfa_token": half, "recovery_code": code }))
            .collect(),
        ..once("a login half way", "/auth/mfa", Value::Null)
    });

    let ada = api.signup(&email()).await;
    let mut device = Authenticator::es256();
    enrol(api, &ada.access, &mut device).await.is(201);
    let options = api
        .post("/auth/passkey/begin", None, Value::Null)
        .await
        .is(200)
        .json();
    let body = json!({ "credential": device.get(&options) });
    all.push(once("the answer of a passkey", "/auth/passkey/finish", body));

    let ada = api.signup(&email()).await;
    let begin = "/users/me/passkeys/begin";
    let options = api
        .post(begin, Some(&ada.access), Value::Null)
        .await
        .is(200)
        .json();
    let body = json!({ "credential": Authenticator::es256().create(&options), "name": "My phone" });
    all.push(Once {
        access: Some(ada.access),
        ..once("a passkey that was made", "/users/me/passkeys/finish", body)
    });

    let who = email();
    let app = set_up_app(api, api.signup(&who).await).await;
    let mut halves = Vec::new();
    for _ in 0..8 {
        halves.push(half_way(api, &who).await);
    }
    // Last, since the clock moves on.
    let code = app.fresh_code(api);
    all.push(Once {
        bodies: halves
            .iter()
            .map(|half| json!({ "mfa_token": half, "code": code }))
            .collect(),
        ..once("the code of an app", "/auth/mfa", Value::Null)
    });
    api.mails().await;
    all
}

/// How many got in, where nobody may learn of a trouble of ours.
fn winners(what: &str, answers: &[Answer]) -> usize {
    let troubled = answers.iter().find(|answer| answer.status.is_server_error());
    assert!(troubled.is_none(), "{what}: {troubled:?}");
    answers.iter().filter(|answer| answer.status.is_success()).count()
}

on_both_engines! {
    async fn what_is_good_once_is_used_once(place: &Place) {
        let nodes = Nodes::on(place, Period::seconds(0)).await;
        for round in 0..rounds(1) {
            for Once { what, path, access, bodies } in everything(nodes.first(), round).await {
                let (access, bodies) = (Arc::new(access), Arc::new(bodies));
                let answers = nodes.contend(|api, number| {
                    let (access, bodies) = (Arc::clone(&access), Arc::clone(&bodies));
                    // Both nodes get each of them.
                    async move { api.post(path, access.as_deref(), bodies[number / 2 % bodies.len()].clone()).await }
                })
                .await;
                assert_eq!(winners(what, &answers), 1, "{what}: {answers:?}");
            }
        }
    }

    /// Whoever changes an account by a mail holds the account before the ticket, as a deletion does: none waits for the other.
    async fn a_deletion_beside_a_reset_or_a_login_by_mail_is_no_trouble(place: &Place) {
        let nodes = Nodes::on(place, Period::seconds(0)).await;
        let api = nodes.first();
        for round in 0..rounds(4) {
            let who = format!("ada{round}@example.org");
            let ada = verified(api, &who).await;
            let reset = asked(api, "/auth/password/forgot", "reset", &who).await;
            let magic = asked(api, "/auth/magic/request", "magic", &who).await;
            let access = Arc::new(ada.access);
            let answers = nodes.contend(|api, number| {
                let (access, reset, magic) = (Arc::clone(&access), reset.token.clone(), magic.token.clone());
                async move {
                    match number % 3 {
                        0 => api.delete("/users/me", Some(&access), json!({ "password": PASSWORD })).await,
                        1 => api.post("/auth/password/reset", None, json!({ "token": reset, "new_password": NEW })).await,
                        _ => api.post("/auth/magic", None, json!({ "token": magic })).await,
                    }
                }
            })
            .await;
            assert!(winners("a deletion", &answers) >= 1, "{answers:?}");
            api.mails().await;
        }
    }

    /// A counter that does not go up because the passkey is gone is no sign of a copy.
    async fn a_passkey_that_is_removed_while_it_is_used_was_not_copied(place: &Place) {
        let nodes = Nodes::on(place, Period::seconds(0)).await;
        let api = nodes.first();
        for round in 0..rounds(4) {
            let ada = api.signup(&format!("ada{round}@example.org")).await;
            let mut device = Authenticator::es256();
            let made = enrol(api, &ada.access, &mut device).await.is(201).json();
            let mut answers = Vec::new();
            for _ in 0..8 {
                let options = api.post("/auth/passkey/begin", None, Value::Null).await.is(200).json();
                answers.push(json!({ "credential": device.get(&options) }));
            }
            let path = format!("/users/me/passkeys/{}", made["passkey"]["id"].as_str().unwrap());
            let (path, access, answers) = (Arc::new(path), Arc::new(ada.access), Arc::new(answers));
            let answered = nodes.contend(|api, number| {
                let (path, access, answers) = (Arc::clone(&path), Arc::clone(&access), Arc::clone(&answers));
                async move {
                    if number < 2 {
                        api.delete(&path, Some(&access), Value::Null).await
                    } else {
                        api.post("/auth/passkey/finish", None, answers[number % answers.len()].clone()).await
                    }
                }
            })
            .await;
            winners("a passkey", &answered);
        }
        let regressed = query("SELECT COUNT(*) FROM events WHERE kind = 'passkey.counter_regressed'");
        assert_eq!(api.rows::<(i64,)>(regressed).await, [(0,)]);
    }
}
