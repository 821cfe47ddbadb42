//! The pages of second factors, without a script; for passkeys the test does what the script does.

use std::time::Duration;

use serde_json::{Value, json};
use tokenhouse::Secret;
use tokenhouse::features::totp::code_of_app;
use tokenhouse::testing::PASSWORD;

use crate::on_both_engines;
use crate::password_reset::rows_of;
use crate::support::api::{Answer, Api};
use crate::support::authenticator::Authenticator;
use crate::support::browser::Browser;

const ADA: &str = "ada@example.org";

fn plain(html: &str) -> String {
    let mut text = html.to_owned();
    for (escaped, character) in [
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&#x27;", "'"),
        ("&#x2f;", "/"),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&amp;", "&"),
    ] {
        text = text.replace(escaped, character);
    }
    text
}

/// What stands between two marks.
#[track_caller]
fn between(html: &str, before: &str, after: &str) -> String {
    let (_, rest) = html
        .split_once(before)
        .unwrap_or_else(|| panic!("no {before} in {html}"));
    plain(rest.split_once(after).unwrap().0)
}

#[track_caller]
fn hidden(html: &str, name: &str) -> String {
    between(html, &format!("name=\"{name}\" value=\""), "\"")
}

/// Sends a form that stands on a page which cannot be asked for again.
async fn go_on(browser: &mut Browser, page: &Answer, path: &str, fields: &[(&str, &str)]) -> Answer {
    let html = page.html();
    let token = hidden(&html, "csrf");
    let mut fields = fields.to_vec();
    let mfa_token = if html.contains("name=\"mfa_token\"") {
        hidden(&html, "mfa_token")
    } else {
        String::new()
    };
    if !mfa_token.is_empty() {
        fields.push(("mfa_token", &mfa_token));
    }
    browser.post_with(path, &token, &fields).await
}

fn options(page: &Answer) -> Value {
    let text = between(&page.html(), "data-options=\"", "\"");
    json!({ "publicKey": serde_json::from_str::<Value>(&text).unwrap() })
}

fn codes(page: &Answer) -> Vec<String> {
    let list = between(&page.html(), "id=\"codes\">", "</ol>");
    list.split("<li>")
        .skip(1)
        .map(|item| item.split("</li>").next().unwrap().to_owned())
        .collect()
}

/// Sets up an app; gives its secret and the recovery codes.
async fn with_app(api: &Api, browser: &mut Browser) -> (Secret, Vec<String>) {
    let page = browser.get("/account/totp").await.is(200);
    let html = page.html();
    assert!(html.contains("<svg") && html.contains("otpauth:"), "{html}");
    let secret = Secret::from(between(&html, "<p class=\"secret\">", "</p>").replace(' ', ""));
    // A wrong code keeps the secret that was scanned.
    let again = go_on(browser, &page, "/account/totp/confirm", &[("code", "00000x")])
        .await
        .is(422);
    assert!(
        again.html().contains("not the code that the app shows"),
        "{}",
        again.html()
    );
    assert_eq!(
        between(&again.html(), "<p class=\"secret\">", "</p>").replace(' ', ""),
        secret.expose()
    );
    let code = code_of_app(&secret, api.house().clock().now());
    let shown = go_on(browser, &again, "/account/totp/confirm", &[("code", &code)])
        .await
        .is(200);
    (secret, codes(&shown))
}

fn fresh_code(api: &Api, secret: &Secret) -> String {
    api.test.advance(Duration::from_secs(30));
    code_of_app(secret, api.house().clock().now())
}

async fn sign_out(browser: &mut Browser) {
    browser
        .post("/account/sign-out", "/account/sign-out", &[])
        .await
        .leads_to();
    assert!(!browser.is_in().await);
}

on_both_engines! {
    async fn a_person_sets_up_an_app_and_signs_in_with_it(place: &Place) {
        let api = Api::on(place).await;
        let mut browser = Browser::new(&api);
        browser.sign_up(ADA).await;
        let (secret, codes) = with_app(&api, &mut browser).await;
        assert_eq!(codes.len(), 10);
        assert!(browser.get("/account").await.html().contains("Codes you have left: 10"));
        sign_out(&mut browser).await;

        let due = browser.sign_in(ADA, PASSWORD).await.is(200);
        assert!(due.html().contains("One more step"), "{}", due.html());
        assert!(!browser.is_in().await, "half way is not in");
        let wrong = go_on(&mut browser, &due, "/account/second-step", &[("code", "00000x")]).await.is(422);
        assert!(wrong.html().contains("The code is not right"), "{}", wrong.html());
        let code = fresh_code(&api, &secret);
        let answer = go_on(&mut browser, &wrong, "/account/second-step", &[("code", &code), ("return_to", "https://evil.example/")]).await;
        assert_eq!(answer.leads_to(), "/account");
        assert!(browser.is_in().await);
        sign_out(&mut browser).await;

        // A form of another browser, or none of ours, is not taken.
        let due = browser.sign_in(ADA, PASSWORD).await.is(200);
        let mut thief = Browser::new(&api);
        let code = fresh_code(&api, &secret);
        let refused = go_on(&mut thief, &due, "/account/second-step", &[("code", &code)]).await;
        assert_eq!(refused.status, 403, "{}", refused.html());
        // A recovery code, typed as people type.
        let typed = codes[0].to_lowercase();
        let answer = go_on(&mut browser, &due, "/account/second-step", &[("recovery_code", &typed)]).await;
        assert_eq!(answer.leads_to(), "/account");
        assert!(browser.get("/account").await.html().contains("Codes you have left: 9"));
        // What took too long begins anew.
        sign_out(&mut browser).await;
        let due = browser.sign_in(ADA, PASSWORD).await.is(200);
        api.test.advance(Duration::from_secs(601));
        let over = go_on(&mut browser, &due, "/account/second-step", &[("recovery_code", &codes[1])]).await.is(422);
        assert!(over.html().contains("Please sign in again"), "{}", over.html());
    }

    async fn a_person_makes_a_passkey_and_signs_in_with_it_alone(place: &Place) {
        let api = Api::on(place).await;
        let mut browser = Browser::new(&api);
        browser.sign_up(ADA).await;
        let mut device = Authenticator::es256();
        let page = browser.get("/account/passkeys/new").await.is(200);
        let created = device.create(&options(&page)).to_string();
        let nothing = go_on(&mut browser, &page, "/account/passkeys/finish", &[("credential", "")]).await.is(422);
        assert!(nothing.html().contains("The passkey did not work"), "{}", nothing.html());
        let shown = go_on(&mut browser, &page, "/account/passkeys/finish", &[("credential", &created), ("name", "My phone")]).await.is(200);
        assert_eq!(codes(&shown).len(), 10);
        let account = browser.get("/account").await.html();
        assert!(account.contains("My phone") && account.contains("on several devices"), "{account}");
        sign_out(&mut browser).await;

        let page = browser.post("/account/sign-in", "/account/sign-in/passkey", &[("return_to", "/account/password")]).await.is(200);
        let mut liar = device.get(&options(&page));
        liar["response"]["signature"] = json!("AAAA");
        let refused = go_on(&mut browser, &page, "/account/sign-in/passkey/finish", &[("credential", &liar.to_string())]).await.is(422);
        assert!(refused.html().contains("The passkey did not work"), "{}", refused.html());
        let asserted = device.get(&options(&page)).to_string();
        let answer = go_on(&mut browser, &page, "/account/sign-in/passkey/finish", &[("credential", &asserted), ("return_to", "/account/password")]).await;
        assert_eq!(answer.leads_to(), "/account/password");
        assert!(browser.is_in().await);

        // As a second step.
        sign_out(&mut browser).await;
        let due = browser.sign_in(ADA, PASSWORD).await.is(200);
        let page = go_on(&mut browser, &due, "/account/second-step/passkey", &[]).await.is(200);
        let asserted = device.get(&options(&page)).to_string();
        let answer = go_on(&mut browser, &page, "/account/sign-in/passkey/finish", &[("credential", &asserted)]).await;
        assert_eq!(answer.leads_to(), "/account");

        // Named anew and removed.
        let id = between(&browser.get("/account").await.html().replace("&#x2f;", "/"), "href=\"/account/passkeys/", "\"");
        let id = if id == "new" {
            let html = browser.get("/account").await.html().replace("&#x2f;", "/");
            html.split("href=\"/account/passkeys/").map(|rest| rest.split('"').next().unwrap().to_owned()).find(|id| id.len() == 36).unwrap()
        } else { id };
        let page = format!("/account/passkeys/{id}");
        assert!(browser.get(&page).await.is(200).html().contains("value=\"My phone\""));
        browser.post(&page, &page, &[("name", " ")]).await.is(422);
        assert_eq!(browser.post(&page, &page, &[("name", "Old phone")]).await.leads_to(), "/account?done=passkey_named");
        assert_eq!(browser.post(&page, &format!("{page}/remove"), &[]).await.leads_to(), "/account?done=passkey_removed");
        sign_out(&mut browser).await;
        assert_eq!(browser.sign_in(ADA, PASSWORD).await.leads_to(), "/account");
    }

    async fn what_one_signs_in_with_is_changed_after_a_fresh_proof(place: &Place) {
        let api = Api::on(place).await;
        let mut browser = Browser::new(&api);
        browser.sign_up(ADA).await;
        api.test.advance(Duration::from_secs(601));
        let prove = browser.get("/account/totp").await.leads_to().to_owned();
        assert_eq!(prove, "/account/prove?return_to=%2Faccount%2Ftotp");
        let wrong = browser.post(&prove, "/account/prove", &[("password", "wrong password"), ("return_to", "/account/totp")]).await.is(422);
        assert!(wrong.html().contains("not right"), "{}", wrong.html());
        let answer = browser.post(&prove, "/account/prove", &[("password", PASSWORD), ("return_to", "/account/totp")]).await;
        assert_eq!(answer.leads_to(), "/account/totp");
        let (secret, codes) = with_app(&api, &mut browser).await;
        // Now the password does not do.
        api.test.advance(Duration::from_secs(601));
        for (page, path) in [("/account", "/account/totp/remove"), ("/account", "/account/recovery-codes")] {
            let led = browser.post(page, path, &[]).await;
            assert!(led.leads_to().starts_with("/account/prove"), "{path}: {}", led.leads_to());
        }
        let fields = [("current_password", PASSWORD), ("new_password", "another long password")];
        assert!(browser.post("/account/password", "/account/password", &fields).await.leads_to().starts_with("/account/prove"));
        assert!(browser.post("/account/delete", "/account/delete", &[("password", PASSWORD)]).await.leads_to().starts_with("/account/prove"));
        let page = browser.get("/account/prove").await.is(200).html();
        assert!(!page.contains("name=\"password\"") && page.contains("name=\"code\""), "{page}");
        browser.post("/account/prove", "/account/prove", &[("password", PASSWORD)]).await.is(422);
        let answer = browser.post("/account/prove", "/account/prove", &[("code", &fresh_code(&api, &secret)), ("return_to", "//evil.example")]).await;
        assert_eq!(answer.leads_to(), "/account");
        let fresh = browser.post("/account", "/account/recovery-codes", &[]).await.is(200);
        assert!(!self::codes(&fresh).contains(&codes[0]));
        assert_eq!(browser.post("/account", "/account/totp/remove", &[]).await.leads_to(), "/account?done=totp_removed");
    }

    async fn who_must_have_a_second_factor_sets_it_up_at_the_page(place: &Place) {
        let api = Api::with(place, |builder| builder.configure(|settings| settings.second_factors.required_for = vec!["*".to_owned()])).await;
        let mut browser = Browser::new(&api);
        let due = browser.sign_up(ADA).await.is(200);
        assert!(due.html().contains("Set up a second step"), "{}", due.html());
        assert!(!browser.is_in().await);
        let page = go_on(&mut browser, &due, "/account/set-up/totp", &[]).await.is(200);
        let secret = Secret::from(between(&page.html(), "<p class=\"secret\">", "</p>").replace(' ', ""));
        let again = go_on(&mut browser, &page, "/account/set-up/totp/confirm", &[("code", "00000x")]).await.is(422);
        let code = code_of_app(&secret, api.house().clock().now());
        let shown = go_on(&mut browser, &again, "/account/set-up/totp/confirm", &[("code", &code)]).await.is(200);
        assert_eq!(codes(&shown).len(), 10);
        assert!(browser.is_in().await);
        assert_eq!(browser.post("/account", "/account/totp/remove", &[]).await.leads_to(), "/account?done=second_factor_stays");
        // By passkey just so.
        let mut other = Browser::new(&api);
        let due = other.sign_up("bob@example.org").await.is(200);
        let page = go_on(&mut other, &due, "/account/set-up/passkey", &[]).await.is(200);
        let created = Authenticator::es256().create(&options(&page)).to_string();
        let shown = go_on(&mut other, &page, "/account/set-up/passkey/finish", &[("credential", &created)]).await.is(200);
        assert_eq!(codes(&shown).len(), 10);
        assert!(other.is_in().await);
    }

    async fn a_code_by_mail_is_a_button_away(place: &Place) {
        let api = Api::with(place, |builder| builder.configure(|settings| settings.second_factors.email_code = true)).await;
        let mut browser = Browser::new(&api);
        browser.sign_up(ADA).await;
        with_app(&api, &mut browser).await;
        api.change(tokenhouse::store::query("UPDATE users SET email_verified_at = 0")).await;
        sign_out(&mut browser).await;
        let due = browser.sign_in(ADA, PASSWORD).await.is(200);
        let sent = go_on(&mut browser, &due, "/account/second-step/email", &[]).await.is(200);
        assert!(sent.html().contains("A code is on its way"), "{}", sent.html());
        let code = crate::second_factors::mailed_code(&api, "second_step").await;
        assert_eq!(go_on(&mut browser, &sent, "/account/second-step", &[("code", &code)]).await.leads_to(), "/account");
    }

    /// Opening the link changes nothing, its button does; it needs nobody to be signed in.
    async fn a_first_factor_is_taken_back_at_a_page(place: &Place) {
        let api = Api::on(place).await;
        let mut thief = Browser::new(&api);
        thief.sign_up(ADA).await;
        api.change(tokenhouse::store::query("UPDATE users SET email_verified_at = 0")).await;
        api.mails().await;
        with_app(&api, &mut thief).await;
        let letter = api.mail("first_factor", ADA).await;
        let page = format!("/account/factors/undo?token={}", letter.token);
        let mut owner = Browser::new(&api);
        for _ in 0..2 {
            let html = owner.get(&page).await.is(200).html();
            assert!(html.contains("Remove the second step") && html.contains("every recovery code"), "{html}");
        }
        assert!(thief.is_in().await);
        let answer = owner.post(&page, "/account/factors/undo", &[("token", &letter.token)]).await;
        assert_eq!(answer.leads_to(), "/account/sign-in?done=factors_undone");
        let html = owner.get("/account/sign-in?done=factors_undone").await.is(200).html();
        assert!(html.contains("The second step was removed."), "{html}");
        assert!(!thief.is_in().await);
        api.mail("reset", ADA).await;
        for page in [page.as_str(), "/account/factors/undo"] {
            let html = owner.get(page).await.is(200).html();
            assert!(html.contains("has been used before") && !html.contains("name=\"token\""), "{html}");
        }
    }

    /// A page that takes a password and factors away says so; where one is signed in, nothing is taken.
    async fn an_account_is_taken_over_at_a_page_that_says_so(place: &Place) {
        let api = Api::on(place).await;
        let mut stranger = Browser::new(&api);
        stranger.sign_up(ADA).await;
        api.mails().await;
        let mut owner = Browser::new(&api);
        let asked = owner.post("/account/magic", "/account/magic/request", &[("email", ADA)]).await.is(200);
        let letter = api.mail("claim", ADA).await;
        let page = format!("/account/magic?token={}", letter.token);
        let html = owner.get(&page).await.is(200).html();
        assert!(html.contains("This address was never confirmed") && html.contains("Confirm and sign in"), "{html}");
        // The code of that mail is typed on the page that came after asking.
        let token = hidden(&asked.html(), "csrf");
        let code = [("email", ADA), ("code", letter.code.as_str())];
        assert_eq!(owner.post_with("/account/magic", &token, &code).await.leads_to(), "/account");
        assert!(owner.is_in().await && !stranger.is_in().await);

        let mut bob = Browser::new(&api);
        api.mails().await;
        bob.sign_up("bob@example.org").await;
        let letter = api.mail("verify", "bob@example.org").await;
        with_app(&api, &mut bob).await;
        let page = format!("/account/verify?token={}", letter.token);
        let answer = bob.post(&page, "/account/verify", &[("token", &letter.token)]).await;
        assert_eq!(answer.leads_to(), "/account?done=email_verified");
        assert!(bob.is_in().await);
        assert_eq!(rows_of(&api, "totp").await, 1, "it was set up where it was confirmed");
    }
}
