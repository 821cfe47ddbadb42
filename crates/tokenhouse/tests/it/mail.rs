//! Mails that are asked for, and mails that warn: what they say, how many there are, and what they give away.

use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use http::Request;
use http::header::{ACCEPT_LANGUAGE, CONTENT_TYPE, USER_AGENT};
use serde_json::{Value, json};
use tokenhouse::testing::PASSWORD;

use crate::observability::log_of;
use crate::on_both_engines;
use crate::second_factors::{half_way, set_up_app, with_app};
use crate::support::Place;
use crate::support::api::{Answer, Api, Letter, Tokens};

/// Every door that takes a ticket from a mail, and what else it wants.
const DOORS: [(&str, &str); 6] = [
    ("/auth/email/verify", ""),
    ("/auth/email/change", ""),
    ("/auth/email/undo", ""),
    ("/auth/password/reset", "new_password"),
    ("/auth/magic", ""),
    ("/auth/factors/undo", ""),
];

/// As somebody who is logged in, which one door asks for too.
async fn at_door(api: &Api, tokens: &Tokens, (path, also): (&str, &str), mut body: Value) -> Answer {
    if !also.is_empty() {
        body[also] = json!("another long password");
    }
    let token = (path == "/auth/email/change").then_some(tokens.access.as_str());
    api.post(path, token, body).await
}

/// A mail of every kind that carries a ticket, by the door it is meant for, all of one account.
async fn one_of_each(api: &Api) -> Vec<(&'static str, Letter)> {
    let ada = api.signup("ada@example.org").await;
    let verify = api.mail("verify", "ada@example.org").await;
    api.post("/auth/email/verify", None, json!({ "token": verify.token }))
        .await
        .is(204);
    let change = async |new: &str| {
        let body = json!({ "new_email": new, "password": PASSWORD });
        api.post("/users/me/email", Some(&ada.access), body).await.is(202);
        api.mail("change", new).await
    };
    let letter = change("mid@example.org").await;
    api.post(
        "/auth/email/change",
        Some(&ada.access),
        json!({ "token": letter.token }),
    )
    .await
    .is(204);
    let undo = api.mail("changed", "ada@example.org").await;
    let change = change("new@example.org").await;
    let asked = async |path: &str, kind: &str| {
        api.post(path, None, json!({ "email": "mid@example.org" }))
            .await
            .is(202);
        api.mail(kind, "mid@example.org").await
    };
    let reset = asked("/auth/password/forgot", "reset").await;
    let magic = asked("/auth/magic/request", "magic").await;
    let eve = api
        .post(
            "/auth/signup",
            None,
            json!({ "email": "eve@example.org", "password": PASSWORD }),
        )
        .await;
    assert_eq!(eve.status, 201);
    let verify = api.mail("verify", "eve@example.org").await;
    let max = api.signup("max@example.org").await;
    let own = api.mail("verify", "max@example.org").await;
    api.post("/auth/email/verify", None, json!({ "token": own.token }))
        .await
        .is(204);
    set_up_app(api, max).await;
    let factor = api.mail("first_factor", "max@example.org").await;
    vec![
        ("/auth/factors/undo", factor),
        ("/auth/email/verify", verify),
        ("/auth/email/change", change),
        ("/auth/email/undo", undo),
        ("/auth/password/reset", reset),
        ("/auth/magic", magic),
    ]
}

async fn posted(api: &Api, path: &str, address: &str, agent: &str, language: &str, body: Value) -> Answer {
    let peer = std::net::SocketAddr::new(address.parse().unwrap(), 40_000);
    let request = Request::post(path)
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, agent)
        .header(ACCEPT_LANGUAGE, language)
        .extension(ConnectInfo(peer));
    api.send(request.body(Body::from(body.to_string())).unwrap())
        .await
}

on_both_engines! {
    async fn a_link_of_each_kind_opens_its_own_door_only(place: &Place) {
        let api = Api::on(place).await;
        let letters = one_of_each(&api).await;
        let ada = api.login("mid@example.org").await;
        api.mails().await;
        let mut tried = 0;
        for (own, letter) in &letters {
            for door in DOORS.iter().filter(|door| door.0 != *own) {
                let what = format!("{own} at {}", door.0);
                let answer = at_door(&api, &ada, *door, json!({ "token": letter.token })).await;
                assert_eq!(answer.status, 401, "{what}: {answer:?}");
                answer.problem(401, "ticket_invalid");
                if !door.0.ends_with("/undo") && !letter.code.is_empty() {
                    let answer = at_door(&api, &ada, *door, json!({ "email": letter.to, "code": letter.code })).await;
                    assert_eq!(answer.status, 401, "{what}: {answer:?}");
                }
                tried += 1;
            }
            // Nor is it a token of any other sort, nor another's a ticket.
            api.me(&letter.token).await.problem(401, "token_invalid");
            api.refresh(&letter.token).await.problem(401, "refresh_invalid");
        }
        for door in DOORS {
            for token in [&ada.access, &ada.refresh] {
                at_door(&api, &ada, door, json!({ "token": token })).await.problem(401, "ticket_invalid");
            }
        }
        assert_eq!(tried, 30);
        assert!(api.mails().await.is_empty());
        // All of that used nothing up.
        for (own, letter) in &letters {
            let door = DOORS.into_iter().find(|door| door.0 == *own).unwrap();
            if matches!(*own, "/auth/email/verify" | "/auth/magic") {
                let answer = at_door(&api, &ada, door, json!({ "token": letter.token })).await;
                assert!(answer.status.is_success(), "{own}: {answer:?}");
            }
        }
    }

    async fn asking_tells_nobody_who_has_an_account(place: &Place) {
        let api = Api::on(place).await;
        api.signup("ada@example.org").await;
        let verified = api.mail("verify", "ada@example.org").await;
        for path in ["/auth/password/forgot", "/auth/magic/request", "/auth/email/verify/request"] {
            let known = api.post(path, None, json!({ "email": "ada@example.org" })).await.is(202);
            let unknown = api.post(path, None, json!({ "email": "bob@example.org" })).await.is(202);
            assert_eq!(known.body, unknown.body, "{path}");
            let names = |answer: &Answer| answer.headers.keys().map(ToString::to_string).collect::<Vec<_>>();
            assert_eq!(names(&known), names(&unknown));
            let mails = api.mails().await;
            assert!(mails.len() == 1 && mails[0].to == "ada@example.org", "{path}: {mails:?}");
        }
        // A code that is guessed for an address without an account is counted and refused alike.
        for email in ["ada@example.org", "bob@example.org"] {
            let body = json!({ "email": email, "code": "0000 0000", "new_password": "another long password" });
            api.post("/auth/password/reset", None, body).await.problem(401, "ticket_invalid");
        }
        let tries: Vec<(i64,)> = api
            .rows(tokenhouse::store::query("SELECT tries FROM tickets WHERE purpose = 'password.reset'"))
            .await;
        assert_eq!(tries, [(1,), (1,)]);
        assert!(api.rows::<(String,)>(tokenhouse::store::query("SELECT address FROM outbox WHERE address = 'bob@example.org'")).await.is_empty(), "a decoy does not stay");
        drop(verified);
    }

    async fn a_sign_up_that_may_not_tell_tells_the_owner(place: &Place) {
        let api = Api::with(place, |builder| builder.configure(|settings| settings.signup.reveal_taken = false)).await;
        let signup = |email: &str, username: &str| {
            api.post("/auth/signup", None, json!({ "email": email, "username": username, "password": PASSWORD }))
        };
        let new = signup("ada@example.org", "ada").await.is(202);
        api.mail("verify", "ada@example.org").await;
        let taken = signup("ADA@example.org", "lovelace").await.is(202);
        let letter = api.mail("signup_attempt", "ada@example.org").await;
        assert_eq!((letter.link.as_str(), letter.code.as_str()), ("", ""));
        let name = signup("eve@example.org", "ada").await.is(202);
        let told = api.mail("username_taken", "eve@example.org").await;
        assert!(told.text.contains("username ada"), "{told:?}");
        assert!(new.body == taken.body && new.body == name.body);
        assert_eq!(api.house().users(None, 10).await.unwrap().len(), 1);
        api.login("ada@example.org").await;
    }

    async fn mails_to_one_address_are_bounded_and_the_answer_stays_the_same(place: &Place) {
        let api = Api::on(place).await;
        api.signup("ada@example.org").await;
        let first = api.mail("verify", "ada@example.org").await;
        let ask = || api.post("/auth/password/forgot", None, json!({ "email": "ada@example.org" }));
        let mut sent = Vec::new();
        for _ in 0..12 {
            ask().await.is(202);
            sent.extend(api.mails().await);
        }
        assert_eq!(sent.len(), 5);
        // Asking beyond that does not take the code away that somebody was sent.
        let letter = Letter::of(sent.last().unwrap());
        let body = json!({ "email": "ada@example.org", "code": letter.code, "new_password": "another long password" });
        api.post("/auth/password/reset", None, body).await.is(204);
        // A warning is not among them.
        api.mail("password_changed", "ada@example.org").await;
        api.test.advance(Duration::from_secs(12 * 60));
        ask().await.is(202);
        api.mail("reset", "ada@example.org").await;
        drop(first);
    }

    /// What a stranger asks for does not use up what the owner needs.
    async fn asking_for_one_sort_of_mail_silences_no_other(place: &Place) {
        let api = Api::with(place, |builder| {
            builder.configure(|settings| settings.second_factors.email_code = true)
        })
        .await;
        let app = with_app(&api, "ada@example.org").await;
        let letter = api.mails().await.iter().find(|mail| mail.kind == "verify").map(Letter::of).unwrap();
        api.post("/auth/email/verify", Some(&app.tokens.access), json!({ "token": letter.token })).await.is(204);
        for _ in 0..12 {
            for path in ["/auth/email/verify/request", "/auth/magic/request"] {
                api.post(path, None, json!({ "email": "ada@example.org" })).await.is(202);
            }
            let taken = json!({ "email": "ada@example.org", "password": PASSWORD });
            api.post("/auth/signup", None, taken).await;
        }
        api.mails().await;
        api.post("/auth/password/forgot", None, json!({ "email": "ada@example.org" })).await.is(202);
        api.mail("reset", "ada@example.org").await;
        for _ in 0..12 {
            api.post("/auth/password/forgot", None, json!({ "email": "ada@example.org" })).await.is(202);
        }
        api.mails().await;
        let half = half_way(&api, "ada@example.org").await;
        api.post("/auth/mfa/email", None, json!({ "mfa_token": half })).await.is(202);
        api.mail("second_step", "ada@example.org").await;
        drop(app);
    }

    /// Signing up again and again with an address that waits to be verified neither silences nor voids what verifies it.
    async fn signing_up_with_an_address_does_not_keep_its_owner_from_verifying_it(place: &Place) {
        let api = Api::with(place, |builder| {
            builder.configure(|settings| {
                settings.signup.reveal_taken = false;
                settings.signup.require_verified_email = true;
            })
        })
        .await;
        let body = json!({ "email": "ada@example.org", "password": PASSWORD });
        api.post("/auth/signup", None, body.clone()).await.is(202);
        let letter = api.mail("verify", "ada@example.org").await;
        for _ in 0..12 {
            api.post("/auth/signup", None, body.clone()).await.is(202);
        }
        assert_eq!(api.mails().await.len(), 5, "told of, but not without end");
        api.post("/auth/email/verify/request", None, json!({ "email": "ada@example.org" })).await.is(202);
        let again = api.mail("verify", "ada@example.org").await;
        for _ in 0..2 {
            api.post("/auth/signup", None, body.clone()).await.is(202);
        }
        let typed = json!({ "email": "ada@example.org", "code": again.code });
        api.post("/auth/email/verify", None, typed).await.is(204);
        api.login("ada@example.org").await;
        drop(letter);
    }

    async fn the_mails_of_sign_ups_are_counted_per_network(place: &Place) {
        let api = Api::with(place, |builder| builder.configure(|settings| {
            settings.rate_limit.enabled = true;
            settings.mail.per_network = 3;
        })).await;
        let signup = |address: &'static str, number: u8| {
            let body = json!({ "email": format!("user{number}@example.org"), "password": PASSWORD });
            let api = &api;
            async move { api.post_from(address, "/auth/signup", body).await }
        };
        for number in 0..3 {
            signup("192.0.2.1", number).await.is(201);
        }
        // What is refused anyway sends nothing, and is not counted.
        api.post_from("192.0.2.2", "/auth/signup", json!({ "email": "x@example.org", "password": "short" })).await.is(422);
        signup("192.0.2.1", 3).await.problem(429, "rate_limited");
        signup("192.0.2.2", 3).await.is(201);
        api.test.advance(Duration::from_secs(30));
        signup("192.0.2.1", 4).await.is(201);
        assert_eq!(api.mails().await.len(), 5);
    }

    /// Whoever is in the account can repeat what is told of; it must not make them silent about anything else.
    async fn many_logins_do_not_silence_what_comes_after_them(place: &Place) {
        let api = Api::on(place).await;
        let body = json!({ "email": "ada@example.org", "password": PASSWORD });
        let ada = api.signup("ada@example.org").await;
        api.mails().await;
        for number in 0..35_u8 {
            let agent: String = std::iter::repeat_n('x', usize::from(number) + 1).collect();
            posted(&api, "/auth/login", "192.0.2.1", &agent, "en", body.clone()).await.is(200);
        }
        let told = api.mails().await;
        assert!(told.len() == 10 && told.iter().all(|mail| mail.kind == "new_device"), "{}", told.len());
        api.change_password(&ada.access, PASSWORD, "another long password").await.is(204);
        api.mail("password_changed", "ada@example.org").await;
        // Nor does the change silence the next change.
        let mut password = "another long password".to_owned();
        for number in 0..35_u8 {
            let next = format!("another long password {number}");
            api.change_password(&ada.access, &password, &next).await.is(204);
            password = next;
        }
        assert_eq!(api.mails().await.len(), 29);
        set_up_app(&api, ada).await;
        api.mail("factor_added", "ada@example.org").await;
    }

    /// Accounts that nobody has used for long are what stolen passwords are tried on.
    async fn a_login_after_a_long_silence_is_told(place: &Place) {
        let api = Api::on(place).await;
        let body = json!({ "email": "ada@example.org", "password": PASSWORD });
        posted(&api, "/auth/signup", "192.0.2.1", "Firefox/130.0", "en", body.clone()).await.is(201);
        api.mails().await;
        api.test.advance(Duration::from_secs(60 * 86_400));
        api.house().tend().await.unwrap();
        let left: Vec<(i64,)> = api.rows(tokenhouse::store::query("SELECT COUNT(*) FROM sessions")).await;
        assert_eq!(left, [(0,)], "no session is remembered");
        posted(&api, "/auth/login", "198.51.100.7", "curl/8", "en", body.clone()).await.is(200);
        api.mail("new_device", "ada@example.org").await;
    }

    async fn who_asks_for_too_many_is_told_to_wait_whatever_the_addresses(place: &Place) {
        let api = Api::with(place, |builder| builder.configure(|settings| {
            settings.rate_limit.enabled = true;
            settings.mail.per_network = 3;
        })).await;
        for number in 0..3 {
            let email = format!("user{number}@example.org");
            api.post_from("192.0.2.1", "/auth/magic/request", json!({ "email": email })).await.is(202);
        }
        let answer = api.post_from("192.0.2.1", "/auth/password/forgot", json!({ "email": "ada@example.org" })).await;
        answer.problem(429, "rate_limited");
        assert_eq!(answer.header("retry-after"), "30");
        api.post_from("192.0.2.2", "/auth/password/forgot", json!({ "email": "ada@example.org" })).await.is(202);
        api.test.advance(Duration::from_secs(30));
        api.post_from("192.0.2.1", "/auth/password/forgot", json!({ "email": "ada@example.org" })).await.is(202);
    }

    async fn a_login_from_elsewhere_is_told_and_one_from_home_is_not(place: &Place) {
        let api = Api::on(place).await;
        let body = json!({ "email": "ada@example.org", "password": PASSWORD });
        let login = |address: &'static str, agent: &'static str| posted(&api, "/auth/login", address, agent, "de", body.clone());
        posted(&api, "/auth/signup", "192.0.2.1", "Firefox/130.0", "de-AT, en;q=0.5", body.clone()).await.is(201);
        api.mail("verify", "ada@example.org").await;
        for agent in ["Firefox/130.0", "Firefox/131.1"] {
            login("192.0.2.1", agent).await.is(200);
            assert!(api.mails().await.is_empty(), "{agent}");
        }
        for (address, agent) in [("198.51.100.7", "Firefox/131.1"), ("192.0.2.1", "curl/8"), ("2001:db8::1", "evil.example, call 0800")] {
            login(address, agent).await.is(200);
            let mails = api.mails().await;
            assert!(mails.len() == 1 && mails[0].kind == "new_device", "{mails:?}");
            assert_eq!(mails[0].subject, "Neue Anmeldung an Ihrem Konto bei Tokenhouse");
            for part in [&mails[0].text, &mails[0].html] {
                assert!(part.contains(address) && part.contains("1. Januar 2026, 00:00 UTC"), "{part}");
            }
            let device = match agent.split_once('/') {
                Some((program, _)) => program,
                None => "unbekannt",
            };
            assert!(mails[0].text.contains(device), "{}", mails[0].text);
            for part in [&mails[0].text, &mails[0].html] {
                assert!(!part.contains("evil") && !part.contains("0800"), "{part}");
            }
            login(address, agent).await.is(200);
            assert!(api.mails().await.is_empty(), "known by now");
        }
        login("198.51.100.7", "wrong").await;
        api.guess("ada@example.org", "a wrong password").await.is(401);
    }

    async fn whoever_has_a_language_in_their_profile_is_written_to_in_it(place: &Place) {
        let api = Api::on(place).await;
        let body = json!({ "email": "ada@example.org", "password": PASSWORD, "profile": { "locale": "fr-CA" } });
        posted(&api, "/auth/signup", "192.0.2.1", "x", "de", body).await.is(201);
        let letter = api.mail("verify", "ada@example.org").await;
        assert_eq!(letter.subject, "Confirmez votre adresse pour Tokenhouse");
        posted(&api, "/auth/password/forgot", "192.0.2.1", "x", "tlh", json!({ "email": "ada@example.org" })).await.is(202);
        assert_eq!(api.mail("reset", "ada@example.org").await.subject, "Choisissez un nouveau mot de passe pour Tokenhouse");
    }
}

/// The statements that `path` runs for this body.
fn statements(runtime: &tokio::runtime::Runtime, api: &Api, path: &str, body: Value) -> Vec<String> {
    let (answer, log) = log_of(|| runtime.block_on(api.post(path, None, body)));
    assert!(answer.status.is_success(), "{path}: {answer:?}");
    let statement = |line: &str| {
        let (_, text) = line.split_once("tokenhouse::sql: statement=")?;
        Some(text.split("\\n").map(str::trim).collect::<Vec<_>>().join(" "))
    };
    log.lines().filter_map(statement).collect()
}

fn the_work_is_the_same(place: &Place) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (told, hushed) = runtime.block_on(async {
        let told = Api::on(place).await;
        told.signup("ada@example.org").await;
        (
            told,
            Api::with(place, |builder| {
                builder.configure(|settings| settings.signup.reveal_taken = false)
            })
            .await,
        )
    });
    for path in [
        "/auth/password/forgot",
        "/auth/magic/request",
        "/auth/email/verify/request",
    ] {
        let known = statements(&runtime, &told, path, json!({ "email": "ada@example.org" }));
        let unknown = statements(&runtime, &told, path, json!({ "email": "bob@example.org" }));
        assert!(known.len() >= 5, "{path}: {known:?}");
        assert_eq!(known, unknown, "{path}");
    }
    let signup = |email: &str| {
        let body = json!({ "email": email, "password": PASSWORD });
        statements(&runtime, &hushed, "/auth/signup", body)
    };
    let (new, taken) = (signup("new@example.org"), signup("ada@example.org"));
    assert_eq!(new.len(), taken.len(), "\n{new:#?}\n{taken:#?}");
    let different: Vec<_> = new
        .iter()
        .zip(&taken)
        .filter(|(new, taken)| new != taken)
        .collect();
    // Where an account is opened its password is written; where not, it is looked for who has the address.
    assert_eq!(different.len(), 1, "{different:?}");
}

#[test]
fn an_address_without_an_account_makes_the_same_work_on_sqlite() {
    the_work_is_the_same(&Place::sqlite());
}

#[test]
fn an_address_without_an_account_makes_the_same_work_on_postgres() {
    if let Some(place) = Place::postgres() {
        the_work_is_the_same(&place);
    }
}
