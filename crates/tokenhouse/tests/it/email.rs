//! The address of an account: verified, changed, taken back.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokenhouse::Settings;
use tokenhouse::settings::Period;
use tokenhouse::testing::PASSWORD;

use crate::on_both_engines;
use crate::passkeys::{enrol, log_in};
use crate::password_reset::rows_of;
use crate::second_factors::{half_way, second_step, set_up_app};
use crate::support::Place;
use crate::support::api::{Answer, Api, Letter, Tokens, contend, count, faults};
use crate::support::authenticator::Authenticator;
use crate::support::browser::Browser;

const HOUR: Duration = Duration::from_secs(3600);

async fn configured(place: &Place, change: impl FnOnce(&mut Settings)) -> Api {
    Api::with(place, |builder| builder.configure(change)).await
}

async fn verify(api: &Api, body: Value) -> Answer {
    api.post("/auth/email/verify", None, body).await
}

async fn ask_to_change(api: &Api, tokens: &Tokens, new: &str) -> Answer {
    let body = json!({ "new_email": new, "password": PASSWORD });
    api.post("/users/me/email", Some(&tokens.access), body).await
}

/// Confirms a change, as whoever asked for it.
async fn confirm(api: &Api, tokens: &Tokens, letter: &Letter) -> Answer {
    confirm_with(api, tokens, json!({ "token": letter.token })).await
}

async fn confirm_with(api: &Api, tokens: &Tokens, body: Value) -> Answer {
    api.post("/auth/email/change", Some(&tokens.access), body).await
}

async fn email_of(api: &Api, tokens: &Tokens) -> (Value, bool) {
    let me = api.me(&tokens.access).await.is(200).json();
    (me["email"].clone(), me["email_verified"] == json!(true))
}

/// Somebody whose address is verified.
async fn verified(api: &Api, email: &str) -> Tokens {
    let tokens = api.signup(email).await;
    let letter = api.mail("verify", email).await;
    verify(api, json!({ "token": letter.token })).await.is(204);
    tokens
}

on_both_engines! {
    async fn a_sign_up_verifies_its_address_by_link_or_by_code(place: &Place) {
        let api = Api::on(place).await;
        let ada = api.signup("Ada@example.org").await;
        let letter = api.mail("verify", "Ada@example.org").await;
        assert!(letter.link.starts_with("http://localhost:8080/account/verify?token="), "{letter:?}");
        assert!(letter.token.len() == 43 && letter.code.len() == 9, "{letter:?}");
        assert_eq!(email_of(&api, &ada).await, (json!("Ada@example.org"), false));
        verify(&api, json!({ "token": letter.token })).await.is(204);
        assert_eq!(email_of(&api, &ada).await, (json!("Ada@example.org"), true));
        verify(&api, json!({ "token": letter.token })).await.problem(401, "ticket_invalid");
        verify(&api, json!({ "email": "ada@example.org", "code": letter.code })).await.problem(401, "ticket_invalid");

        let eve = api.signup("eve@example.org").await;
        let letter = api.mail("verify", "eve@example.org").await;
        let typed = letter.code.replace(' ', "-");
        verify(&api, json!({ "email": "EVE@example.org", "code": typed })).await.is(204);
        assert!(email_of(&api, &eve).await.1);
        verify(&api, json!({ "token": letter.token })).await.problem(401, "ticket_invalid");
    }

    async fn what_is_sent_to_verify_must_be_a_token_or_an_address_with_a_code(place: &Place) {
        let api = Api::on(place).await;
        let fault = |pointer: &str, code: &str| (pointer.to_owned(), code.to_owned());
        assert_eq!(faults(&verify(&api, json!({})).await), [fault("/token", "missing")]);
        assert_eq!(faults(&verify(&api, json!({ "code": "1" })).await), [fault("/email", "missing")]);
        assert_eq!(faults(&verify(&api, json!({ "email": "a@b.cc" })).await), [fault("/code", "missing")]);
        assert_eq!(
            faults(&verify(&api, json!({ "token": "x", "email": "a@b.cc", "code": "1" })).await),
            [fault("/code", "ambiguous"), fault("/email", "ambiguous")]
        );
        for token in ["", "x", "\u{0}", &"a".repeat(43), &"a".repeat(10_000)] {
            verify(&api, json!({ "token": token })).await.problem(401, "ticket_invalid");
        }
        for email in ["", "\u{0}", "nobody@example.org"] {
            let answer = verify(&api, json!({ "email": email, "code": "1234 5678" })).await;
            answer.problem(401, "ticket_invalid");
        }
    }

    async fn a_mail_can_be_asked_for_again_until_the_address_is_verified(place: &Place) {
        let api = Api::on(place).await;
        api.signup("ada@example.org").await;
        let first = api.mail("verify", "ada@example.org").await;
        let ask = || api.post("/auth/email/verify/request", None, json!({ "email": "ada@example.org" }));
        ask().await.is(202);
        let second = api.mail("verify", "ada@example.org").await;
        // The newer code is the one that can be typed, either link works.
        verify(&api, json!({ "email": "ada@example.org", "code": first.code })).await.problem(401, "ticket_invalid");
        verify(&api, json!({ "token": first.token })).await.is(204);
        verify(&api, json!({ "token": second.token })).await.problem(401, "ticket_invalid");
        ask().await.is(202);
        assert!(api.mails().await.is_empty());
    }

    async fn a_link_lives_a_day_and_outlives_a_change_of_password(place: &Place) {
        let api = Api::on(place).await;
        let ada = api.signup("ada@example.org").await;
        let letter = api.mail("verify", "ada@example.org").await;
        api.change_password(&ada.access, PASSWORD, "another long password").await.is(204);
        api.mail("password_changed", "ada@example.org").await;
        api.test.advance(23 * HOUR);
        verify(&api, json!({ "token": letter.token })).await.is(204);
        api.signup("eve@example.org").await;
        let letter = api.mail("verify", "eve@example.org").await;
        api.test.advance(24 * HOUR);
        verify(&api, json!({ "token": letter.token })).await.problem(401, "ticket_invalid");
    }

    async fn where_an_address_must_be_verified_nobody_gets_in_before(place: &Place) {
        let api = configured(place, |settings| settings.signup.require_verified_email = true).await;
        let body = json!({ "email": "ada@example.org", "password": PASSWORD });
        let answer = api.post("/auth/signup", None, body.clone()).await.is(202);
        assert!(answer.json().get("access_token").is_none());
        let letter = api.mail("verify", "ada@example.org").await;
        api.guess("ada@example.org", PASSWORD).await.problem(403, "email_unverified");
        // Only to those who know the password.
        api.guess("ada@example.org", "a wrong password").await.problem(401, "invalid_credentials");
        verify(&api, json!({ "token": letter.token })).await.is(204);
        api.login("ada@example.org").await;
    }

    async fn only_some_domains_may_sign_up(place: &Place) {
        let api = configured(place, |settings| settings.signup.allowed_domains = vec!["Example.org".to_owned()]).await;
        let ada = verified(&api, "ada@EXAMPLE.org").await;
        for email in ["eve@example.com", "eve@sub.example.org", "eve@evilexample.org", "eve@example.org.evil.com"] {
            let body = json!({ "email": email, "password": PASSWORD });
            let answer = api.post("/auth/signup", None, body).await;
            assert_eq!(faults(&answer), [("/email".to_owned(), "email_domain_not_allowed".to_owned())], "{email}");
            let answer = ask_to_change(&api, &ada, email).await;
            assert_eq!(faults(&answer), [("/new_email".to_owned(), "email_domain_not_allowed".to_owned())]);
        }
    }

    async fn an_address_changes_when_the_new_one_confirms_and_the_old_one_is_told(place: &Place) {
        let api = Api::on(place).await;
        let ada = verified(&api, "ada@example.org").await;
        ask_to_change(&api, &ada, "new@example.org").await.is(202);
        let letter = api.mail("change", "new@example.org").await;
        assert_eq!(email_of(&api, &ada).await.0, "ada@example.org");
        confirm(&api, &ada, &letter).await.is(204);
        let told = api.mail("changed", "ada@example.org").await;
        assert!(told.text.contains("new@example.org") && told.code.is_empty(), "{told:?}");
        assert_eq!(email_of(&api, &ada).await, (json!("new@example.org"), true));
        confirm(&api, &ada, &letter).await.problem(401, "ticket_invalid");
        api.guess("ada@example.org", PASSWORD).await.problem(401, "invalid_credentials");
        api.login("new@example.org").await;
        // Whoever signs up with the old one gets an account of their own, and keeps it once they have verified it.
        verified(&api, "ada@example.org").await;
        api.post("/auth/email/undo", None, json!({ "token": told.token })).await.problem(409, "email_taken");
    }

    /// One anonymous request would otherwise block the only remedy.
    async fn signing_up_with_the_old_address_does_not_block_taking_it_back(place: &Place) {
        let api = Api::on(place).await;
        for (thief, username) in [("thief@example.org", None), ("lair@example.org", Some("mallory"))] {
            let owner = format!("owner.of.{thief}");
            let ada = verified(&api, &owner).await;
            ask_to_change(&api, &ada, thief).await.is(202);
            confirm(&api, &ada, &api.mail("change", thief).await).await.is(204);
            let undo = api.mail("changed", &owner).await;
            let mut body = json!({ "email": owner, "password": "the squatter's password" });
            if let Some(username) = username {
                body["username"] = json!(username);
            }
            let squatter = Tokens::of(&api.post("/auth/signup", None, body).await.is(201));
            let theirs = api.mail("verify", &owner).await;
            api.post("/auth/email/undo", None, json!({ "token": undo.token })).await.is(204);
            api.mail("reset", &owner).await;
            api.me(&squatter.access).await.problem(401, "token_revoked");
            api.guess(&owner, "the squatter's password").await.problem(401, "invalid_credentials");
            verify(&api, json!({ "token": theirs.token })).await.problem(401, "ticket_invalid");
            let back = api.house().user_by_name(&owner).await.unwrap().unwrap();
            assert!(back.email_verified && back.email.as_deref() == Some(owner.as_str()));
            if let Some(username) = username {
                let left = api.house().user_by_name(username).await.unwrap().unwrap();
                assert_eq!(left.email, None);
                api.guess(username, "the squatter's password").await.is(200);
            }
        }
    }

    async fn an_address_is_confirmed_by_code_too(place: &Place) {
        let api = Api::on(place).await;
        let ada = verified(&api, "ada@example.org").await;
        ask_to_change(&api, &ada, "new@example.org").await.is(202);
        let letter = api.mail("change", "new@example.org").await;
        let code = |email: &str| json!({ "email": email, "code": letter.code });
        confirm_with(&api, &ada, code("ada@example.org")).await.problem(401, "ticket_invalid");
        confirm_with(&api, &ada, code("new@example.org")).await.is(204);
        assert_eq!(email_of(&api, &ada).await.0, "new@example.org");
    }

    /// Eve wants Bob to give his address to her account, and to log in to it by his mail ever after.
    async fn a_change_is_confirmed_by_whoever_asked_for_it_and_reads_the_mail(place: &Place) {
        let api = Api::on(place).await;
        let (ada, eve) = (verified(&api, "ada@example.org").await, verified(&api, "eve@example.org").await);
        ask_to_change(&api, &ada, "bob@example.org").await.is(202);
        let adas = api.mail("change", "bob@example.org").await;
        ask_to_change(&api, &eve, "bob@example.org").await.is(202);
        let eves = api.mail("change", "bob@example.org").await;
        for letter in [&adas, &eves] {
            let code = json!({ "email": "bob@example.org", "code": letter.code });
            api.post("/auth/email/change", None, json!({ "token": letter.token })).await.problem(401, "token_missing");
            api.post("/auth/email/change", None, code).await.problem(401, "token_missing");
        }
        // Ada, who is Bob, has both mails.
        confirm(&api, &ada, &eves).await.problem(401, "ticket_invalid");
        confirm_with(&api, &ada, json!({ "email": "bob@example.org", "code": eves.code })).await.problem(401, "ticket_invalid");
        confirm_with(&api, &eve, json!({ "email": "bob@example.org", "code": adas.code })).await.problem(401, "ticket_invalid");
        confirm(&api, &eve, &adas).await.problem(401, "ticket_invalid");
        assert_eq!(email_of(&api, &eve).await.0, "eve@example.org");
        // None of that used her own up, and that Eve asked later did not retire her code.
        confirm_with(&api, &ada, json!({ "email": "bob@example.org", "code": adas.code })).await.is(204);
        assert_eq!(email_of(&api, &ada).await, (json!("bob@example.org"), true));
        confirm(&api, &eve, &eves).await.problem(409, "email_taken");
    }

    async fn whoever_follows_the_link_elsewhere_signs_in_first(place: &Place) {
        let api = Api::on(place).await;
        let ada = verified(&api, "ada@example.org").await;
        ask_to_change(&api, &ada, "new@example.org").await.is(202);
        let letter = api.mail("change", "new@example.org").await;
        let path = letter.link.strip_prefix("http://localhost:8080").unwrap();
        let mut browser = Browser::new(&api);
        let leads = browser.get(path).await.leads_to().to_owned();
        assert!(leads.starts_with("/account/sign-in?return_to=") && leads.contains(&letter.token), "{leads}");
        let form = [("token", letter.token.as_str())];
        let answer = browser.post("/account/sign-in", "/account/email/change", &form).await;
        assert_eq!(answer.leads_to(), "/account/sign-in");
        browser.sign_in("ada@example.org", PASSWORD).await;
        let answer = browser.post(path, "/account/email/change", &form).await;
        assert_eq!(answer.leads_to(), "/account?done=email_changed");
        assert_eq!(email_of(&api, &ada).await, (json!("new@example.org"), true));
    }

    async fn asking_for_another_address_takes_the_password_and_a_free_one(place: &Place) {
        let api = Api::on(place).await;
        let ada = verified(&api, "ada@example.org").await;
        api.signup("eve@example.org").await;
        api.mails().await;
        let wrong = json!({ "new_email": "new@example.org", "password": "a wrong password" });
        api.post("/users/me/email", Some(&ada.access), wrong).await.problem(401, "invalid_credentials");
        ask_to_change(&api, &ada, "EVE@example.org").await.problem(409, "email_taken");
        assert_eq!(faults(&ask_to_change(&api, &ada, "ADA@example.org").await), [("/new_email".to_owned(), "email_unchanged".to_owned())]);
        assert_eq!(faults(&ask_to_change(&api, &ada, "nonsense").await), [("/new_email".to_owned(), "email_invalid".to_owned())]);
        assert!(api.mails().await.is_empty());
    }

    async fn where_it_is_not_told_the_owner_of_the_address_is(place: &Place) {
        let api = configured(place, |settings| settings.signup.reveal_taken = false).await;
        for email in ["ada@example.org", "eve@example.org"] {
            api.post("/auth/signup", None, json!({ "email": email, "password": PASSWORD })).await.is(202);
        }
        api.mails().await;
        let ada = api.login("ada@example.org").await;
        let free = ask_to_change(&api, &ada, "free@example.org").await.is(202);
        api.mail("change", "free@example.org").await;
        let taken = ask_to_change(&api, &ada, "eve@example.org").await.is(202);
        let letter = api.mail("change_attempt", "eve@example.org").await;
        assert_eq!((letter.link.as_str(), letter.code.as_str()), ("", ""));
        assert_eq!(free.body, taken.body);
    }

    async fn whoever_lost_an_address_takes_it_back_and_the_thief_is_out(place: &Place) {
        let api = Api::on(place).await;
        let ada = verified(&api, "ada@example.org").await;
        // Somebody who knows the password moves the account away, twice.
        ask_to_change(&api, &ada, "thief@example.org").await.is(202);
        confirm(&api, &ada, &api.mail("change", "thief@example.org").await).await.is(204);
        let undo = api.mail("changed", "ada@example.org").await;
        api.test.advance(HOUR);
        let thief = api.login("thief@example.org").await;
        ask_to_change(&api, &thief, "lair@example.org").await.is(202);
        confirm(&api, &thief, &api.mail("change", "lair@example.org").await).await.is(204);
        let thiefs_undo = api.mail("changed", "thief@example.org").await;

        api.post("/auth/email/undo", None, json!({ "token": undo.token })).await.is(204);
        let reset = api.mail("reset", "ada@example.org").await;
        api.me(&thief.access).await.problem(401, "token_revoked");
        api.guess("ada@example.org", PASSWORD).await.problem(401, "invalid_credentials");
        api.guess("lair@example.org", PASSWORD).await.problem(401, "invalid_credentials");
        for token in [&undo.token, &thiefs_undo.token] {
            api.post("/auth/email/undo", None, json!({ "token": token })).await.problem(401, "ticket_invalid");
        }
        let body = json!({ "token": reset.token, "new_password": "another long password" });
        api.post("/auth/password/reset", None, body).await.is(204);
        api.guess("ada@example.org", "another long password").await.is(200);
    }

    /// A thief sets up what would keep them in, and only then moves the account away.
    async fn what_was_set_up_shortly_before_an_address_was_moved_goes_with_the_thief(place: &Place) {
        let api = Api::on(place).await;
        let ada = verified(&api, "ada@example.org").await;
        let app = set_up_app(&api, ada).await;
        api.test.advance(80 * HOUR);
        let half = half_way(&api, "ada@example.org").await;
        let code = app.fresh_code(&api);
        let thief = Tokens::of(&second_step(&api, &half, &code).await.is(200));
        let mut device = Authenticator::es256();
        enrol(&api, &thief.access, &mut device).await.is(201);
        api.test.advance(HOUR);
        let fresh = Tokens::of(&log_in(&api, &mut device).await.is(200));
        api.mails().await;
        ask_to_change(&api, &fresh, "thief@example.org").await.is(202);
        confirm(&api, &fresh, &api.mail("change", "thief@example.org").await).await.is(204);
        let undo = api.mail("changed", "ada@example.org").await;
        api.post("/auth/email/undo", None, json!({ "token": undo.token })).await.is(204);
        assert_eq!(log_in(&api, &mut device).await.status, 401);
        assert_eq!((rows_of(&api, "passkeys").await, rows_of(&api, "totp").await), (0, 1), "the older one is the owner's");
    }

    async fn an_address_that_was_never_verified_gets_no_link_back(place: &Place) {
        let api = Api::on(place).await;
        let ada = api.signup("mistyped@example.org").await;
        api.mails().await;
        ask_to_change(&api, &ada, "ada@example.org").await.is(202);
        confirm(&api, &ada, &api.mail("change", "ada@example.org").await).await.is(204);
        let told = api.mail("moved", "mistyped@example.org").await;
        assert_eq!(told.link, "");
        assert!(!told.text.contains("ada@example.org") && !told.text.contains('{'), "{told:?}");
    }

    async fn a_change_that_was_asked_for_ends_with_the_next_change_of_password(place: &Place) {
        let api = configured(place, |settings| settings.links.undo = Period::seconds(0)).await;
        let ada = verified(&api, "ada@example.org").await;
        ask_to_change(&api, &ada, "new@example.org").await.is(202);
        let letter = api.mail("change", "new@example.org").await;
        api.change_password(&ada.access, PASSWORD, "another long password").await.is(204);
        confirm(&api, &ada, &letter).await.problem(401, "ticket_invalid");
        assert_eq!(email_of(&api, &ada).await.0, "ada@example.org");
    }

    async fn of_sixteen_who_follow_one_link_one_is_first(place: &Place) {
        let api = Arc::new(Api::on(place).await);
        let ada = verified(&api, "ada@example.org").await;
        ask_to_change(&api, &ada, "new@example.org").await.is(202);
        let letter = api.mail("change", "new@example.org").await;
        let answers = contend(16, |number| {
            let (api, letter, ada) = (Arc::clone(&api), letter.clone(), ada.clone());
            async move {
                if number % 2 == 0 {
                    confirm(&api, &ada, &letter).await
                } else {
                    // At most four of them, since a code has five tries.
                    let code = if number < 8 { letter.code.as_str() } else { "" };
                    confirm_with(&api, &ada, json!({ "email": letter.to, "code": code })).await
                }
            }
        })
        .await;
        assert_eq!((count(&answers, 204), count(&answers, 401)), (1, 15));
        api.mail("changed", "ada@example.org").await;
    }

    async fn of_sixteen_who_want_one_address_one_gets_it(place: &Place) {
        let api = Arc::new(Api::on(place).await);
        let mut letters = Vec::new();
        for number in 0..4 {
            let user = verified(&api, &format!("user{number}@example.org")).await;
            ask_to_change(&api, &user, "new@example.org").await.is(202);
            letters.push((user, api.mail("change", "new@example.org").await));
        }
        let letters = Arc::new(letters);
        let answers = contend(16, |number| {
            let (api, letters) = (Arc::clone(&api), Arc::clone(&letters));
            async move {
                let (user, letter) = &letters[number % 4];
                confirm(&api, user, letter).await
            }
        })
        .await;
        assert_eq!(count(&answers, 204), 1, "{answers:?}");
        assert_eq!(api.house().users(None, 10).await.unwrap().iter().filter(|user| user.email.as_deref() == Some("new@example.org")).count(), 1);
    }
}
