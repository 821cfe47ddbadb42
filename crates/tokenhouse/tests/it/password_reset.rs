//! A forgotten password.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokenhouse::store::query;
use tokenhouse::testing::PASSWORD;

use crate::on_both_engines;
use crate::passkeys::{enrol, log_in};
use crate::second_factors::{mfa_token, set_up_app, with_app};
use crate::support::api::{Answer, Api, Letter, Tokens, contend, count, faults};
use crate::support::authenticator::Authenticator;

const NEW: &str = "another long password";

async fn forgot(api: &Api, email: &str) -> Answer {
    api.post("/auth/password/forgot", None, json!({ "email": email }))
        .await
}

async fn reset(api: &Api, letter: &Letter, new: &str) -> Answer {
    let body = json!({ "token": letter.token, "new_password": new });
    api.post("/auth/password/reset", None, body).await
}

async fn by_code(api: &Api, email: &str, code: &str) -> Answer {
    let body = json!({ "email": email, "code": code, "new_password": NEW });
    api.post("/auth/password/reset", None, body).await
}

pub async fn rows_of(api: &Api, table: &str) -> i64 {
    let counted = match table {
        "totp" => "SELECT COUNT(*) FROM totp",
        "passkeys" => "SELECT COUNT(*) FROM passkeys",
        _ => "SELECT COUNT(*) FROM recovery_codes",
    };
    api.rows::<(i64,)>(query(counted)).await[0].0
}

/// Somebody who has forgotten the password, and the mail.
async fn forgetful(api: &Api, email: &str) -> Letter {
    api.signup(email).await;
    api.mails().await;
    forgot(api, email).await.is(202);
    api.mail("reset", email).await
}

on_both_engines! {
    async fn a_mail_lets_its_reader_choose_a_password_and_every_session_is_over(place: &Place) {
        let api = Api::on(place).await;
        let ada = api.signup("ada@example.org").await;
        let other = api.login("ada@example.org").await;
        api.mails().await;
        forgot(&api, "ADA@example.org").await.is(202);
        let letter = api.mail("reset", "ada@example.org").await;
        assert!(letter.link.starts_with("http://localhost:8080/account/reset?token="), "{letter:?}");
        api.me(&ada.access).await.is(200);
        reset(&api, &letter, NEW).await.is(204);
        for tokens in [&ada, &other] {
            api.me(&tokens.access).await.problem(401, "token_revoked");
            api.refresh(&tokens.refresh).await.problem(401, "refresh_invalid");
        }
        api.guess("ada@example.org", PASSWORD).await.problem(401, "invalid_credentials");
        let told = api.mail("password_changed", "ada@example.org").await;
        assert_eq!(told.link, "");
        let me = api.guess("ada@example.org", NEW).await.is(200).json();
        assert_eq!(me["user"]["email_verified"], true, "whoever read the mail has the mailbox");
        reset(&api, &letter, PASSWORD).await.problem(401, "ticket_invalid");
    }

    /// Somebody opens an account with another's address, and sets up whatever would keep them in.
    async fn the_first_to_read_the_mail_of_an_account_puts_out_whoever_opened_it(place: &Place) {
        let api = Api::on(place).await;
        let app = with_app(&api, "ada@example.org").await;
        let mut device = Authenticator::es256();
        enrol(&api, &app.tokens.access, &mut device).await.is(201);
        api.mails().await;
        forgot(&api, "ada@example.org").await.is(202);
        reset(&api, &api.mail("reset", "ada@example.org").await, NEW).await.is(204);
        api.me(&app.tokens.access).await.problem(401, "token_revoked");
        assert_eq!(log_in(&api, &mut device).await.status, 401);
        for table in ["totp", "passkeys", "recovery_codes"] {
            assert_eq!(rows_of(&api, table).await, 0, "{table}");
        }
        // The owner has the password alone, and no second step before them.
        api.guess("ada@example.org", NEW).await.is(200);

        // From now on what is set up is the owner's, and a forgotten password takes nothing away.
        let ada = Tokens::of(&api.guess("ada@example.org", NEW).await);
        set_up_app(&api, ada).await;
        api.mails().await;
        forgot(&api, "ada@example.org").await.is(202);
        reset(&api, &api.mail("reset", "ada@example.org").await, PASSWORD).await.is(204);
        mfa_token(&api.guess("ada@example.org", PASSWORD).await);
    }

    async fn a_code_does_the_same_and_uses_the_link_up(place: &Place) {
        let api = Api::on(place).await;
        let letter = forgetful(&api, "ada@example.org").await;
        by_code(&api, "ada@example.org", &letter.code).await.is(204);
        api.guess("ada@example.org", NEW).await.is(200);
        reset(&api, &letter, PASSWORD).await.problem(401, "ticket_invalid");
        by_code(&api, "ada@example.org", &letter.code).await.problem(401, "ticket_invalid");
    }

    /// What compares the same as an address may be another's mailbox.
    async fn a_mail_goes_to_the_address_as_its_owner_wrote_it(place: &Place) {
        let api = Api::on(place).await;
        api.signup("Ada@example.org").await;
        api.mail("verify", "Ada@example.org").await;
        for typed in ["ADA@example.org", "ａda@example.org", "ada@EXAMPLE.org", "ada@ｅxample.org"] {
            forgot(&api, typed).await.is(202);
            api.mail("reset", "Ada@example.org").await;
        }
        let body = json!({ "email": "ａda@example.org" });
        for (path, kind) in [("/auth/email/verify/request", "verify"), ("/auth/magic/request", "claim")] {
            api.post(path, None, body.clone()).await.is(202);
            api.mail(kind, "Ada@example.org").await;
        }
    }

    async fn a_password_that_is_not_acceptable_uses_nothing_up(place: &Place) {
        let api = Api::on(place).await;
        let letter = forgetful(&api, "ada@example.org").await;
        let answer = reset(&api, &letter, "short").await;
        assert_eq!(faults(&answer), [("/new_password".to_owned(), "password_too_short".to_owned())]);
        reset(&api, &letter, NEW).await.is(204);
    }

    async fn a_link_lives_an_hour(place: &Place) {
        let api = Api::on(place).await;
        let letter = forgetful(&api, "ada@example.org").await;
        api.test.advance(Duration::from_secs(3600));
        reset(&api, &letter, NEW).await.problem(401, "ticket_invalid");
        by_code(&api, "ada@example.org", &letter.code).await.problem(401, "ticket_invalid");
        api.login("ada@example.org").await;
    }

    async fn an_operator_has_the_mail_sent_and_learns_no_password(place: &Place) {
        let api = Api::with(place, |builder| builder.configure(|settings| settings.mail.per_address = 1)).await;
        let ada = api.signup("Ada@example.org").await;
        api.mails().await;
        let user = api.house().user_by_name("ada@example.org").await.unwrap().unwrap();
        // However many were asked for.
        for _ in 0..2 {
            api.house().send_password_reset(&user).await.unwrap();
        }
        let mails = api.mails().await;
        assert_eq!(mails.iter().map(|mail| (mail.kind.as_str(), mail.to.as_str())).collect::<Vec<_>>(), [("reset", "Ada@example.org"); 2]);
        // Nothing has changed yet.
        api.me(&ada.access).await.is(200);
        api.login("ada@example.org").await;
        reset(&api, &Letter::of(&mails[1]), NEW).await.is(204);
        api.guess("ada@example.org", PASSWORD).await.problem(401, "invalid_credentials");
        api.guess("ada@example.org", NEW).await.is(200);
        let events: Vec<(String,)> = api.rows(query("SELECT data FROM events WHERE kind = 'password.reset_sent_by_operator'")).await;
        assert_eq!(events.len(), 2);
        let user = api.house().set_user_active(user.id, false).await.unwrap();
        assert_eq!(api.house().send_password_reset(&user).await.unwrap_err().code(), tokenhouse::Code::AccountDisabled);
    }

    async fn a_link_ends_with_the_next_change_of_password_or_address(place: &Place) {
        let api = Api::on(place).await;
        let letter = forgetful(&api, "ada@example.org").await;
        let ada = api.login("ada@example.org").await;
        api.change_password(&ada.access, PASSWORD, NEW).await.is(204);
        reset(&api, &letter, "yet another password").await.problem(401, "ticket_invalid");
        api.guess("ada@example.org", NEW).await.is(200);

        let letter = forgetful(&api, "eve@example.org").await;
        let eve = api.login("eve@example.org").await;
        let body = json!({ "new_email": "new@example.org", "password": PASSWORD });
        api.post("/users/me/email", Some(&eve.access), body).await.is(202);
        let change = api.mails().await.iter().map(Letter::of).find(|mail| mail.to == "new@example.org").unwrap();
        api.post("/auth/email/change", Some(&eve.access), json!({ "token": change.token })).await.is(204);
        reset(&api, &letter, NEW).await.problem(401, "ticket_invalid");
    }

    async fn a_disabled_account_gets_no_mail_and_an_earlier_link_is_void(place: &Place) {
        let api = Api::on(place).await;
        let letter = forgetful(&api, "ada@example.org").await;
        let user = api.house().user_by_name("ada@example.org").await.unwrap().unwrap();
        api.house().set_user_active(user.id, false).await.unwrap();
        reset(&api, &letter, NEW).await.problem(401, "ticket_invalid");
        forgot(&api, "ada@example.org").await.is(202);
        assert!(api.mails().await.is_empty());
    }

    async fn a_code_is_guessed_five_times_and_the_link_still_works(place: &Place) {
        let api = Api::on(place).await;
        let letter = forgetful(&api, "ada@example.org").await;
        for guess in 0..5 {
            by_code(&api, "ada@example.org", &format!("0000 000{guess}")).await.problem(401, "ticket_invalid");
        }
        by_code(&api, "ada@example.org", &letter.code).await.problem(401, "ticket_invalid");
        reset(&api, &letter, NEW).await.is(204);
    }

    async fn of_sixteen_who_follow_one_link_one_is_first(place: &Place) {
        let api = Arc::new(Api::on(place).await);
        let letter = forgetful(&api, "ada@example.org").await;
        let answers = contend(16, |number| {
            let (api, letter) = (Arc::clone(&api), letter.clone());
            async move { reset(&api, &letter, &format!("the password of contender {number}")).await }
        })
        .await;
        assert_eq!((count(&answers, 204), count(&answers, 401)), (1, 15));
        let first = answers.iter().position(|answer| answer.status == 204).unwrap();
        api.guess("ada@example.org", &format!("the password of contender {first}")).await.is(200);
    }

    async fn a_link_that_was_used_stays_used_whatever_follows(place: &Place) {
        let api = Api::on(place).await;
        let letter = forgetful(&api, "ada@example.org").await;
        let user = api.house().user_by_name("ada@example.org").await.unwrap().unwrap();
        reset(&api, &letter, NEW).await.is(204);
        // A change that began with what the account was before cannot end after it.
        let yet_another = tokenhouse::Secret::from("yet another password");
        let old = api.house().change_password(&user, Some(NEW.into()), &yet_another, None, &tokenhouse::Origin::default()).await;
        assert!(old.is_ok(), "{old:?}: it reads the account anew");
        reset(&api, &letter, PASSWORD).await.problem(401, "ticket_invalid");
        api.guess("ada@example.org", "yet another password").await.is(200);
    }

    async fn nonsense_is_refused_before_anything_is_asked(place: &Place) {
        let api = Api::on(place).await;
        assert_eq!(faults(&forgot(&api, "nonsense").await), [("/email".to_owned(), "email_invalid".to_owned())]);
        let answer = api.post("/auth/password/reset", None, json!({ "token": "x" })).await;
        assert_eq!(faults(&answer), [("/new_password".to_owned(), "missing".to_owned())]);
        assert_eq!(api.post("/auth/password/forgot", None, Value::Null).await.status, 422);
    }
}
