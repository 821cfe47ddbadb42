//! Any order of refreshing, replaying, logging out, waiting and restarting, against a model of a few lines.
//!
//! What holds whatever happens: a session has one line of refresh tokens; one that is over never yields a
//! token again, and its access tokens are refused at once here and, after following, elsewhere; and a client that
//! uses the newest token it has, or repeats itself within the grace, is never logged out.

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::{Value, json};
use tokenhouse::settings::Period;
use tokenhouse::testing::PASSWORD;

use crate::support::Place;
use crate::support::api::{Api, Tokens};

const GRACE: u64 = 30;
const IDLE: u64 = 3600;
const ABSOLUTE: u64 = 4 * 3600;

#[derive(Clone, Debug)]
enum Act {
    /// Log in once more.
    Login,
    /// Present the token that is so many behind the newest one of a session.
    Present {
        session: usize,
        behind: usize,
    },
    /// The same at the other house on the database.
    PresentElsewhere {
        session: usize,
        behind: usize,
    },
    Logout {
        session: usize,
    },
    LogoutByRefreshToken {
        session: usize,
        behind: usize,
    },
    LogoutEverywhere {
        session: usize,
    },
    ChangePassword {
        session: usize,
    },
    DisableAndEnable,
    Wait(u64),
    Restart,
    Tend,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let session = 0..4_usize;
    let behind = prop_oneof![6 => Just(0), 3 => Just(1), 1 => 2..4_usize];
    let wait = prop_oneof![
        Just(1),
        Just(GRACE - 1),
        Just(GRACE),
        Just(GRACE + 1),
        Just(600),
        Just(IDLE - 1),
        Just(IDLE),
        Just(ABSOLUTE)
    ];
    let act = prop_oneof![
        2 => Just(Act::Login),
        12 => (session.clone(), behind.clone()).prop_map(|(session, behind)| Act::Present { session, behind }),
        4 => (session.clone(), behind.clone()).prop_map(|(session, behind)| Act::PresentElsewhere { session, behind }),
        1 => session.clone().prop_map(|session| Act::Logout { session }),
        1 => (session.clone(), behind).prop_map(|(session, behind)| Act::LogoutByRefreshToken { session, behind }),
        1 => session.clone().prop_map(|session| Act::LogoutEverywhere { session }),
        1 => session.prop_map(|session| Act::ChangePassword { session }),
        1 => Just(Act::DisableAndEnable),
        4 => wait.prop_map(Act::Wait),
        1 => Just(Act::Restart),
        1 => Just(Act::Tend),
    ];
    proptest::collection::vec(act, 1..40)
}

/// What the model knows of a session: its refresh tokens in order, and its times.
struct Line {
    tokens: Vec<String>,
    access: Vec<(String, u64)>,
    opened: u64,
    rotated: u64,
    ended: bool,
}

impl Line {
    fn expired(&self, now: u64) -> bool {
        now >= self.opened + ABSOLUTE || now >= self.rotated + IDLE
    }

    fn alive(&self, now: u64) -> bool {
        !self.ended && !self.expired(now)
    }

    fn token(&self, behind: usize) -> Option<String> {
        self.tokens
            .len()
            .checked_sub(behind + 1)
            .map(|index| self.tokens[index].clone())
    }
}

struct World<'a> {
    place: &'a Place,
    here: Api,
    there: Api,
    now: u64,
    lines: Vec<Line>,
    password: String,
    changes: usize,
}

async fn house(place: &Place, now: u64) -> Api {
    let api = Api::with(place, |builder| {
        builder.configure(|settings| {
            settings.rate_limit.account_enabled = false;
            settings.sessions.idle_lifetime = Period::seconds(IDLE);
            settings.sessions.absolute_lifetime = Period::seconds(ABSOLUTE);
        })
    })
    .await;
    api.test.advance(Duration::from_secs(now));
    api
}

impl World<'_> {
    async fn login(&mut self) {
        let tokens = Tokens::of(&self.here.guess("ada@example.org", &self.password).await.is(200));
        self.lines.push(Line {
            tokens: vec![tokens.refresh],
            access: vec![(tokens.access, self.now)],
            opened: self.now,
            rotated: self.now,
            ended: false,
        });
    }

    async fn present(&mut self, index: usize, behind: usize, elsewhere: bool) {
        let now = self.now;
        let Some(line) = self.lines.get_mut(index) else {
            return;
        };
        let Some(token) = line.token(behind) else { return };
        let api = if elsewhere { &self.there } else { &self.here };
        let answer = api.refresh(&token).await;
        let context = format!("token {behind} behind of session {index} at {now}");
        if line.ended {
            answer.problem(401, "refresh_invalid");
        } else if line.expired(now) {
            // Once it has been swept, nothing is known of it any more.
            assert_eq!(answer.status, 401, "{context}: {answer:?}");
            assert_ne!(answer.json()["code"], "refresh_reused", "{context}");
        } else if behind == 0 || (behind == 1 && now - line.rotated <= GRACE) {
            let tokens = Tokens::of(&answer.is(200));
            line.access.push((tokens.access, now));
            if behind == 0 {
                assert!(!line.tokens.contains(&tokens.refresh), "{context}");
                line.tokens.push(tokens.refresh);
                line.rotated = now;
            } else {
                assert_eq!(Some(&tokens.refresh), line.tokens.last(), "{context}");
            }
        } else {
            answer.problem(401, "refresh_reused");
            line.ended = true;
        }
    }

    /// The newest access token of a session that lives, made now.
    async fn bearer(&mut self, index: usize) -> Option<String> {
        if !self.lines.get(index)?.alive(self.now) {
            return None;
        }
        self.present(index, 0, false).await;
        self.lines[index].access.last().map(|(token, _)| token.clone())
    }

    async fn act(&mut self, act: Act) {
        match act {
            Act::Login => {
                if self.lines.len() < 6 {
                    self.login().await;
                }
            }
            Act::Present { session, behind } => self.present(session, behind, false).await,
            Act::PresentElsewhere { session, behind } => {
                self.present(session, behind, true).await;
                // What was ended there is known here once it has followed.
                self.here.test.follow().await;
            }
            Act::Logout { session } => {
                if let Some(bearer) = self.bearer(session).await {
                    self.here.logout(&bearer).await.is(204);
                    self.lines[session].ended = true;
                }
            }
            Act::LogoutByRefreshToken { session, behind } => {
                if let Some(token) = self.lines.get(session).and_then(|line| line.token(behind)) {
                    self.here
                        .post("/auth/logout", None, json!({ "refresh_token": token }))
                        .await
                        .is(204);
                    self.lines[session].ended = true;
                }
            }
            Act::LogoutEverywhere { session } => {
                if let Some(bearer) = self.bearer(session).await {
                    self.here
                        .post("/auth/logout/all", Some(&bearer), Value::Null)
                        .await
                        .is(204);
                    self.lines.iter_mut().for_each(|line| line.ended = true);
                }
            }
            Act::ChangePassword { session } => {
                if let Some(bearer) = self.bearer(session).await {
                    self.changes += 1;
                    let new = format!("{PASSWORD} {}", self.changes);
                    self.here
                        .change_password(&bearer, &self.password, &new)
                        .await
                        .is(204);
                    self.password = new;
                    for (index, line) in self.lines.iter_mut().enumerate() {
                        line.ended |= index != session;
                    }
                }
            }
            Act::DisableAndEnable => {
                let house = self.here.house();
                let ada = house.user_by_name("ada@example.org").await.unwrap().unwrap();
                house.set_user_active(ada.id, false).await.unwrap();
                self.here
                    .guess("ada@example.org", &self.password)
                    .await
                    .problem(403, "account_disabled");
                house.set_user_active(ada.id, true).await.unwrap();
                self.lines.iter_mut().for_each(|line| line.ended = true);
            }
            Act::Wait(seconds) => {
                self.now += seconds;
                self.here.test.advance(Duration::from_secs(seconds));
                self.there.test.advance(Duration::from_secs(seconds));
            }
            Act::Restart => {
                self.here.house().close().await;
                self.here = house(self.place, self.now).await;
            }
            Act::Tend => self.here.house().tend().await.unwrap(),
        }
    }

    /// Every access token there ever was is taken where its session lives, and refused where it does not.
    async fn check(&self) {
        self.there.test.follow().await;
        for (index, line) in self.lines.iter().enumerate() {
            for (token, minted) in line.access.iter().rev().take(3) {
                let end = (minted + 900).min(line.opened + ABSOLUTE);
                for api in [&self.here, &self.there] {
                    let status = api.me(token).await.status;
                    if line.ended {
                        assert_eq!(
                            status, 401,
                            "session {index} is over, and its token of {minted} lives at {}",
                            self.now
                        );
                    } else if self.now < end && line.rotated >= *minted && self.now < line.rotated + IDLE {
                        assert_eq!(
                            status, 200,
                            "session {index} lives, and its token of {minted} does not at {}",
                            self.now
                        );
                    } else if self.now >= end + 5 {
                        assert_eq!(status, 401, "a token of {minted} lives at {}", self.now);
                    }
                }
            }
        }
        // Somebody who is left asks which sessions there are: those of the model.
        let Some(line) = self.lines.iter().find(|line| {
            line.alive(self.now)
                && line
                    .access
                    .last()
                    .is_some_and(|(_, minted)| self.now < minted + 900)
        }) else {
            return;
        };
        let listed = self.here.sessions(&line.access.last().unwrap().0).await.len();
        assert_eq!(
            listed,
            self.lines.iter().filter(|line| line.alive(self.now)).count()
        );
    }
}

fn run(place: fn() -> Option<Place>, cases: u32) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::default()
    });
    runner
        .run(&acts(), |acts| {
            let Some(place) = place() else {
                return Ok::<_, TestCaseError>(());
            };
            runtime.block_on(async {
                let here = house(&place, 0).await;
                here.signup("ada@example.org").await;
                let ada = here
                    .house()
                    .user_by_name("ada@example.org")
                    .await
                    .unwrap()
                    .unwrap();
                here.house()
                    .end_all_sessions(ada.id, None, &tokenhouse::Origin::default())
                    .await
                    .unwrap();
                let there = house(&place, 0).await;
                let mut world = World {
                    place: &place,
                    here,
                    there,
                    now: 0,
                    lines: Vec::new(),
                    password: PASSWORD.to_owned(),
                    changes: 0,
                };
                world.login().await;
                for act in acts {
                    world.act(act).await;
                    world.check().await;
                }
            });
            Ok(())
        })
        .unwrap();
}

#[test]
fn sqlite() {
    run(|| Some(Place::sqlite()), 60);
}

#[test]
fn postgres() {
    run(Place::postgres, 12);
}
