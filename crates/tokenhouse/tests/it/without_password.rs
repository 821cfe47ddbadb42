//! People who have no password: what they prove themselves with, and that no page and no door is closed to them.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokenhouse::store::query;
use tokenhouse::testing::PASSWORD;
use tokenhouse::{Email, NewUser, Origin, Username};

use crate::on_both_engines;
use crate::passkeys::{enrol, log_in};
use crate::second_factors::{set_up_app, with_app};
use crate::support::Place;
use crate::support::api::{Answer, Api, Letter, Tokens, contend, count, faults};
use crate::support::authenticator::Authenticator;
use crate::support::browser::Browser;

const ADA: &str = "ada@example.org";
const NEW: &str = "another long password";
const STALE: Duration = Duration::from_secs(601);

/// Somebody who logs in by mail only.
async fn by_mail_only(api: &Api) -> Tokens {
    let new = NewUser {
        email: Some(Email::parse(ADA).unwrap()),
        email_verified: true,
        ..NewUser::default()
    };
    api.house().create_user(&new, None).await.unwrap();
    enter(api).await
}

async fn enter(api: &Api) -> Tokens {
    api.post("/auth/magic/request", None, json!({ "email": ADA }))
        .await
        .is(202);
    let letter = api.mail("magic", ADA).await;
    let answer = api
        .post("/auth/magic", None, json!({ "token": letter.token }))
        .await;
    Tokens::of(&answer.is(200))
}

/// The same in a browser.
async fn browses_by_mail(api: &Api) -> Browser {
    let mut browser = Browser::new(api);
    let fields = [("email", ADA)];
    browser
        .post("/account/magic", "/account/magic/request", &fields)
        .await
        .is(200);
    let letter = api.mail("magic", ADA).await;
    let page = format!("/account/magic?token={}", letter.token);
    let answer = browser
        .post(&page, "/account/magic", &[("token", &letter.token)])
        .await;
    assert_eq!(answer.leads_to(), "/account");
    browser
}

async fn prove_by_mail(api: &Api, access: &str) -> Answer {
    api.post("/auth/reauthenticate/magic/request", Some(access), Value::Null)
        .await
        .is(202);
    let letter = api.mail("prove", ADA).await;
    assert!(
        letter.link.is_empty(),
        "a link would prove somebody else's session"
    );
    let code = json!({ "code": letter.code });
    api.post("/auth/reauthenticate/magic", Some(access), code).await
}

async fn delete(api: &Api, access: &str) -> Answer {
    api.delete("/users/me", Some(access), json!({})).await
}

async fn is_there(api: &Api) -> bool {
    api.house().user_by_name(ADA).await.unwrap().is_some()
}

on_both_engines! {
    async fn an_account_without_a_password_is_deleted_after_a_fresh_proof(place: &Place) {
        let api = Api::on(place).await;
        let ada = by_mail_only(&api).await;
        api.test.advance(STALE);
        delete(&api, &ada.access).await.problem(401, "fresh_proof_required");
        api.delete("/users/me", Some(&ada.access), Value::Null).await.problem(401, "fresh_proof_required");
        // A password that is given must be right, and there is none.
        prove_by_mail(&api, &ada.access).await.is(204);
        api.delete("/users/me", Some(&ada.access), json!({ "password": PASSWORD })).await.problem(401, "invalid_credentials");
        assert!(is_there(&api).await);
        delete(&api, &ada.access).await.is(204);
        assert!(!is_there(&api).await);
        api.me(&ada.access).await.problem(401, "token_revoked");
        // The mail lies there although the account is gone, and says what to do.
        let told = api.mail("account_deleted", ADA).await;
        assert!(told.text.contains("was deleted") && told.text.contains("If it was not you"), "{}", told.text);
    }

    async fn a_fresh_login_is_proof_enough(place: &Place) {
        let api = Api::on(place).await;
        let ada = by_mail_only(&api).await;
        delete(&api, &ada.access).await.is(204);
        assert!(!is_there(&api).await);
    }

    async fn where_there_is_a_password_and_no_second_factor_it_is_still_asked_for(place: &Place) {
        let api = Api::on(place).await;
        let ada = api.signup(ADA).await.access;
        assert_eq!(faults(&delete(&api, &ada).await), [("/password".to_owned(), "missing".to_owned())]);
        let email = json!({ "new_email": "new@example.org" });
        let answer = api.post("/users/me/email", Some(&ada), email).await;
        assert_eq!(faults(&answer), [("/password".to_owned(), "missing".to_owned())]);
        assert_eq!(
            faults(&api.post("/users/me/password", Some(&ada), json!({ "new_password": NEW })).await),
            [("/current_password".to_owned(), "missing".to_owned())]
        );
    }

    async fn a_second_factor_takes_the_place_of_the_password(place: &Place) {
        let api = Api::on(place).await;
        let app = with_app(&api, ADA).await;
        api.mails().await;
        let access = &app.tokens.access;
        api.test.advance(STALE);
        // A stolen password and a stolen session are not enough.
        api.delete("/users/me", Some(access), json!({ "password": PASSWORD })).await.problem(401, "fresh_proof_required");
        let code = json!({ "recovery_code": app.recovery_codes[0] });
        api.post("/auth/reauthenticate", Some(access), code).await.is(204);
        api.mail("recovery_code_used", ADA).await;
        api.delete("/users/me", Some(access), json!({ "password": "a wrong password" })).await.problem(401, "invalid_credentials");
        let email = json!({ "new_email": "new@example.org" });
        api.post("/users/me/email", Some(access), email).await.is(202);
        api.mail("change", "new@example.org").await;
        delete(&api, access).await.is(204);
        api.mail("account_deleted", ADA).await;
    }

    async fn the_proof_by_mail_is_for_one_session_once_and_in_time(place: &Place) {
        let api = Api::on(place).await;
        let here = by_mail_only(&api).await;
        let there = enter(&api).await;
        api.test.advance(STALE);
        let ask = async |access: &str| {
            api.post("/auth/reauthenticate/magic/request", Some(access), Value::Null).await.is(202);
            api.mail("prove", ADA).await
        };
        let show = async |access: &str, letter: &Letter| {
            api.post("/auth/reauthenticate/magic", Some(access), json!({ "code": letter.code })).await
        };
        let letter = ask(&here.access).await;
        show(&there.access, &letter).await.problem(401, "ticket_invalid");
        show(&here.access, &letter).await.is(204);
        show(&here.access, &letter).await.problem(401, "ticket_invalid");
        delete(&api, &there.access).await.problem(401, "fresh_proof_required");
        // It logs nobody in.
        let there = enter(&api).await;
        let letter = ask(&there.access).await;
        api.post("/auth/magic", None, json!({ "email": ADA, "code": letter.code })).await.problem(401, "ticket_invalid");
        api.test.advance(STALE);
        show(&there.access, &letter).await.problem(401, "ticket_invalid");
        // Five tries, then not even the right one.
        let letter = ask(&there.access).await;
        for _ in 0..5 {
            api.post("/auth/reauthenticate/magic", Some(&there.access), json!({ "code": "0000 0000" })).await.problem(401, "ticket_invalid");
        }
        show(&there.access, &letter).await.problem(401, "ticket_invalid");
        // An address that was changed since the mail is not the one that was read.
        let letter = ask(&there.access).await;
        api.change(query("UPDATE users SET epoch = epoch + 1")).await;
        show(&there.access, &letter).await.problem(401, "ticket_invalid");
    }

    async fn mails_to_prove_by_are_counted_for_the_account(place: &Place) {
        let api = Api::on(place).await;
        let ada = by_mail_only(&api).await;
        let there = enter(&api).await;
        for tokens in [&ada, &there, &ada, &there, &ada] {
            api.post("/auth/reauthenticate/magic/request", Some(&tokens.access), Value::Null).await.is(202);
        }
        for tokens in [&ada, &there] {
            let answer = api.post("/auth/reauthenticate/magic/request", Some(&tokens.access), Value::Null).await;
            answer.problem(429, "rate_limited");
        }
        assert_eq!(api.mails().await.len(), 5);
    }

    async fn sixteen_with_one_code_prove_once(place: &Place) {
        let api = Arc::new(Api::on(place).await);
        let ada = by_mail_only(&api).await;
        api.post("/auth/reauthenticate/magic/request", Some(&ada.access), Value::Null).await.is(202);
        let letter = api.mail("prove", ADA).await;
        let answers = contend(16, |_| {
            let (api, access, code) = (Arc::clone(&api), ada.access.clone(), letter.code.clone());
            async move { api.post("/auth/reauthenticate/magic", Some(&access), json!({ "code": code })).await }
        })
        .await;
        assert_eq!(count(&answers, 204), 1, "{answers:?}");
    }

    async fn a_mail_does_not_prove_where_more_is_asked_or_nobody_reads_it(place: &Place) {
        let api = Api::on(place).await;
        let unverified = api.signup(ADA).await;
        api.mails().await;
        let ask = "/auth/reauthenticate/magic/request";
        api.post(ask, Some(&unverified.access), Value::Null).await.problem(403, "forbidden");
        api.change(query("UPDATE users SET email_verified_at = 0")).await;
        let app = set_up_app(&api, unverified).await;
        api.mails().await;
        api.post(ask, Some(&app.tokens.access), Value::Null).await.problem(401, "fresh_proof_required");
        assert!(api.mails().await.is_empty());
        let guess = json!({ "code": "0000 0000" });
        api.post("/auth/reauthenticate/magic", Some(&app.tokens.access), guess).await.problem(401, "ticket_invalid");
    }

    async fn the_first_password_is_set_after_a_fresh_proof(place: &Place) {
        let api = Api::on(place).await;
        let ada = by_mail_only(&api).await;
        let other = enter(&api).await;
        api.test.advance(STALE);
        let set = json!({ "new_password": NEW });
        api.post("/users/me/password", Some(&ada.access), set.clone()).await.problem(401, "fresh_proof_required");
        prove_by_mail(&api, &ada.access).await.is(204);
        let short = json!({ "new_password": "short" });
        assert_eq!(faults(&api.post("/users/me/password", Some(&ada.access), short).await)[0].1, "password_too_short");
        api.post("/users/me/password", Some(&ada.access), set.clone()).await.is(204);
        api.mail("password_changed", ADA).await;
        api.guess(ADA, NEW).await.is(200);
        api.me(&ada.access).await.is(200);
        api.me(&other.access).await.problem(401, "token_revoked");
        // From now on it is asked for.
        let again = json!({ "new_password": PASSWORD });
        assert_eq!(
            faults(&api.post("/users/me/password", Some(&ada.access), again).await),
            [("/current_password".to_owned(), "missing".to_owned())]
        );
    }

    async fn sixteen_first_passwords_are_one(place: &Place) {
        let api = Arc::new(Api::unbraked(place).await);
        let ada = by_mail_only(&api).await;
        let answers = contend(16, |number| {
            let (api, access) = (Arc::clone(&api), ada.access.clone());
            let body = json!({ "new_password": format!("password of number {number}") });
            async move { api.post("/users/me/password", Some(&access), body).await }
        })
        .await;
        assert_eq!(count(&answers, 204), 1, "{answers:?}");
    }

    async fn a_person_who_signs_in_by_mail_can_do_everything_at_the_pages(place: &Place) {
        let api = Api::on(place).await;
        by_mail_only(&api).await;
        let mut browser = browses_by_mail(&api).await;
        api.test.advance(STALE);
        for page in ["/account/password", "/account/email", "/account/delete", "/account/totp", "/account/passkeys/new"] {
            let query = url::form_urlencoded::byte_serialize(page.as_bytes()).collect::<String>();
            assert_eq!(browser.get(page).await.leads_to(), format!("/account/prove?return_to={query}"));
        }
        let prove = "/account/prove?return_to=%2Faccount%2Fdelete";
        let page = browser.get(prove).await.is(200).html();
        assert!(!page.contains("name=\"password\"") && page.contains("Send me a code by e-mail"), "{page}");
        let back = ("return_to", "/account/delete");
        let sent = browser.post(prove, "/account/prove/magic/request", &[back]).await.is(200).html();
        assert!(sent.contains("A code is on its way"), "{sent}");
        let letter = api.mail("prove", ADA).await;
        let wrong = browser.post(prove, "/account/prove/magic", &[("code", "0000 0000"), back]).await.is(422).html();
        assert!(wrong.contains("That is not valid") && wrong.contains("value=\"/account/delete\"") || wrong.contains("&#x2f;account&#x2f;delete"), "{wrong}");
        let proven = browser.post(prove, "/account/prove/magic", &[("code", &letter.code), back]).await;
        assert_eq!(proven.leads_to(), "/account/delete");

        // Set a password.
        let page = browser.get("/account/password").await.is(200).html();
        assert!(page.contains("Set a password") && !page.contains("current_password"), "{page}");
        assert!(browser.get("/account").await.html().contains("aria-label=\"Set a password\""));
        let set = browser.post("/account/password", "/account/password", &[("new_password", NEW)]).await;
        assert_eq!(set.leads_to(), "/account?done=password_set");
        api.mail("password_changed", ADA).await;
        api.change(query("DELETE FROM passwords")).await;

        // Change the address.
        let page = browser.get("/account/email").await.is(200).html();
        assert!(!page.contains("name=\"password\""), "{page}");
        let asked = browser.post("/account/email", "/account/email", &[("new_email", "new@example.org")]).await.is(200);
        assert!(asked.html().contains("a mail is on its way"), "{}", asked.html());
        api.mail("change", "new@example.org").await;

        // And end it all.
        let page = browser.get("/account/delete").await.is(200).html();
        assert!(!page.contains("name=\"password\"") && page.contains("Delete for good"), "{page}");
        let gone = browser.post("/account/delete", "/account/delete", &[]).await;
        assert_eq!(gone.leads_to(), "/account/sign-in?done=account_deleted");
        assert!(!browser.is_in().await && !is_there(&api).await);
        api.mail("account_deleted", ADA).await;
    }

    async fn who_has_a_passkey_only_deletes_the_account_with_it(place: &Place) {
        let api = Api::on(place).await;
        let ada = api.signup(ADA).await;
        let mut device = Authenticator::es256();
        enrol(&api, &ada.access, &mut device).await;
        api.change(query("DELETE FROM passwords")).await;
        let tokens = Tokens::of(&log_in(&api, &mut device).await.is(200));
        api.test.advance(STALE);
        delete(&api, &tokens.access).await.problem(401, "fresh_proof_required");
        let options = api.post("/auth/reauthenticate/passkey/begin", Some(&tokens.access), Value::Null).await.is(200).json();
        let shown = json!({ "credential": device.get(&options) });
        api.post("/auth/reauthenticate/passkey/finish", Some(&tokens.access), shown).await.is(204);
        delete(&api, &tokens.access).await.is(204);
        assert!(!is_there(&api).await);
    }

    /// Deletion belongs to the account, not to passwords.
    async fn an_account_is_deleted_where_passwords_are_switched_off(place: &Place) {
        {
            // Somebody who had a password, before the operator did away with them.
            let api = Api::on(place).await;
            api.signup(ADA).await;
            api.change(query("UPDATE users SET email_verified_at = 0")).await;
        }
        let api = Api::with(place, |builder| builder.configure(|settings| settings.features.password = false)).await;
        api.mails().await;
        let tokens = enter(&api).await;
        let mut browser = browses_by_mail(&api).await;
        let page = browser.get("/account/delete").await.is(200).html();
        assert!(!page.contains("name=\"password\""), "{page}");
        browser.get("/account/password").await.is(404);
        delete(&api, &tokens.access).await.is(204);
        assert!(!is_there(&api).await && !browser.is_in().await);
    }
}

/// Nothing to show: a fresh login is what is left, and the page says so.
#[tokio::test]
async fn who_has_nothing_to_show_signs_in_anew() {
    let api = Api::with(&Place::sqlite(), |builder| {
        builder.configure(|settings| settings.features.magic = false)
    })
    .await;
    let mut browser = Browser::new(&api);
    browser.sign_up(ADA).await;
    api.change(query("DELETE FROM passwords")).await;
    api.test.advance(STALE);
    let prove = browser.get("/account/delete").await.leads_to().to_owned();
    let page = browser.get(&prove).await.is(200).html();
    assert!(
        !page.contains("name=\"password\"") && page.contains("Sign out and in again"),
        "{page}"
    );
}

/// The warnings about an account are counted; that it is gone is told whatever was told before.
#[tokio::test]
async fn nobody_uses_up_the_mail_that_tells_of_the_end() {
    let api = Api::on(&Place::sqlite()).await;
    let app = with_app(&api, ADA).await;
    for _ in 0..40 {
        api.post("/users/me/recovery-codes", Some(&app.tokens.access), Value::Null)
            .await
            .is(201);
    }
    let mails = api.mails().await;
    let warnings = mails.iter().filter(|mail| mail.kind == "recovery_codes").count();
    assert!((10..40).contains(&warnings), "{warnings}");
    delete(&api, &app.tokens.access).await.is(204);
    api.mail("account_deleted", ADA).await;
}

/// One without an address is told nothing, and one that an operator deletes is told.
#[tokio::test]
async fn an_operator_who_deletes_an_account_is_no_secret() {
    let api = Api::on(&Place::sqlite()).await;
    api.signup(ADA).await;
    api.mails().await;
    let ada = api.house().user_by_name(ADA).await.unwrap().unwrap();
    api.house().delete_user(ada.id, &Origin::default()).await.unwrap();
    api.mail("account_deleted", ADA).await;
    let nameless = NewUser {
        username: Some(Username::parse("ada", 3..=32).unwrap()),
        ..NewUser::default()
    };
    let user = api.house().create_user(&nameless, None).await.unwrap();
    api.house()
        .delete_user(user.id, &Origin::default())
        .await
        .unwrap();
    assert!(api.mails().await.is_empty());
}
