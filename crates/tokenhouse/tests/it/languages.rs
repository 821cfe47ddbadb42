//! The language of pages and mails, as a person chooses it.

use serde_json::{Value, json};
use tokenhouse::UserChange;

use crate::on_both_engines;
use crate::support::Place;
use crate::support::api::Api;
use crate::support::browser::Browser;

const ADA: &str = "ada@example.org";
const SIGN_IN: &str = "/account/sign-in";
const CHOOSE: &str = "/account/language";

async fn locale(api: &Api) -> Value {
    let ada = api.house().user_by_name(ADA).await.unwrap().unwrap();
    ada.profile.get("locale").cloned().unwrap_or_default()
}

async fn set_profile(api: &Api, profile: Value) {
    let ada = api.house().user_by_name(ADA).await.unwrap().unwrap();
    let change = UserChange {
        profile: profile.as_object().cloned(),
        ..UserChange::default()
    };
    api.house().update_user(ada.id, change).await.unwrap();
}

on_both_engines! {
    async fn a_language_is_chosen_on_a_page_and_remembered(place: &Place) {
        let api = Api::on(place).await;
        let mut browser = Browser::new(&api);
        let page = browser.get("/account/sign-in?return_to=%2Fx").await.is(200).html();
        assert!(page.contains("<html lang=\"en\"") && page.contains(">Deutsch</button>") && page.contains(">Français</button>"), "{page}");
        assert!(page.contains("lang=\"en\" aria-current=\"true\">English<"), "{page}");
        let fields = [("language", "de"), ("return_to", "/account/sign-in?return_to=%2Fx")];
        let chosen = browser.post(SIGN_IN, CHOOSE, &fields).await;
        assert_eq!(chosen.leads_to(), "/account/sign-in?return_to=%2Fx");
        let cookie = chosen.header("set-cookie").to_owned();
        assert_eq!(cookie, "tokenhouse-language=de; Path=/; HttpOnly; SameSite=Lax; Max-Age=34560000");
        assert!(browser.get(SIGN_IN).await.html().contains("Bei Tokenhouse anmelden"));
        // Errors are pages too, and so is what is sent.
        assert!(browser.get("/nowhere").await.html().contains("<html lang=\"de\""));
        browser.sign_up(ADA).await;
        let mails = api.mails().await;
        assert_eq!(mails[0].subject, "Bestätigen Sie Ihre Adresse für Tokenhouse");
        assert_eq!(locale(&api).await, "de", "so that the next mail is in it too");

        // Another browser, which wants English, finds the account in its language once it is signed in.
        let mut other = Browser::new(&api);
        assert!(other.get(SIGN_IN).await.html().contains("<html lang=\"en\""));
        other.sign_in(ADA, tokenhouse::testing::PASSWORD).await;
        assert!(other.get("/account").await.html().contains("<html lang=\"de\""));
        assert_eq!(other.post("/account", CHOOSE, &[("language", "fr"), ("return_to", "/account/profile")]).await.leads_to(), "/account/profile");
        assert_eq!(locale(&api).await, "fr");
        assert!(other.get("/account").await.html().contains("<html lang=\"fr\""));
        assert!(browser.get("/account").await.html().contains("<html lang=\"de\""), "a browser keeps what was chosen in it");
        let token = api.login(ADA).await;
        api.change_password(&token.access, tokenhouse::testing::PASSWORD, "another long password").await.is(204);
        let mails = api.mails().await;
        let told = mails.iter().find(|mail| mail.kind == "password_changed").unwrap();
        assert!(told.subject.starts_with("Votre mot de passe"), "{}", told.subject);
    }

    async fn what_the_account_knows_better_stays(place: &Place) {
        let api = Api::on(place).await;
        let mut browser = Browser::new(&api);
        browser.sign_up(ADA).await;
        assert_eq!(locale(&api).await, Value::Null, "nothing was chosen");
        for (before, chosen, after) in [("de-AT", "de", "de-AT"), ("de-AT", "fr", "fr"), ("ja", "en", "en")] {
            set_profile(&api, json!({ "locale": before, "plan": "gold" })).await;
            browser.post("/account", CHOOSE, &[("language", chosen)]).await.leads_to();
            assert_eq!(locale(&api).await, after, "{before} {chosen}");
        }
        let ada = api.house().user_by_name(ADA).await.unwrap().unwrap();
        assert_eq!(ada.profile["plan"], "gold");
        // A language that nobody speaks here is as none: the browser's is next.
        set_profile(&api, json!({ "locale": "ja" })).await;
        browser.cookies.remove("tokenhouse-language");
        browser.language = "fr".to_owned();
        assert!(browser.get("/account").await.html().contains("<html lang=\"fr\""));
    }

    async fn a_full_profile_hinders_nobody(place: &Place) {
        let api = Api::with(place, |builder| builder.configure(|settings| settings.accounts.profile_max_bytes = 20)).await;
        let mut browser = Browser::new(&api);
        browser.sign_up(ADA).await;
        set_profile(&api, json!({ "n": "0123456789" })).await;
        browser.post("/account", CHOOSE, &[("language", "de")]).await.leads_to();
        assert_eq!(locale(&api).await, Value::Null);
        assert!(browser.get("/account").await.html().contains("<html lang=\"de\""));
    }
}

#[tokio::test]
async fn choosing_leads_nowhere_else_and_believes_nothing() {
    let api = Api::with(&Place::sqlite(), |builder| {
        builder
            .configure(|settings| settings.pages.return_origins = vec!["https://app.example.com".to_owned()])
    })
    .await;
    let mut browser = Browser::new(&api);
    for there in [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "https://app.example.com/x",
        "",
    ] {
        let fields = [("language", "de"), ("return_to", there)];
        let answer = browser.post(SIGN_IN, CHOOSE, &fields).await;
        assert_eq!(answer.leads_to(), "/account", "{there}");
    }
    for language in [
        "",
        "DE",
        "xx",
        "de;q=1",
        "de; Domain=evil.example",
        "../en",
        "de\r\nset-cookie: a=b",
    ] {
        let mut browser = Browser::new(&api);
        let fields = [("language", language), ("return_to", SIGN_IN)];
        let answer = browser.post(SIGN_IN, CHOOSE, &fields).await;
        assert_eq!(answer.leads_to(), SIGN_IN);
        assert!(!browser.cookies.contains_key("tokenhouse-language"), "{language}");
        // Nor where it was planted.
        if !language.contains([';', '\r']) {
            browser
                .cookies
                .insert("tokenhouse-language".to_owned(), language.to_owned());
            assert!(
                browser
                    .get(SIGN_IN)
                    .await
                    .is(200)
                    .html()
                    .contains("<html lang=\"en\""),
                "{language}"
            );
        }
    }
    // Another site chooses for nobody.
    let token = browser.token(SIGN_IN).await;
    browser.says = vec![("sec-fetch-site", "cross-site".to_owned())];
    browser
        .post_with(CHOOSE, &token, &[("language", "fr")])
        .await
        .is(403);
    assert!(browser.get(SIGN_IN).await.html().contains("<html lang=\"de\""));
}

/// The page of an answer cannot be asked for again: codes are shown once, and half a login would be lost.
#[tokio::test]
async fn only_a_page_that_can_be_shown_again_offers_it() {
    let api = Api::on(&Place::sqlite()).await;
    let mut browser = Browser::new(&api);
    let wrong = browser.sign_in(ADA, "wrong password").await.is(422).html();
    assert!(
        !wrong.contains(CHOOSE) && !wrong.contains("account&#x2f;language"),
        "{wrong}"
    );
    let again = browser.get("/account/sign-in?done=signed_out").await.html();
    assert!(
        again.contains("name=\"return_to\" value=\"&#x2f;account&#x2f;sign-in\""),
        "what was done is told once: {again}"
    );
}
