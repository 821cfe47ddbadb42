//! Logging in by mail.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokenhouse::testing::PASSWORD;

use crate::on_both_engines;
use crate::passkeys::{enrol, log_in};
use crate::password_reset::rows_of;
use crate::second_factors::{mfa_token, set_up_app, with_app};
use crate::support::api::{Answer, Api, Letter, Tokens, contend, count};
use crate::support::authenticator::Authenticator;

async fn ask(api: &Api, email: &str) -> Answer {
    api.post("/auth/magic/request", None, json!({ "email": email }))
        .await
}

async fn enter(api: &Api, letter: &Letter) -> Answer {
    api.post("/auth/magic", None, json!({ "token": letter.token }))
        .await
}

/// A mail to somebody whose address is verified.
async fn mailed(api: &Api, email: &str) -> Letter {
    api.signup(email).await;
    let letter = api.mail("verify", email).await;
    api.post("/auth/email/verify", None, json!({ "token": letter.token }))
        .await
        .is(204);
    ask(api, email).await.is(202);
    api.mail("magic", email).await
}

on_both_engines! {
    async fn a_link_or_a_code_logs_in_once(place: &Place) {
        let api = Api::on(place).await;
        let letter = mailed(&api, "ada@example.org").await;
        let answer = enter(&api, &letter).await.is(200);
        assert_eq!(answer.header("cache-control"), "no-store");
        let tokens = Tokens::of(&answer);
        let devices = api.sessions(&tokens.access).await;
        assert!(devices.iter().any(|device| device["method"] == "magic" && device["current"] == true), "{devices:?}");
        enter(&api, &letter).await.problem(401, "ticket_invalid");

        ask(&api, "ada@example.org").await.is(202);
        let letter = api.mail("magic", "ada@example.org").await;
        let body = json!({ "email": "Ada@Example.org", "code": letter.code.replace(' ', "") });
        api.post("/auth/magic", None, body.clone()).await.is(200);
        api.post("/auth/magic", None, body).await.problem(401, "ticket_invalid");
        enter(&api, &letter).await.problem(401, "ticket_invalid");
    }

    async fn a_link_lives_a_quarter_of_an_hour_and_ends_with_a_change_of_password(place: &Place) {
        let api = Api::on(place).await;
        let letter = mailed(&api, "ada@example.org").await;
        api.test.advance(Duration::from_secs(15 * 60));
        enter(&api, &letter).await.problem(401, "ticket_invalid");
        ask(&api, "ada@example.org").await.is(202);
        let letter = api.mail("magic", "ada@example.org").await;
        let ada = api.login("ada@example.org").await;
        api.change_password(&ada.access, PASSWORD, "another long password").await.is(204);
        enter(&api, &letter).await.problem(401, "ticket_invalid");
    }

    /// The account may have been opened by somebody else, who waits with its password for its owner to come.
    async fn an_address_that_was_never_verified_is_verified_by_logging_in(place: &Place) {
        let api = Api::on(place).await;
        api.signup("ada@example.org").await;
        api.mails().await;
        ask(&api, "ada@example.org").await.is(202);
        let letter = api.mail("claim", "ada@example.org").await;
        assert!(letter.link.starts_with("http://localhost:8080/account/magic?token="), "{letter:?}");
        api.post("/auth/email/verify", None, json!({ "token": letter.token })).await.problem(401, "ticket_invalid");
        let entered = enter(&api, &letter).await.is(200).json();
        assert_eq!(entered["user"]["email_verified"], true);
        enter(&api, &letter).await.problem(401, "ticket_invalid");
        api.mails().await;
        ask(&api, "ada@example.org").await.is(202);
        enter(&api, &api.mail("magic", "ada@example.org").await).await.is(200);
    }

    async fn its_code_is_typed_where_it_was_asked_for(place: &Place) {
        let api = Api::on(place).await;
        api.signup("ada@example.org").await;
        api.mails().await;
        ask(&api, "ada@example.org").await.is(202);
        let letter = api.mail("claim", "ada@example.org").await;
        let typed = |code: &str| api.post("/auth/magic", None, json!({ "email": "ada@example.org", "code": code }));
        typed("0000 0000").await.problem(401, "ticket_invalid");
        typed(&letter.code).await.is(200);
        typed(&letter.code).await.problem(401, "ticket_invalid");
    }

    async fn whoever_reads_the_mail_of_an_account_that_a_stranger_opened_puts_them_out(place: &Place) {
        let api = Api::on(place).await;
        let stranger = with_app(&api, "ada@example.org").await.tokens;
        let mut device = Authenticator::es256();
        enrol(&api, &stranger.access, &mut device).await.is(201);
        api.mails().await;
        ask(&api, "ada@example.org").await.is(202);
        let letter = api.mail("claim", "ada@example.org").await;
        assert!(letter.text.contains("password, every second step and every device from before lose the account"), "{letter:?}");
        let ada = Tokens::of(&enter(&api, &letter).await.is(200));
        api.me(&ada.access).await.is(200);
        api.me(&stranger.access).await.problem(401, "token_revoked");
        api.refresh(&stranger.refresh).await.problem(401, "refresh_invalid");
        api.guess("ada@example.org", PASSWORD).await.problem(401, "invalid_credentials");
        assert_eq!(log_in(&api, &mut device).await.status, 401);
        for table in ["totp", "passkeys", "recovery_codes"] {
            assert_eq!(rows_of(&api, table).await, 0, "{table}");
        }
        assert!(api.mails().await.iter().any(|mail| mail.kind == "claimed"), "what was done is told");
    }

    /// Anybody can ask for the mail; the owner who presses its button where they are signed in loses nothing.
    async fn whoever_is_signed_in_to_the_account_takes_nothing_from_themselves(place: &Place) {
        let api = Api::on(place).await;
        let ada = with_app(&api, "ada@example.org").await.tokens;
        let eve = api.signup("eve@example.org").await;
        api.mails().await;
        ask(&api, "ada@example.org").await.is(202);
        let letter = api.mail("claim", "ada@example.org").await;
        let answer = api.post("/auth/magic", Some(&ada.access), json!({ "token": letter.token })).await;
        mfa_token(&answer);
        assert_eq!(api.me(&ada.access).await.is(200).json()["email_verified"], true);
        mfa_token(&api.guess("ada@example.org", PASSWORD).await);
        assert!(api.mails().await.is_empty());

        // Somebody else's session is as good as none.
        ask(&api, "eve@example.org").await.is(202);
        let letter = api.mail("claim", "eve@example.org").await;
        api.post("/auth/magic", Some(&ada.access), json!({ "token": letter.token })).await.is(200);
        api.me(&eve.access).await.problem(401, "token_revoked");
    }

    async fn a_mail_that_takes_over_is_void_once_the_address_is_verified(place: &Place) {
        let api = Api::on(place).await;
        let ada = api.signup("ada@example.org").await;
        let verify = api.mail("verify", "ada@example.org").await;
        ask(&api, "ada@example.org").await.is(202);
        let letter = api.mail("claim", "ada@example.org").await;
        api.post("/auth/email/verify", None, json!({ "token": verify.token })).await.is(204);
        enter(&api, &letter).await.problem(401, "ticket_invalid");
        api.me(&ada.access).await.is(200);
    }

    async fn of_sixteen_who_take_an_account_over_one_is_in(place: &Place) {
        let api = Arc::new(Api::on(place).await);
        api.signup("ada@example.org").await;
        api.mails().await;
        ask(&api, "ada@example.org").await.is(202);
        let letter = api.mail("claim", "ada@example.org").await;
        let answers = contend(16, |_| {
            let (api, letter) = (Arc::clone(&api), letter.clone());
            async move { enter(&api, &letter).await }
        })
        .await;
        assert_eq!((count(&answers, 200), count(&answers, 401)), (1, 15), "{answers:?}");
    }

    /// Who signs up, sets something up and then confirms where they did so, keeps it.
    async fn the_mail_of_a_sign_up_takes_nothing_from_whoever_is_signed_in(place: &Place) {
        let api = Api::on(place).await;
        let ada = api.signup("ada@example.org").await;
        let letter = api.mail("verify", "ada@example.org").await;
        let ada = set_up_app(&api, ada).await.tokens;
        api.mails().await;
        api.post("/auth/email/verify", Some(&ada.access), json!({ "token": letter.token })).await.is(204);
        api.me(&ada.access).await.is(200);
        mfa_token(&api.guess("ada@example.org", PASSWORD).await);
        assert!(api.mails().await.is_empty());
    }

    async fn the_mail_of_a_sign_up_leaves_the_password_and_the_sessions(place: &Place) {
        let api = Api::on(place).await;
        let ada = api.signup("ada@example.org").await;
        let letter = api.mail("verify", "ada@example.org").await;
        api.post("/auth/email/verify", None, json!({ "token": letter.token })).await.is(204);
        api.me(&ada.access).await.is(200);
        api.login("ada@example.org").await;
    }

    /// A stranger signs up with somebody's address and makes a passkey; the owner just confirms, and resets the password later.
    async fn what_a_stranger_set_up_does_not_outlive_the_first_verification(place: &Place) {
        let api = Api::on(place).await;
        let stranger = api.signup("ada@example.org").await;
        let letter = api.mail("verify", "ada@example.org").await;
        let stranger = set_up_app(&api, stranger).await.tokens;
        let mut device = Authenticator::es256();
        enrol(&api, &stranger.access, &mut device).await.is(201);
        api.mails().await;
        // A token that is nobody's is no reason to keep anything, nor to refuse.
        api.post("/auth/email/verify", Some("nonsense"), json!({ "token": letter.token })).await.is(204);
        let told: Vec<_> = api.mails().await.into_iter().map(|mail| mail.kind).collect();
        assert_eq!(told, ["factor_removed", "factor_removed"]);
        api.me(&stranger.access).await.problem(401, "token_revoked");
        assert_eq!(log_in(&api, &mut device).await.status, 401);
        for table in ["totp", "passkeys", "recovery_codes"] {
            assert_eq!(rows_of(&api, table).await, 0, "{table}");
        }
        api.login("ada@example.org").await;
    }

    async fn a_disabled_account_is_not_entered(place: &Place) {
        let api = Api::on(place).await;
        let letter = mailed(&api, "ada@example.org").await;
        let user = api.house().user_by_name("ada@example.org").await.unwrap().unwrap();
        api.house().set_user_active(user.id, false).await.unwrap();
        enter(&api, &letter).await.problem(401, "ticket_invalid");
    }

    async fn of_sixteen_who_follow_one_link_one_is_in(place: &Place) {
        let api = Arc::new(Api::on(place).await);
        let letter = mailed(&api, "ada@example.org").await;
        let answers = contend(16, |_| {
            let (api, letter) = (Arc::clone(&api), letter.clone());
            async move { enter(&api, &letter).await }
        })
        .await;
        assert_eq!((count(&answers, 200), count(&answers, 401)), (1, 15));
    }

    async fn a_feature_that_is_switched_off_has_no_door(place: &Place) {
        let api = Api::with(place, |builder| {
            builder.configure(|settings| {
                settings.features.magic = false;
                settings.features.email = false;
            })
        })
        .await;
        ask(&api, "ada@example.org").await.problem(404, "not_found");
        api.post("/auth/email/verify", None, json!({ "token": "x" })).await.problem(404, "not_found");
        api.signup("ada@example.org").await;
        assert!(api.mails().await.is_empty(), "what could not be followed is not sent");
        api.post("/auth/password/forgot", None, json!({ "email": "ada@example.org" })).await.is(202);
        api.mail("reset", "ada@example.org").await;
    }
}
