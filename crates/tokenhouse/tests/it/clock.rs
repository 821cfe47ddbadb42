//! Clocks that jump, by an hour or by ten years, ahead and back: nothing panics, and nothing lives longer than it was
//! granted.

use std::time::Duration;

use tokenhouse::Entropy;
use tokenhouse::Timestamp;
use tokenhouse::testing::PASSWORD;

use crate::on_both_engines;
use crate::support::api::{Api, Tokens, claims};

const HOUR: Duration = Duration::from_secs(3600);
const YEARS: Duration = Duration::from_secs(10 * 365 * 86_400);
/// What a session is granted.
const ABSOLUTE: i64 = 365 * 86_400;
/// What is forgiven when a token is checked.
const LEEWAY: i64 = 5;

/// Something that was granted, and the second at which it must be over.
struct Granted {
    tokens: Tokens,
    access_until: i64,
    session_until: i64,
    ended: bool,
}

fn chance(limit: usize) -> usize {
    let bytes = Entropy::system().bytes::<8>().unwrap();
    usize::try_from(u64::from_be_bytes(bytes) % limit as u64).unwrap()
}

fn now(api: &Api) -> Timestamp {
    api.house().clock().now()
}

on_both_engines! {
    async fn nothing_lives_longer_than_granted_however_the_clock_jumps(place: &Place) {
        let api = Api::unbraked(place).await;
        api.signup("ada@example.org").await;
        let mut granted: Vec<Granted> = Vec::new();
        // Ten years ahead at most, so that it is no other clock than one that was wrong for a while.
        let mut ahead = false;
        for step in 0..400 {
            match chance(12) {
                0 => api.test.advance(HOUR),
                1 => api.test.set_back(HOUR),
                2 => {
                    if ahead { api.test.set_back(YEARS) } else { api.test.advance(YEARS) }
                    ahead = !ahead;
                }
                3 => api.test.advance(Duration::from_secs(600)),
                4 => api.house().tend().await.unwrap(),
                5 => api.test.follow().await,
                6 => {
                    for path in ["/health/ready", "/.well-known/jwks.json", "/.well-known/revocations.json", "/metrics"] {
                        api.get(path, None).await.is(200);
                    }
                    api.guess("ada@example.org", "not her password").await.problem(401, "invalid_credentials");
                }
                7 | 8 => {
                    // Whatever the time is, whoever has the password gets in, and what they get works.
                    let tokens = Tokens::of(&api.guess("ada@example.org", PASSWORD).await.is(200));
                    api.me(&tokens.access).await.is(200);
                    let until = claims(&tokens.access)["exp"].as_i64().unwrap();
                    let second = now(&api).as_second();
                    assert!(until <= second + 900, "step {step}: {until}");
                    granted.push(Granted { tokens, access_until: until, session_until: second + ABSOLUTE, ended: false });
                }
                _ if granted.is_empty() => {}
                9 => {
                    let index = chance(granted.len());
                    let one = &mut granted[index];
                    let answer = api.post("/auth/logout", None, serde_json::json!({ "refresh_token": one.tokens.refresh })).await;
                    assert_eq!(answer.status, 204, "step {step}: {answer:?}");
                    one.ended = true;
                }
                _ => {
                    let index = chance(granted.len());
                    let one = &mut granted[index];
                    let second = now(&api).as_second();
                    let answer = api.me(&one.tokens.access).await;
                    assert!(answer.status.as_u16() < 500, "step {step}: {answer:?}");
                    assert!(answer.status == 401 || second < one.access_until + LEEWAY, "step {step}: {answer:?}");
                    let answer = api.refresh(&one.tokens.refresh).await;
                    match answer.status.as_u16() {
                        200 => {
                            assert!(!one.ended, "step {step}: an ended session lives");
                            assert!(second < one.session_until, "step {step}: {answer:?}");
                            one.tokens = Tokens::of(&answer);
                            one.access_until = claims(&one.tokens.access)["exp"].as_i64().unwrap();
                        }
                        401 => {}
                        // Its session is of a time that is yet to come.
                        _ => { answer.problem(503, "unavailable"); }
                    }
                }
            }
        }
    }

    async fn a_session_of_years_to_come_waits_for_them(place: &Place) {
        let api = Api::on(place).await;
        api.test.advance(YEARS);
        let ada = api.signup("ada@example.org").await;
        api.test.set_back(YEARS);
        // Here the clock had been wrong: what it granted must not live for eleven years.
        api.me(&ada.access).await.problem(401, "token_invalid");
        let answer = api.refresh(&ada.refresh).await;
        answer.problem(503, "unavailable");
        assert!(answer.headers.contains_key("retry-after"));
        api.me(&api.login("ada@example.org").await.access).await.is(200);
        // Here it was right, and is wrong no more: nobody was logged out for it.
        api.test.advance(YEARS);
        let answer = api.refresh(&ada.refresh).await.is(200);
        // An hour is no reason to send anybody away.
        api.test.set_back(HOUR);
        api.refresh(&Tokens::of(&answer).refresh).await.is(200);
    }

    async fn a_clock_set_back_does_not_lengthen_the_grace(place: &Place) {
        let api = Api::on(place).await;
        let first = api.signup("ada@example.org").await;
        let second = Tokens::of(&api.refresh(&first.refresh).await.is(200));
        api.test.set_back(Duration::from_secs(30));
        assert_eq!(Tokens::of(&api.refresh(&first.refresh).await.is(200)).refresh, second.refresh);
        api.test.set_back(HOUR);
        api.refresh(&first.refresh).await.problem(401, "refresh_reused");
        api.refresh(&second.refresh).await.problem(401, "refresh_invalid");
    }
}
