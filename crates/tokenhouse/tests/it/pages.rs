//! The pages, as a browser has them: the session in its cookie, forms, and where one is led.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use http::header::{AUTHORIZATION, COOKIE};
use http::{Method, Request};
use serde_json::Value;
use tokenhouse::settings::SignupMode;
use tokenhouse::store::query;
use tokenhouse::testing::{PASSWORD, TestHouse};
use tokenhouse::{CurrentUser, MaybeUser};

use crate::on_both_engines;
use crate::support::api::Api;
use crate::support::browser::Browser;

const ADA: &str = "ada@example.org";
const OTHER: &str = "another long password";

/// Everything in the database that a person would call theirs.
async fn everything(api: &Api) -> Vec<String> {
    let mut all = Vec::new();
    for text in [
        "SELECT id, email, profile FROM users ORDER BY id",
        "SELECT id, method, scope FROM sessions WHERE revoked_at IS NULL ORDER BY id",
        "SELECT user_id, hash, hash FROM passwords ORDER BY user_id",
        "SELECT id, kind, data FROM events ORDER BY id",
    ] {
        let rows: Vec<(uuid::Uuid, Option<String>, Option<String>)> = api.rows(query(text)).await;
        all.extend(rows.into_iter().map(|row| format!("{row:?}")));
    }
    all
}

on_both_engines! {
    async fn a_person_signs_up_out_and_in_again(place: &Place) {
        let api = Api::on(place).await;
        let mut browser = Browser::new(&api);
        assert_eq!(browser.sign_up(ADA).await.leads_to(), "/account");
        let account = browser.get("/account").await.is(200).html();
        assert!(account.contains(ADA), "{account}");
        assert!(browser.get("/account/sign-in").await.leads_to() == "/account", "who is in is led on");

        let out = browser.post("/account/sign-out", "/account/sign-out", &[]).await;
        assert_eq!(out.leads_to(), "/account/sign-in?done=signed_out");
        assert!(!browser.cookies.contains_key("tokenhouse"));
        assert!(browser.get("/account/sign-in?done=signed_out").await.html().contains("You are signed out."));
        assert!(!browser.is_in().await);

        let wrong = browser.sign_in("ADA@example.org", "wrong <password>").await.is(422).html();
        assert!(wrong.contains("The name or the password is not right."), "{wrong}");
        assert!(wrong.contains("value=\"ADA@example.org\"") && !wrong.contains("wrong &lt;"), "what was typed stays, the password never: {wrong}");
        assert_eq!(browser.sign_in(ADA, PASSWORD).await.leads_to(), "/account");
        assert!(browser.is_in().await);
    }

    async fn the_cookie_is_the_session_underneath(place: &Place) {
        let api = Api::on(place).await;
        let mut browser = Browser::new(&api);
        browser.sign_up(ADA).await;
        let token = api.login(ADA).await;
        assert_eq!(api.sessions(&token.access).await.len(), 2);
        assert!(browser.is_in().await);

        api.post("/auth/logout/all", Some(&token.access), Value::Null).await.is(204);
        assert!(!browser.is_in().await, "log out everywhere");
        browser.sign_in(ADA, PASSWORD).await;
        let token = api.login(ADA).await;
        api.change_password(&token.access, PASSWORD, OTHER).await.is(204);
        assert!(!browser.is_in().await, "the password was changed elsewhere");
        browser.sign_in(ADA, OTHER).await;
        let ada = api.house().user_by_name(ADA).await.unwrap().unwrap();
        api.house().set_user_active(ada.id, false).await.unwrap();
        assert!(!browser.is_in().await, "the account was disabled");
        let refused = browser.sign_in(ADA, OTHER).await.is(422).html();
        assert!(refused.contains("This account is disabled."), "{refused}");
        api.house().set_user_active(ada.id, true).await.unwrap();
        assert!(!browser.is_in().await, "what was ended stays so");
        browser.sign_in(ADA, OTHER).await;
        api.house().delete_user(ada.id, &tokenhouse::Origin::default()).await.unwrap();
        assert!(!browser.is_in().await, "the account was deleted");
    }

    async fn a_session_in_use_lives_and_an_idle_one_ends(place: &Place) {
        let api = Api::on(place).await;
        let mut browser = Browser::new(&api);
        browser.sign_up(ADA).await;
        for _ in 0..5 {
            api.test.advance(Duration::from_secs(20 * 86_400));
            assert!(browser.is_in().await, "it was looked at within thirty days");
        }
        api.test.advance(Duration::from_secs(31 * 86_400));
        assert!(!browser.is_in().await);
        browser.sign_in(ADA, PASSWORD).await;
        for _ in 0..18 {
            api.test.advance(Duration::from_secs(20 * 86_400));
            assert!(browser.is_in().await);
        }
        api.test.advance(Duration::from_secs(6 * 86_400));
        assert!(!browser.is_in().await, "a year is the end however often it is used");
    }

    async fn each_login_has_a_session_of_its_own(place: &Place) {
        let api = Api::on(place).await;
        let mut browser = Browser::new(&api);
        // Planted before: nothing anybody can know makes a session, and what is known before is not what counts after.
        browser.cookies.insert("tokenhouse".to_owned(), "A".repeat(64));
        assert!(!browser.is_in().await);
        browser.sign_up(ADA).await;
        let first = browser.cookies["tokenhouse"].clone();
        assert_ne!(first, "A".repeat(64));

        // The form of another tab, sent after signing in in this one.
        let token = browser.token("/account/sign-out").await;
        let again = browser.post_with("/account/sign-in", &token, &[("identifier", ADA), ("password", PASSWORD)]).await;
        again.leads_to();
        assert_ne!(browser.cookies["tokenhouse"], first, "a new one, though the old one was good");
        let second = browser.cookies.insert("tokenhouse".to_owned(), first);
        assert!(!browser.is_in().await, "the old one is over");
        browser.cookies.insert("tokenhouse".to_owned(), second.unwrap());
        assert!(browser.is_in().await);
    }

    async fn no_token_is_a_cookie_and_no_cookie_is_a_token(place: &Place) {
        let api = Api::on(place).await;
        let mut browser = Browser::new(&api);
        browser.sign_up(ADA).await;
        let tokens = api.login(ADA).await;
        let cookie = browser.cookies["tokenhouse"].clone();
        for token in [cookie.clone(), format!("thr_{cookie}"), browser.cookies["tokenhouse-visitor"].clone()] {
            api.refresh(&token).await.problem(401, "refresh_invalid");
            api.me(&token).await.problem(401, "token_invalid");
        }
        let form = browser.token("/account/sign-out").await;
        let refresh = tokens.refresh.trim_start_matches("thr_").to_owned();
        for text in [tokens.access, tokens.refresh, refresh.clone(), refresh[..64].to_owned(), form, String::new()] {
            browser.cookies.insert("tokenhouse".to_owned(), text);
            assert!(!browser.is_in().await);
        }
    }

    async fn a_form_of_another_site_is_refused(place: &Place) {
        let api = Api::on(place).await;
        let mut browser = Browser::new(&api);
        browser.sign_up(ADA).await;
        let mut stranger = Browser::new(&api);
        stranger.sign_up("eve@example.org").await;
        let (mine, theirs) = (browser.token("/account/sign-out").await, stranger.token("/account/sign-out").await);
        let before = everything(&api).await;
        for (says, token) in [
            (vec![("sec-fetch-site", "cross-site")], &*mine),
            (vec![("sec-fetch-site", "same-site")], &mine),
            (vec![("sec-fetch-site", "cross-site"), ("origin", "http://localhost:8080")], &mine),
            (vec![("origin", "https://evil.example")], &mine),
            (vec![("origin", "null")], &mine),
            (vec![("origin", "http://localhost:8081")], &mine),
            (vec![], ""),
            (vec![("sec-fetch-site", "same-origin")], ""),
            (vec![("sec-fetch-site", "same-origin")], &theirs),
            (vec![("sec-fetch-site", "same-origin")], "nonsense"),
        ] {
            browser.says = says.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
            for (path, fields) in [
                ("/account/sign-out", &[][..]),
                ("/account/profile", &[("profile.name", "Eve")]),
                ("/account/password", &[("current_password", PASSWORD), ("new_password", OTHER)]),
                ("/account/delete", &[("password", PASSWORD)]),
                ("/account/devices/end-others", &[]),
                ("/account/sign-in", &[("identifier", "eve@example.org"), ("password", PASSWORD)]),
                ("/account/sign-up", &[("email", "new@example.org"), ("password", PASSWORD)]),
            ] {
                let answer = browser.post_with(path, token, fields).await.is(403);
                assert!(answer.html().contains("Please try again"), "{path} {says:?}: {}", answer.html());
            }
        }
        assert_eq!(everything(&api).await, before);
        // The same with everything right, from a browser that says nothing of the sender and from one that does.
        for says in [vec![], vec![("origin", "http://localhost:8080".to_owned())]] {
            browser.says = says;
            browser.post_with("/account/profile", &mine, &[("profile.name", "Ada")]).await.leads_to();
        }
    }

    async fn nobody_is_signed_in_to_an_account_of_the_attackers(place: &Place) {
        let api = Api::on(place).await;
        Browser::new(&api).sign_up("eve@example.org").await;
        let fields = [("identifier", "eve@example.org"), ("password", PASSWORD)];
        // A token that an attacker's own browser was shown, with the victim's cookies or with none.
        let token = Browser::new(&api).token("/account/sign-in").await;
        let mut victim = Browser::new(&api);
        victim.says.clear();
        victim.post_with("/account/sign-in", &token, &fields).await.is(403);
        victim.get("/account/sign-in").await.is(200);
        victim.post_with("/account/sign-in", &token, &fields).await.is(403);
        assert!(!victim.is_in().await);
    }

    async fn looking_changes_nothing(place: &Place) {
        let api = Api::on(place).await;
        let mut browser = Browser::new(&api);
        browser.sign_up(ADA).await;
        api.login(ADA).await;
        let before = everything(&api).await;
        let device: Vec<(uuid::Uuid,)> = api.rows(query("SELECT id FROM sessions")).await;
        let end = format!("/account/devices/{}/end", device[0].0);
        for path in [
            "/", "/account", "/account/", "/account/sign-in", "/account/sign-up", "/account/sign-out", "/account/profile",
            "/account/password", "/account/delete", "/account/activity", "/account/data.json",
            "/account/devices/end-others", &end, "/account/sign-in?return_to=/x&done=signed_out",
            "/account/delete?password=correct+horse+battery+staple", "/account/profile?profile.name=Eve",
        ] {
            for method in [Method::GET, Method::HEAD] {
                let answer = browser.send(method, path, None).await;
                assert!(!answer.status.is_server_error(), "{path}: {}", answer.html());
            }
        }
        assert_eq!(everything(&api).await, before);
    }

    async fn a_device_and_all_others_are_signed_out(place: &Place) {
        let api = Api::on(place).await;
        let mut browser = Browser::new(&api);
        browser.sign_up(ADA).await;
        let (mut other, mut third) = (Browser::new(&api), Browser::new(&api));
        other.sign_in(ADA, PASSWORD).await;
        third.sign_in(ADA, PASSWORD).await;
        let account = browser.get("/account").await.html();
        let ends: Vec<&str> = account.split("/account/devices/").skip(1).filter_map(|rest| rest.split_once("/end\"")).map(|(id, _)| id).collect();
        assert_eq!(ends.len(), 2, "{account}");
        for id in &ends[..1] {
            let ended = browser.post("/account", &format!("/account/devices/{id}/end"), &[]).await;
            assert_eq!(ended.leads_to(), "/account?done=device_ended");
        }
        assert_eq!(usize::from(other.is_in().await) + usize::from(third.is_in().await), 1);

        // Somebody else's is nothing of mine.
        let mut eve = Browser::new(&api);
        eve.sign_up("eve@example.org").await;
        eve.post("/account", &format!("/account/devices/{}/end", ends[1]), &[]).await.leads_to();
        assert_eq!(usize::from(other.is_in().await) + usize::from(third.is_in().await), 1);
        eve.post("/account", "/account/devices/nonsense/end", &[]).await.is(404);

        browser.post("/account", "/account/devices/end-others", &[]).await.leads_to();
        assert!(!other.is_in().await && !third.is_in().await && browser.is_in().await && eve.is_in().await);
    }

    async fn the_password_is_changed_and_the_account_deleted_with_the_password(place: &Place) {
        let api = Api::on(place).await;
        let mut browser = Browser::new(&api);
        browser.sign_up(ADA).await;
        let mut other = Browser::new(&api);
        other.sign_in(ADA, PASSWORD).await;
        let page = "/account/password";
        let wrong = browser.post(page, page, &[("current_password", "wrong password"), ("new_password", OTHER)]).await.is(422).html();
        assert!(wrong.contains("id=\"current_password-error\">This is not your current password.") && !wrong.contains("wrong password"), "{wrong}");
        assert!(wrong.contains("aria-invalid=\"true\" aria-describedby=\"current_password-error\""), "{wrong}");
        let short = browser.post(page, page, &[("current_password", PASSWORD), ("new_password", "short")]).await.is(422).html();
        assert!(short.contains("id=\"new_password-error\">Use 8 characters or more."), "{short}");
        let changed = browser.post(page, page, &[("current_password", PASSWORD), ("new_password", OTHER)]).await;
        assert_eq!(changed.leads_to(), "/account?done=password_changed");
        assert!(browser.is_in().await && !other.is_in().await);

        let page = "/account/delete";
        browser.post(page, page, &[("password", PASSWORD)]).await.is(422);
        assert!(browser.is_in().await);
        let gone = browser.post(page, page, &[("password", OTHER)]).await;
        assert_eq!(gone.leads_to(), "/account/sign-in?done=account_deleted");
        assert!(!browser.is_in().await);
        assert!(api.house().user_by_name(ADA).await.unwrap().is_none());
    }

    async fn the_profile_keeps_what_is_not_on_the_page(place: &Place) {
        let api = Api::with(place, |builder| {
            builder.configure(|settings| {
                settings.accounts.identifier = tokenhouse::settings::Identifier::Either;
                settings.pages.profile_fields = vec!["name".to_owned(), "phone".to_owned()];
            })
        })
        .await;
        let mut browser = Browser::new(&api);
        browser.sign_up(ADA).await;
        Browser::new(&api).post("/account/sign-up", "/account/sign-up", &[("username", "taken"), ("password", PASSWORD)]).await.leads_to();
        let ada = api.house().user_by_name(ADA).await.unwrap().unwrap();
        let own = serde_json::json!({ "plan": "gold", "phone": "1" });
        let change = tokenhouse::UserChange { profile: own.as_object().cloned(), ..Default::default() };
        api.house().update_user(ada.id, change).await.unwrap();

        let page = "/account/profile";
        let taken = browser.post(page, page, &[("username", "taken"), ("profile.name", "<Ada>")]).await.is(422).html();
        assert!(taken.contains("Somebody else has this username.") && taken.contains("value=\"&lt;Ada&gt;\""), "{taken}");
        let long = "x".repeat(201);
        browser.post(page, page, &[("profile.name", &long)]).await.is(422);
        browser.post(page, page, &[("username", "a b")]).await.is(422);
        let fields = [("username", "ada"), ("profile.name", " Ada "), ("profile.plan", "platinum")];
        assert_eq!(browser.post(page, page, &fields).await.leads_to(), "/account?done=profile_changed");
        let ada = api.house().user(ada.id).await.unwrap().unwrap();
        assert_eq!(ada.username.as_deref(), Some("ada"));
        assert_eq!(Value::from(ada.profile), serde_json::json!({ "plan": "gold", "name": "Ada" }));
    }

    async fn all_that_is_kept_can_be_downloaded_and_no_secret_with_it(place: &Place) {
        let api = Api::on(place).await;
        let mut browser = Browser::new(&api);
        browser.sign_up(ADA).await;
        Browser::new(&api).sign_up("eve@example.org").await;
        let over = api.login(ADA).await;
        api.logout(&over.access).await.is(204);
        let data = browser.get("/account/data.json").await.is(200);
        assert_eq!(data.header("content-disposition"), "attachment; filename=\"account-data.json\"");
        assert_eq!((data.header("cache-control"), data.header("content-type")), ("no-store", "application/json"));
        let text = data.html();
        let all = data.json();
        assert_eq!(all["user"]["email"], ADA);
        assert_eq!(all["sessions"].as_array().unwrap().len(), 2, "the one that is over too: {text}");
        assert!(all["events"].as_array().unwrap().len() >= 4, "{text}");
        assert!(all["password"]["changed_at"].is_string(), "{text}");
        assert!(!text.contains("argon2") && !text.contains("eve@") && !text.contains("hash") && !text.contains(&browser.cookies["tokenhouse"]));
        Browser::new(&api).get("/account/data.json").await.leads_to();
    }

    async fn recent_events_are_told_page_by_page(place: &Place) {
        let api = Api::on(place).await;
        let mut browser = Browser::new(&api);
        browser.sign_up(ADA).await;
        for _ in 0..30 {
            api.test.advance(Duration::from_secs(60));
            api.login(ADA).await;
        }
        let first = browser.get("/account/activity").await.is(200).html();
        assert_eq!(first.matches(">Signed in<").count(), 25, "{first}");
        let (_, rest) = first.split_once("/account/activity?before=").unwrap();
        let before = rest.split_once('"').unwrap().0;
        let second = browser.get(&format!("/account/activity?before={before}")).await.is(200).html();
        assert_eq!(second.matches(">Signed in<").count(), 6, "{second}");
        assert!(second.contains("You opened the account") && !second.contains("href=\"/account/activity?before="));
        browser.get("/account/activity?before=nonsense").await.is(200);
    }

    async fn signing_in_leads_back_and_nowhere_else(place: &Place) {
        let api = Api::with(place, |builder| {
            builder.configure(|settings| settings.pages.return_origins = vec!["https://app.example.com".to_owned()])
        })
        .await;
        Browser::new(&api).sign_up(ADA).await;
        let asked = Browser::new(&api).get("/account/password").await;
        assert_eq!(asked.leads_to(), "/account/sign-in?return_to=%2Faccount%2Fpassword");
        for (return_to, expected) in [
            ("/account/password", "/account/password"),
            ("/anything?x=1", "/anything?x=1"),
            ("https://app.example.com/home", "https://app.example.com/home"),
            ("//evil.example", "/account"),
            ("/\\evil.example", "/account"),
            ("/..//evil.example", "/account"),
            ("https://evil.example", "/account"),
            ("https://app.example.com@evil.example", "/account"),
            ("javascript:alert(1)", "/account"),
            ("/x\r\nset-cookie: a=b", "/account"),
        ] {
            let mut browser = Browser::new(&api);
            let query: String = url::form_urlencoded::byte_serialize(return_to.as_bytes()).collect();
            let page = format!("/account/sign-in?return_to={query}");
            let token = browser.token(&page).await;
            let fields = [("identifier", ADA), ("password", PASSWORD), ("return_to", return_to)];
            assert_eq!(browser.post_with("/account/sign-in", &token, &fields).await.leads_to(), expected);
            assert_eq!(browser.get(&page).await.leads_to(), expected, "who is in already");
        }
        let mut browser = Browser::new(&api);
        let policy = browser.get("/account/sign-in").await;
        assert!(policy.header("content-security-policy").contains("form-action 'self' https://app.example.com;"));
    }

    async fn handlers_of_an_application_know_the_browser(place: &Place) {
        let api = Api::on(place).await;
        let app = |user: CurrentUser| async move { format!("{} {}", user.email.clone().unwrap(), user.token().is_some()) };
        let maybe = |MaybeUser(user): MaybeUser| async move { user.is_some().to_string() };
        let token = |user: CurrentUser| async move { user.csrf_token().unwrap().expose().to_owned() };
        let router = Router::new()
            .route("/app", any(app))
            .route("/maybe", any(maybe))
            .route("/token", any(token))
            .merge(api.house().router())
            .with_state(api.house().clone());
        let mut browser = Browser::of(router.clone(), "");
        assert_eq!(browser.get("/maybe").await.html(), "false");
        browser.get("/app").await.is(401);
        browser.sign_up(ADA).await;
        assert_eq!(browser.get("/app").await.is(200).html(), "ada@example.org false");
        assert_eq!(browser.get("/maybe").await.html(), "true");
        assert_eq!(browser.get("/users/me").await.json()["email"], ADA);

        // What changes something is taken from a page of this origin only.
        let csrf = browser.get("/token").await.html();
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            for (says, status) in [
                (vec![("sec-fetch-site", "same-origin")], 200),
                (vec![("sec-fetch-site", "cross-site")], 403),
                (vec![("sec-fetch-site", "same-site")], 403),
                (vec![("sec-fetch-site", "cross-site"), ("x-csrf-token", &csrf)], 403),
                (vec![("origin", "http://localhost:8080")], 200),
                (vec![("origin", "https://evil.example")], 403),
                (vec![("origin", "null")], 403),
                (vec![], 403),
                (vec![("x-csrf-token", "nonsense")], 403),
                (vec![("x-csrf-token", &csrf)], 200),
            ] {
                browser.says = says.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
                for path in ["/app", "/maybe"] {
                    let answer = browser.send(method.clone(), path, None).await;
                    assert_eq!(answer.status, status, "{method} {path} {says:?}");
                    if status == 403 {
                        assert_eq!(answer.json()["code"], "cross_site_request");
                    }
                }
            }
        }

        // A token says who it is, whatever cookie comes along; a bad one is refused.
        let eve = api.signup("eve@example.org").await;
        let cookie = format!("tokenhouse={}", browser.cookies["tokenhouse"]);
        let send = async |token: &str| {
            let request = Request::post("/app").header(AUTHORIZATION, format!("Bearer {token}")).header(COOKIE, &cookie);
            let request = request.header("sec-fetch-site", "cross-site");
            tower::ServiceExt::oneshot(router.clone(), request.body(Body::empty()).unwrap()).await.unwrap()
        };
        let answer = send(&eve.access).await;
        assert_eq!(answer.status(), 200);
        let body = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
        assert_eq!(&body[..], b"eve@example.org true");
        assert_eq!(send("nonsense").await.status(), 401);
    }

    async fn guessing_by_the_form_is_braked_as_elsewhere(place: &Place) {
        let api = Api::on(place).await;
        api.signup(ADA).await;
        let mut browser = Browser::new(&api);
        for _ in 0..10 {
            browser.sign_in(ADA, "wrong password").await.is(422);
        }
        let locked = browser.sign_in(ADA, PASSWORD).await.is(429);
        assert_eq!(locked.header("retry-after"), "60");
        assert!(locked.html().contains("Try again in 60 seconds."), "{}", locked.html());
    }

    async fn the_pages_work_where_they_are_nested(place: &Place) {
        let api = Api::on(place).await;
        let app = Router::new().nest("/api/v1", api.house().router());
        let mut browser = Browser::of(app, "/api/v1");
        let page = browser.get("/account/sign-in").await.is(200).html();
        let page = page.replace("&#x2f;", "/");
        let addresses: Vec<&str> = page.split('"').filter(|text| text.starts_with('/')).collect();
        let inside = |one: &&str| one.starts_with("/api/v1/account");
        assert!(addresses.len() >= 5 && addresses.iter().all(inside), "{addresses:?}");
        assert_eq!(browser.sign_up(ADA).await.leads_to(), "/api/v1/account");
        let account = browser.get("/account").await.is(200).html();
        let style = account.split('"').find(|text| text.contains("style-")).unwrap().replace("&#x2f;", "/");
        let style = browser.get(style.strip_prefix("/api/v1").unwrap()).await.is(200);
        assert!(style.header("cache-control").contains("immutable"));
        assert_eq!(browser.post("/account/sign-out", "/account/sign-out", &[]).await.leads_to(), "/api/v1/account/sign-in?done=signed_out");
        assert_eq!(browser.get("/account/password").await.leads_to(), "/api/v1/account/sign-in?return_to=%2Fapi%2Fv1%2Faccount%2Fpassword");
        let cookie = browser.get("/account/sign-in").await;
        assert!(cookie.headers.get_all("set-cookie").iter().all(|cookie| cookie.to_str().unwrap().contains("Path=/;")));
    }
}

#[tokio::test]
async fn a_house_behind_tls_has_host_cookies() {
    let test = TestHouse::with(|builder| builder.public_url("https://id.example.org/house")).await;
    let mut browser = Browser::of(test.house.service(), "");
    let page = browser.get("/account/sign-in").await.is(200);
    assert_eq!(page.headers.get_all("set-cookie").iter().count(), 1);
    // A proxy has taken `/house` off, so the browser must have it back.
    assert!(
        page.html()
            .replace("&#x2f;", "/")
            .contains("action=\"/house/account/sign-in\"")
    );
    let token = browser.token("/account/sign-up").await;
    let answer = browser
        .post_with(
            "/account/sign-up",
            &token,
            &[("email", ADA), ("password", PASSWORD)],
        )
        .await;
    assert_eq!(answer.leads_to(), "/house/account");
    let cookie = answer.header("set-cookie");
    assert!(cookie.starts_with("__Host-tokenhouse="), "{cookie}");
    for (name, value) in &browser.cookies {
        assert!(name.len() + value.len() < 4096, "{name}");
    }
    for part in [
        "; Path=/;",
        "; Secure",
        "; HttpOnly",
        "; SameSite=Lax",
        "; Max-Age=31536000",
    ] {
        assert!(cookie.contains(part), "{part} in {cookie}");
    }
    assert!(!cookie.contains("Domain"));
    assert!(browser.is_in().await);
    // One that a subdomain could have planted is not believed.
    let value = browser.cookies.remove("__Host-tokenhouse").unwrap();
    browser.cookies.insert("tokenhouse".to_owned(), value);
    assert_eq!(browser.get("/account").await.status, 303);
}

#[tokio::test]
async fn every_page_keeps_others_out_and_is_kept_by_nobody() {
    let test = TestHouse::new().await;
    let mut browser = Browser::of(test.house.service(), "");
    browser.sign_up(ADA).await;
    let mut stranger = Browser::of(test.house.service(), "");
    for (browser, path) in [
        (&mut stranger, "/account/sign-in"),
        (&mut browser, "/account"),
        (&mut Browser::of(test.house.service(), ""), "/nowhere"),
    ] {
        let page = browser.get(path).await;
        for (name, value) in [
            (
                "content-security-policy",
                "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
            ),
            ("cache-control", "no-store"),
            ("referrer-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("x-frame-options", "DENY"),
            ("x-content-type-options", "nosniff"),
            ("content-type", "text/html; charset=utf-8"),
        ] {
            assert_eq!(page.header(name), value, "{path} {name}");
        }
        let html = page.html();
        assert!(
            !html.contains(" style=")
                && !html.contains("<style")
                && !html.contains("onclick")
                && !html.contains("http"),
            "{html}"
        );
    }
}

/// Every field of a password hides what is typed, says which password is meant, and takes what is pasted.
#[tokio::test]
async fn password_fields_hide_and_nothing_stands_between_them_and_a_password_manager() {
    let test = TestHouse::new().await;
    let mut browser = Browser::of(test.house.service(), "");
    let mut pages = Vec::new();
    for path in ["/account/sign-in", "/account/sign-up"] {
        pages.push((path, browser.get(path).await.is(200).html()));
    }
    browser.sign_up(ADA).await;
    for path in [
        "/account/password",
        "/account/delete",
        "/account/email",
        "/account/prove",
    ] {
        pages.push((path, browser.get(path).await.is(200).html()));
    }
    let mut fields = 0;
    for (path, html) in &pages {
        let inputs = html
            .split("<input")
            .skip(1)
            .filter_map(|rest| rest.split('>').next());
        let is_password = |input: &&str| {
            let name = input
                .split("name=\"")
                .nth(1)
                .and_then(|rest| rest.split('"').next());
            name.is_some_and(|name| name.contains("password"))
        };
        for input in inputs.filter(is_password) {
            assert!(input.contains("type=\"password\""), "{path}: {input}");
            let which = [
                "autocomplete=\"current-password\"",
                "autocomplete=\"new-password\"",
            ];
            assert!(which.iter().any(|one| input.contains(one)), "{path}: {input}");
            assert!(
                !input.contains("readonly") && !input.contains("maxlength"),
                "{path}: {input}"
            );
            fields += 1;
        }
        assert!(!html.to_lowercase().contains("onpaste"), "{path}");
    }
    assert_eq!(fields, 7, "{pages:?}");
    // Attributes aside, only a script could, and there is one.
    let script = include_str!("../../assets/pages/page.js").to_lowercase();
    assert!(!script.contains("paste") && !script.contains("beforeinput"));
}

#[tokio::test]
async fn a_house_behind_tls_has_browsers_come_by_tls_only() {
    let said = async |change: fn(&mut tokenhouse::Settings)| {
        let test = TestHouse::with(|builder| builder.configure(change)).await;
        let mut browser = Browser::of(test.house.service(), "");
        let mut said = Vec::new();
        for path in [
            "/account/sign-in",
            "/users/me",
            "/nowhere",
            "/.well-known/jwks.json",
        ] {
            let answer = browser.get(path).await;
            let header = answer.headers.get("strict-transport-security");
            said.push(header.map(|value| value.to_str().unwrap().to_owned()));
        }
        assert!(said.iter().all(|one| *one == said[0]), "{said:?}");
        said.remove(0)
    };
    let two_years = "max-age=63072000";
    let https =
        |settings: &mut tokenhouse::Settings| settings.public_url = "https://id.example.com".to_owned();
    assert_eq!(said(https).await.as_deref(), Some(two_years));
    let below = said(|settings| {
        settings.public_url = "https://id.example.com".to_owned();
        settings.http.hsts_subdomains = true;
    });
    assert_eq!(below.await, Some(format!("{two_years}; includeSubDomains")));
    let off = said(|settings| {
        settings.public_url = "https://id.example.com".to_owned();
        settings.http.hsts = tokenhouse::settings::Period::seconds(0);
    });
    assert_eq!(off.await, None);
    // RFC 6797 §7.2: never where there is no TLS.
    assert_eq!(said(|_| {}).await, None);
}

#[tokio::test]
async fn no_answer_is_for_another_site_to_embed_and_an_application_decides_for_its_own() {
    use axum::routing::get;
    let test = TestHouse::with(|builder| {
        builder.configure(|settings| settings.public_url = "https://id.example.com".to_owned())
    })
    .await;
    let mut browser = Browser::of(test.house.service(), "");
    for path in ["/users/me", "/account/sign-in", "/openapi.json", "/nowhere"] {
        let answer = browser.get(path).await;
        assert_eq!(
            answer.header("cross-origin-resource-policy"),
            "same-origin",
            "{path}"
        );
    }
    let own = axum::Router::new()
        .route("/picture", get(async || "a picture"))
        .route(
            "/short",
            get(async || ([("strict-transport-security", "max-age=60")], "")),
        );
    let mut browser = Browser::of(test.house.observed(own), "");
    let picture = browser.get("/picture").await;
    assert!(!picture.headers.contains_key("cross-origin-resource-policy"));
    assert_eq!(picture.header("strict-transport-security"), "max-age=63072000");
    let short = browser.get("/short").await;
    assert_eq!(
        short.headers.get_all("strict-transport-security").iter().count(),
        1
    );
    assert_eq!(short.header("strict-transport-security"), "max-age=60");
}

#[tokio::test]
async fn a_browser_gets_pages_of_errors_and_programs_their_documents() {
    let api_answer = |answer: &crate::support::api::Answer| answer.header("content-type").to_owned();
    let test = TestHouse::new().await;
    let mut browser = Browser::of(test.house.service(), "");
    assert_eq!(browser.get("/").await.leads_to(), "/account");
    for (path, status, words) in [
        ("/nowhere", 404, "Nothing here"),
        ("/users/me", 401, "Please sign in"),
        ("/auth/login", 405, "Nothing here"),
        ("/account/assets/nothing.css", 404, "Nothing here"),
    ] {
        let page = browser.get(path).await.is(status);
        assert!(page.html().contains(words), "{path}: {}", page.html());
        let id = page.header("x-request-id").to_owned();
        assert!(page.html().contains(&id));
        let request = Request::get(path).body(Body::empty()).unwrap();
        let answer = tower::ServiceExt::oneshot(test.house.service(), request)
            .await
            .unwrap();
        assert_eq!(
            answer.headers()["content-type"],
            "application/problem+json",
            "{path}"
        );
    }
    assert_eq!(
        api_answer(&browser.get("/users/me").await),
        "text/html; charset=utf-8"
    );
    assert!(
        browser
            .get("/users/me")
            .await
            .header("www-authenticate")
            .starts_with("Bearer")
    );
}

#[tokio::test]
async fn pages_speak_the_browsers_language() {
    let test = TestHouse::new().await;
    for (accept, lang, words) in [
        ("de-AT,de;q=0.9,en;q=0.5", "de", "Bei Tokenhouse anmelden"),
        ("fr", "fr", "Se connecter à Tokenhouse"),
        ("ja", "en", "Sign in to Tokenhouse"),
    ] {
        let request = Request::get("/account/sign-in")
            .header("accept-language", accept)
            .body(Body::empty())
            .unwrap();
        let answer = tower::ServiceExt::oneshot(test.house.service(), request)
            .await
            .unwrap();
        let body = http_body_util::BodyExt::collect(answer.into_body())
            .await
            .unwrap()
            .to_bytes();
        let html = String::from_utf8(body.to_vec()).unwrap();
        assert!(
            html.contains(&format!("<html lang=\"{lang}\" dir=\"ltr\">")) && html.contains(words),
            "{html}"
        );
    }
}

#[tokio::test]
async fn what_is_switched_off_is_not_on_the_pages() {
    let test = TestHouse::with(|builder| {
        builder.configure(|settings| {
            settings.features.password = false;
            settings.features.magic = false;
            settings.features.passkey = false;
        })
    })
    .await;
    let mut browser = Browser::of(test.house.service(), "");
    let page = browser.get("/account/sign-in").await.is(200).html();
    assert!(
        !page.contains("<form method=\"post\" action=\"&#x2f;") && page.contains("Nobody can sign in here"),
        "{page}"
    );
    for path in ["/account/sign-up", "/account/password"] {
        browser.get(path).await.is(404);
    }
    // To end the account is nobody's feature.
    browser.get("/account/delete").await.leads_to();
    let test =
        TestHouse::with(|builder| builder.configure(|settings| settings.signup.mode = SignupMode::Closed))
            .await;
    let mut browser = Browser::of(test.house.service(), "");
    let page = browser.get("/account/sign-in").await.is(200).html();
    assert!(page.contains("<form") && !page.contains("sign-up"), "{page}");
    browser.get("/account/sign-up").await.is(403);

    let test = TestHouse::with(|builder| builder.configure(|settings| settings.pages.enabled = false)).await;
    let mut browser = Browser::of(test.house.service(), "");
    for path in ["/account", "/account/sign-in", "/"] {
        let answer = browser.get(path).await.is(404);
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
}

#[tokio::test]
async fn an_operator_has_a_brand_and_pages_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("pages")).unwrap();
    std::fs::write(
        folder.path().join("pages/sign_out.html"),
        "{% extends \"pages/frame.html\" %}{% block title %}x{% endblock %}{% block content %}Leaving {{ page.brand }}?{% endblock %}",
    )
    .unwrap();
    let logo = folder.path().join("logo.svg");
    std::fs::write(&logo, "<svg xmlns=\"http://www.w3.org/2000/svg\"/>").unwrap();
    let test = TestHouse::with(|builder| {
        builder.configure(|settings| {
            settings.branding.name = "Ada & Co".to_owned();
            settings.branding.logo = Some(logo.to_str().unwrap().to_owned());
            settings.branding.colour = "#ffdd00".to_owned();
            settings.templates.folder = Some(folder.path().to_str().unwrap().to_owned());
        })
    })
    .await;
    let mut browser = Browser::of(test.house.service(), "");
    let page = browser.get("/account/sign-in").await.is(200).html();
    assert!(page.contains("Sign in to Ada &amp; Co"), "{page}");
    let address = |mark: &str| {
        page.split('"')
            .find(|text| text.contains(mark))
            .unwrap()
            .replace("&#x2f;", "/")
    };
    let style = browser.get(&address("style-")).await.is(200).html();
    assert!(
        style.starts_with(":root{--accent:#ffdd00;--on-accent:#000000;"),
        "{style}"
    );
    assert_eq!(
        browser
            .get(&address("logo-"))
            .await
            .is(200)
            .header("content-type"),
        "image/svg+xml"
    );
    browser.sign_up(ADA).await;
    assert!(
        browser
            .get("/account/sign-out")
            .await
            .html()
            .contains("Leaving Ada &amp; Co?")
    );
}

/// What an operator's templates ask for is looked at when the house starts, not when a person comes.
#[tokio::test]
async fn a_template_that_asks_for_what_is_not_there_keeps_the_house_from_starting() {
    async fn start(name: &str, text: &str) -> Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        let database = format!("sqlite://{}", folder.path().join("house.db").display());
        let house = tokenhouse::Tokenhouse::builder()
            .database(&database)
            .configure(|settings| {
                settings.templates.folder = Some(folder.path().to_str().unwrap().to_owned())
            })
            .weak_hashing()
            .without_jobs()
            .build()
            .await;
        house.map(drop).map_err(|error| error.to_string())
    }
    for (name, text, told) in [
        (
            "pages/sign_out.html",
            "\n{{ page.brnad }}",
            "templates: pages/sign_out.html: ",
        ),
        (
            "pages/sign_out.html",
            "{{ t(\"sign_out.nothing\") }}",
            "no language has the text `sign_out.nothing`",
        ),
        (
            "pages/sign_out.html",
            "{{ t(\"sign_in.heading\") }}",
            "needs the argument `brand`",
        ),
        (
            "pages/sign_out.html",
            "{% include \"pages/nowhere.html\" %}",
            "templates: pages/sign_out.html: ",
        ),
        (
            "pages/part_totp.html",
            "{{ part.data.setup }}",
            "pages/part_totp.html",
        ),
        (
            "pages/delete.html",
            "{% if asks_password %}{{ password }}{% endif %}",
            "pages/delete.html",
        ),
        ("pages/frame.html", "{{ page.titel }}", "pages/frame.html"),
        (
            "mails/letter.txt",
            "{{ sbject }}",
            "templates: mails/letter.txt: ",
        ),
        (
            "mails/letter.html",
            "{% for fact in facts %}{{ fact.name }}{% endfor %}",
            "templates: mails/letter.html: ",
        ),
        (
            "languages/de.toml",
            "[sign_in]\nheading = \"Bei {brnad}\"",
            "templates: languages/de.toml: nothing fills {brnad} in `sign_in.heading`; there is {brand}",
        ),
        (
            "languages/nl.toml",
            "[mail.reset]\nsubject = \"{adres}\"",
            "templates: languages/nl.toml: nothing fills {adres} in `mail.reset.subject`; there is {service}",
        ),
        (
            "languages/fr.toml",
            "[page]\nback = \"{x}\"",
            "nothing fills {x} in `page.back`; it has no places",
        ),
    ] {
        let error = start(name, text).await.unwrap_err();
        assert!(error.contains(told), "{name} {text}: {error}");
    }
    for (name, text) in [
        (
            "languages/nl.toml",
            "[mail.reset]\nadvice = \"{service}\"\n[fault]\npassword_too_long = \"{password_min} {password_max}\"",
        ),
        (
            "languages/en.toml",
            "[profile]\nphone = \"{what} I say\"\n[sign_in]\nheading = \"Welcome\"",
        ),
        ("pages/sign_out.html", "{{ page.brand }}{{ page.csrf }}"),
    ] {
        start(name, text).await.unwrap();
    }
}

#[tokio::test]
async fn settings_that_pages_cannot_have_are_refused() {
    use tokenhouse::Settings;
    let refused = |change: fn(&mut Settings)| {
        let mut settings = Settings::default();
        change(&mut settings);
        settings.check().unwrap_err().to_string()
    };
    assert!(refused(|s| s.branding.colour = "red".to_owned()).starts_with("branding.colour"));
    assert!(refused(|s| s.branding.logo = Some("/nowhere.png".to_owned())).starts_with("branding.logo"));
    assert!(
        refused(|s| s.pages.return_origins = vec!["https://app.example.com/".to_owned()])
            .starts_with("pages.return_origins")
    );
    assert!(
        refused(|s| s.pages.after_sign_in = Some("//evil.example".to_owned()))
            .starts_with("pages.after_sign_in")
    );
}

/// The addresses that show a page, read off the sources: one that is new is tried too.
fn addresses_of_pages() -> Vec<String> {
    fn sources(folder: &std::path::Path, found: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut text = String::new();
    sources(
        &std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut text,
    );
    let mut found: Vec<String> = text
        .split(".route(\"/account")
        .skip(1)
        .filter_map(|rest| rest.split_once("\", get("))
        .filter(|(path, _)| !path.contains('"'))
        .map(|(path, _)| format!("/account{path}"))
        .collect();
    found.sort();
    assert!(found.len() >= 20, "{found:?}");
    found
}

#[tokio::test]
async fn every_page_can_be_shown_in_every_language_to_members_and_strangers() {
    let test = TestHouse::with(|builder| builder.mailer(|_| async { Ok(()) })).await;
    let mut member = Browser::of(test.house.service(), "");
    member.sign_up(ADA).await;
    let mut shown = 0;
    for browser in [&mut Browser::of(test.house.service(), ""), &mut member] {
        for language in ["en", "de", "fr"] {
            browser.language = language.to_owned();
            for path in addresses_of_pages() {
                let path = path
                    .replace("{id}", "01890a5d-ac96-774b-bcce-b302099a8057")
                    .replace("{name}", "x");
                for query in [
                    "",
                    "?token=nonsense",
                    "?return_to=%2Fx&done=signed_out&email=a%40b.co",
                ] {
                    let answer = browser.get(&format!("{path}{query}")).await;
                    assert!(
                        !answer.status.is_server_error(),
                        "{path}{query}: {}",
                        answer.html()
                    );
                    shown += usize::from(answer.status == 200);
                }
            }
        }
    }
    assert!(shown > 100, "only {shown} pages were shown");
}

/// What happened is told in words: every kind of event that the house writes has a text.
#[test]
fn every_kind_of_event_has_words() {
    fn kinds(folder: &std::path::Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                kinds(&path, found);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let named = text
                .split("Event::new(")
                .skip(1)
                .filter_map(|rest| rest.trim_start().strip_prefix('"'));
            found.extend(
                named
                    .filter_map(|rest| rest.split_once('"'))
                    .map(|(kind, _)| kind.to_owned()),
            );
        }
    }
    let mut found = Vec::new();
    kinds(
        &std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut found,
    );
    assert!(found.len() >= 10, "{found:?}");
    let texts: toml::Table = include_str!("../../templates/languages/en.toml").parse().unwrap();
    let words = texts["event"].as_table().unwrap();
    let mute: Vec<_> = found
        .iter()
        .filter(|kind| !words.contains_key(&kind.replace('.', "_")))
        .collect();
    assert!(mute.is_empty(), "no words for {mute:?}");
}
