//! Sign-up by invitation.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokenhouse::settings::SignupMode;
use tokenhouse::testing::PASSWORD;
use tokenhouse::{Code, Invitation, NewUser, Username};

use crate::on_both_engines;
use crate::support::Place;
use crate::support::api::{Answer, Api, Letter, contend, count};

async fn by_invitation(place: &Place) -> Api {
    Api::with(place, |builder| {
        builder.configure(|settings| {
            settings.signup.mode = SignupMode::Invitation;
            settings.signup.require_verified_email = true;
            settings.signup.allowed_domains = vec!["example.net".to_owned()];
        })
    })
    .await
}

async fn invited(api: &Api) -> Letter {
    let invitation = Invitation {
        email: "ada@example.org".to_owned(),
        roles: vec!["editor".to_owned()],
        language: Some("de".to_owned()),
        ..Invitation::default()
    };
    api.house().invite(&invitation).await.unwrap();
    api.mail("invitation", "ada@example.org").await
}

async fn signup(api: &Api, email: &str, token: &str) -> Answer {
    let body = json!({ "email": email, "password": PASSWORD, "invitation": token });
    api.post("/auth/signup", None, body).await
}

on_both_engines! {
    async fn an_invitation_opens_an_account_of_its_address_once(place: &Place) {
        let api = by_invitation(place).await;
        let body = json!({ "email": "ada@example.org", "password": PASSWORD });
        api.post("/auth/signup", None, body).await.problem(403, "signup_closed");
        let letter = invited(&api).await;
        assert_eq!(letter.subject, "Sie sind zu Tokenhouse eingeladen");
        assert!(letter.link.contains("/account/sign-up?token="), "{letter:?}");
        signup(&api, "eve@example.org", &letter.token).await.problem(401, "ticket_invalid");
        signup(&api, "ada@example.org", "nonsense").await.problem(401, "ticket_invalid");
        let user = signup(&api, "Ada@example.org", &letter.token).await.is(201).json()["user"].clone();
        assert_eq!((&user["roles"], &user["email_verified"]), (&json!(["editor"]), &json!(true)));
        signup(&api, "ada@example.org", &letter.token).await.problem(401, "ticket_invalid");
        assert!(api.mails().await.is_empty());
        let again = api.house().invite(&Invitation { email: "ADA@example.org".to_owned(), ..Invitation::default() }).await;
        assert_eq!(again.unwrap_err().code(), tokenhouse::Code::EmailTaken);
    }

    async fn a_name_that_is_taken_does_not_use_an_invitation_up(place: &Place) {
        for reveals in [true, false] {
            let api = Api::with(place, |builder| {
                builder.configure(|settings| {
                    settings.signup.mode = SignupMode::Invitation;
                    settings.signup.reveal_taken = reveals;
                })
            })
            .await;
            let taken = format!("lovelace{reveals}");
            let eve = NewUser { username: Some(Username::parse(&taken, 3..=32).unwrap()), ..NewUser::default() };
            api.house().create_user(&eve, None).await.unwrap();
            let email = format!("{reveals}@example.org");
            api.house().invite(&Invitation { email: email.clone(), ..Invitation::default() }).await.unwrap();
            let letter = api.mail("invitation", &email).await;
            let signup = async |username: &str| {
                let body = json!({ "email": email, "username": username, "password": PASSWORD, "invitation": letter.token });
                api.post("/auth/signup", None, body).await
            };
            let answer = signup(&taken).await;
            if reveals {
                answer.problem(409, "username_taken");
            } else {
                assert_eq!(answer.status, 202, "{answer:?}");
                api.mail("username_taken", &email).await;
            }
            let answer = signup(&format!("other{reveals}")).await;
            assert!(answer.status.is_success(), "{answer:?}");
            assert!(api.house().user_by_name(&email).await.unwrap().is_some());
            signup("third").await.problem(401, "ticket_invalid");
        }
    }

    async fn an_invitation_ends_after_a_week(place: &Place) {
        let api = by_invitation(place).await;
        let letter = invited(&api).await;
        api.test.advance(Duration::from_secs(7 * 86_400));
        signup(&api, "ada@example.org", &letter.token).await.problem(401, "ticket_invalid");
    }

    async fn of_sixteen_with_one_invitation_one_gets_in(place: &Place) {
        let api = Arc::new(by_invitation(place).await);
        let letter = invited(&api).await;
        let answers = contend(16, |_| {
            let (api, letter) = (Arc::clone(&api), letter.clone());
            async move { signup(&api, "ada@example.org", &letter.token).await }
        })
        .await;
        assert_eq!((count(&answers, 201), count(&answers, 401)), (1, 15), "{answers:?}");
    }

    async fn a_closed_house_lets_nobody_in_by_any_token(place: &Place) {
        // The invitation is from before the house was closed.
        let letter = invited(&by_invitation(place).await).await;
        let api = Api::with(place, |builder| {
            builder.configure(|settings| settings.signup.mode = SignupMode::Closed)
        })
        .await;
        signup(&api, "ada@example.org", &letter.token).await.problem(403, "signup_closed");
        let refused = api.house().invite(&Invitation { email: "eve@example.org".to_owned(), ..Invitation::default() }).await;
        assert_eq!(refused.unwrap_err().code(), Code::SignupClosed);
        assert!(api.mails().await.is_empty(), "nobody is sent to a page that refuses them");
    }
}
