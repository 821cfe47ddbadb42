//! A token of one kind opens no door of another (RFC 8725 §3.12, RFC 9068 §4).

use serde_json::{Value, json};
use tokenhouse::Algorithm;
use tokenhouse::kernel::keys::{MasterKey, SigningKey};
use tokenhouse::kernel::session::{Presented, RefreshTokens};
use tokenhouse::testing::{PASSWORD, TestHouse};
use tokenhouse::{Secret, SessionId};

use crate::keys::P256;
use crate::on_both_engines;
use crate::second_factors::{half_way, with_app};
use crate::support::api::{Api, Tokens, claims, faults, segment};
use crate::support::doors::{Door, Slot};
use crate::tokens::{encode, signed, with, without};

const NOW: u64 = 1_767_225_600;

/// A token, and what it is refused with in the header and in the body; nothing where it fits.
struct Kind {
    name: &'static str,
    token: String,
    header: Option<&'static str>,
    body: Option<&'static str>,
}

fn kind(
    name: &'static str,
    token: String,
    header: impl Into<Option<&'static str>>,
    body: impl Into<Option<&'static str>>,
) -> Kind {
    Kind {
        name,
        token,
        header: header.into(),
        body: body.into(),
    }
}

fn session_of(tokens: &Tokens) -> SessionId {
    claims(&tokens.access)["sid"].as_str().unwrap().parse().unwrap()
}

/// Everything that could be mistaken for a token of Ada's, most of it signed by the house's own key.
async fn kinds(api: &Api, ada: &Tokens) -> Vec<Kind> {
    let key = SigningKey::from_pem(P256, Algorithm::Es256).unwrap();
    let (header, payload) = (segment(&ada.access, 0), segment(&ada.access, 1));
    assert_eq!(header["kid"], key.kid());
    let make = |header: &Value, payload: &Value| signed(&key, &encode(header), &encode(payload));
    let kid_of = |state: &str| {
        let keys = api.house().keys();
        json!(keys.iter().find(|key| key.state == state).unwrap().kid)
    };

    let other = TestHouse::with(|builder| {
        builder.configure(|settings| settings.master_key = Some(Secret::from("cd".repeat(32))))
    })
    .await;
    let stranger = other.signed_up("ada@example.org").await.tokens;
    // Another master key, and for the rest the very token that would be right.
    let foreign = MasterKey::parse(&Secret::from("ab".repeat(32)))
        .unwrap()
        .derive("refresh tokens");
    let foreign = RefreshTokens::under(&foreign).make(Presented {
        session: session_of(ada),
        generation: 0,
    });
    let id_token = {
        let mut said = with(&without(&payload, "scope"), "nonce", json!("n-0S6_WzA2Mj"));
        said["auth_time"] = json!(NOW);
        said["azp"] = payload["aud"].clone();
        said
    };
    let logout_token = json!({
        "iss": payload["iss"], "aud": payload["aud"], "sub": payload["sub"], "sid": payload["sid"], "jti": "x", "iat": NOW, "exp": NOW + 120,
        "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
    });
    let expired = with(
        &with(&payload, "iat", json!(NOW - 3600)),
        "exp",
        json!(NOW - 1800),
    );
    let typed = |typ: &str| with(&header, "typ", json!(typ));

    // Of somebody else, so that Ada's own session lives on.
    let bob = with_app(api, "bob@example.org").await;
    let half = half_way(api, "bob@example.org").await;
    let recovery_code = bob.recovery_codes[0].clone();
    let options = api
        .post("/auth/passkey/begin", None, Value::Null)
        .await
        .is(200)
        .json();
    let challenge = options["publicKey"]["challenge"].as_str().unwrap().to_owned();

    let invalid = "token_invalid";
    let no_refresh = "refresh_invalid";
    vec![
        kind("an access token", ada.access.clone(), None, no_refresh),
        kind("a refresh token", ada.refresh.clone(), invalid, None),
        kind(
            "an expired access token",
            make(&header, &expired),
            "token_expired",
            no_refresh,
        ),
        kind(
            "an access token of another house",
            stranger.access_token.expose().to_owned(),
            invalid,
            no_refresh,
        ),
        kind(
            "a refresh token of another house",
            stranger.refresh_token.expose().to_owned(),
            invalid,
            no_refresh,
        ),
        kind(
            "a refresh token under another master key",
            foreign.expose().to_owned(),
            invalid,
            no_refresh,
        ),
        kind("an ID token", make(&typed("JWT"), &id_token), invalid, no_refresh),
        kind(
            "an ID token without a type",
            make(&without(&header, "typ"), &id_token),
            invalid,
            no_refresh,
        ),
        kind(
            "a logout token",
            make(&typed("logout+jwt"), &logout_token),
            invalid,
            no_refresh,
        ),
        kind(
            "a proof of possession",
            make(&typed("dpop+jwt"), &payload),
            invalid,
            no_refresh,
        ),
        kind(
            "an answer of introspection",
            make(&typed("token-introspection+jwt"), &payload),
            invalid,
            no_refresh,
        ),
        kind(
            "an access token that names the next key",
            make(&with(&header, "kid", kid_of("next")), &payload),
            invalid,
            no_refresh,
        ),
        kind(
            "an access token that names a retired key",
            make(&with(&header, "kid", kid_of("retired")), &payload),
            invalid,
            no_refresh,
        ),
        kind(
            "the id of the session",
            payload["sid"].as_str().unwrap().to_owned(),
            invalid,
            no_refresh,
        ),
        kind(
            "the id of the token",
            payload["jti"].as_str().unwrap().to_owned(),
            invalid,
            no_refresh,
        ),
        kind("the password", PASSWORD.to_owned(), invalid, no_refresh),
        kind("the token of a second step", half, invalid, no_refresh),
        kind("a recovery code", recovery_code, invalid, no_refresh),
        kind("the challenge of a passkey", challenge, invalid, no_refresh),
    ]
}

on_both_engines! {
    async fn each_kind_of_token_opens_its_own_doors_only(place: &Place) {
        let api = Api::on(place).await;
        api.house().import_key(P256).await.unwrap();
        api.house().tend().await.unwrap();
        let ada = api.signup("ada@example.org").await;
        let mut tried = 0;
        for kind in kinds(&api, &ada).await {
            for door in Door::all() {
                let code = match door.slot { Slot::Header => kind.header, Slot::Body => kind.body };
                let Some(code) = code else { continue };
                let what = format!("{} at {}", kind.name, door.name());
                let answer = api.send(door.request(&kind.token, &ada)).await;
                assert_eq!((answer.status.as_u16(), answer.json()["code"].as_str()), (401, Some(code)), "{what}");
                answer.problem(401, code);
                let challenge = answer.header("www-authenticate");
                assert_eq!(challenge.contains("error=\"invalid_token\""), door.slot == Slot::Header, "{what}: {challenge}");
                assert!(!answer.json().to_string().contains(&kind.token), "{what}: the answer repeats it");
                tried += 1;
            }
        }
        assert!(tried > 100, "only {tried}");
        // Nothing of all that did anything.
        assert_eq!(api.sessions(&ada.access).await.len(), 1);
        let me = api.me(&ada.access).await.is(200).json();
        assert_eq!(me["profile"], json!({}));
        let refreshed: Vec<(i64,)> = api.rows(tokenhouse::store::query("SELECT generation FROM sessions WHERE generation > 0")).await;
        assert_eq!(refreshed, []);
        api.refresh(&ada.refresh).await.is(200);
        api.login("ada@example.org").await;
    }

    /// Without this the test above could pass for want of any door that opens.
    async fn a_token_of_the_right_kind_opens_every_door(place: &Place) {
        let api = Api::on(place).await;
        for (number, door) in Door::all().iter().enumerate() {
            let user = api.signup(&format!("user{number}@example.org")).await;
            let token = match door.slot { Slot::Header => &user.access, Slot::Body => &user.refresh };
            let answer = api.send(door.request(token, &user)).await;
            if door.needs_more() {
                let code = answer.json()["code"].as_str().unwrap().to_owned();
                assert!(!code.starts_with("token_"), "{}: {answer:?}", door.name());
            } else {
                assert!(answer.status.is_success(), "{}: {answer:?}", door.name());
            }
        }
    }

    async fn a_token_in_the_slot_of_the_other_kind_is_none(place: &Place) {
        let api = Api::on(place).await;
        let ada = api.signup("ada@example.org").await;
        let missing = [("/refresh_token".to_owned(), "missing".to_owned())];
        for token in [&ada.access, &ada.refresh] {
            let answer = api.post("/auth/refresh", Some(token), json!({})).await;
            assert_eq!(faults(&answer), missing);
            let answer = api.post(&format!("/auth/refresh?refresh_token={token}"), None, json!({})).await;
            assert_eq!(faults(&answer), missing);
            for field in ["access_token", "token", "refreshToken"] {
                let answer = api.post("/auth/refresh", None, json!({ field: token })).await;
                assert_eq!(answer.status, 422, "{field}: {answer:?}");
                let answer = api.post("/auth/logout", None, json!({ field: token })).await;
                assert!(answer.status.is_client_error(), "{field}: {answer:?}");
            }
        }
        api.me(&ada.access).await.is(200);
        api.refresh(&ada.refresh).await.is(200);
    }
}
