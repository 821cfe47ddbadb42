//! Many live sessions that are refreshed in turn, by clients that come again when they are told to or not answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokenhouse::{Origin, Secret, SignedUp, Signup, Tokenhouse};
use tokio::task::JoinSet;

use super::actors::{Held, generation, password};
use super::client::{Answer, Client};
use super::server::MASTER_KEY;
use crate::PATIENCE;

/// What came of a load so far.
pub(super) struct Load {
    stop: AtomicBool,
    /// How often each client was answered well.
    done: Vec<AtomicU64>,
    /// How often the house said that it was away.
    away: AtomicU64,
    lost: AtomicU64,
    /// In microseconds.
    slowest: AtomicU64,
}

impl Load {
    pub(super) fn new(clients: usize) -> Arc<Self> {
        Arc::new(Self {
            stop: AtomicBool::new(false),
            done: (0..clients).map(|_| AtomicU64::new(0)).collect(),
            away: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            slowest: AtomicU64::new(0),
        })
    }

    pub(super) fn done(&self) -> u64 {
        self.done.iter().map(|done| done.load(Ordering::Relaxed)).sum()
    }

    pub(super) fn away(&self) -> u64 {
        self.away.load(Ordering::Relaxed)
    }

    /// Forgets the slowest answer, and gives it.
    pub(super) fn slowest(&self) -> Duration {
        Duration::from_micros(self.slowest.swap(0, Ordering::Relaxed))
    }

    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Waits until this holds.
    pub(super) async fn until(&self, what: impl Fn(&Self) -> bool) -> Duration {
        let began = Instant::now();
        while !what(self) {
            assert!(
                began.elapsed() < PATIENCE,
                "{} done, {} away",
                self.done(),
                self.away()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        began.elapsed()
    }

    /// Waits until every client was answered well once more.
    pub(super) async fn all_served(&self) -> Duration {
        let counts = || self.done.iter().map(|done| done.load(Ordering::Relaxed));
        let before: Vec<u64> = counts().collect();
        self.until(|_| counts().zip(&before).all(|(now, before)| now > *before))
            .await
    }

    /// Asks until there is an answer other than that the house is away; the answer must be one of `expected`.
    pub(super) async fn ask(
        &self,
        number: usize,
        client: &mut Client,
        path: &str,
        token: Option<&str>,
        body: Option<Value>,
        expected: &[u16],
    ) -> Answer {
        loop {
            let began = Instant::now();
            let answer = match &body {
                Some(body) => client.post(path, token, body.clone()).await,
                None => client.get(path, token).await,
            };
            let took = u64::try_from(began.elapsed().as_micros()).unwrap();
            self.slowest.fetch_max(took, Ordering::Relaxed);
            match answer {
                Ok(answer) if answer.is_away() => self.away.fetch_add(1, Ordering::Relaxed),
                Ok(answer) => {
                    assert!(expected.contains(&answer.status), "{path}: {answer:?}");
                    self.done[number].fetch_add(1, Ordering::Relaxed);
                    return answer;
                }
                Err(_) => self.lost.fetch_add(1, Ordering::Relaxed),
            };
            // Sooner than `Retry-After` says, as this is a test of the house.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Opens so many sessions, each of a user of its own, through a house in this process that hashes quickly.
pub(super) async fn sessions(url: &str, count: usize) -> Vec<Held> {
    let url = url.to_owned();
    let house = Tokenhouse::builder()
        .configure(|settings| {
            settings.database_url = Secret::from(url);
            settings.master_key = Some(Secret::from(MASTER_KEY));
        })
        .weak_hashing()
        .without_jobs()
        .build()
        .await
        .unwrap();
    let mut sessions = Vec::with_capacity(count);
    for number in 0..count {
        let email = format!("live{number}@example.org");
        let signup = Signup {
            password: Secret::from(password(&email, 0)),
            email: Some(email),
            ..Signup::default()
        };
        match house.sign_up(signup, &Origin::default()).await {
            Ok(SignedUp::In(step)) => {
                let tokens = step.done().unwrap().tokens;
                sessions.push(Held::new(
                    tokens.access_token.expose(),
                    tokens.refresh_token.expose(),
                ));
            }
            other => panic!("{other:?}"),
        }
    }
    house.close().await;
    sessions
}

/// Refreshes these sessions in turn, and shows each new access token, until told to stop; gives them back.
async fn refresh_in_turn(mut sessions: Vec<Held>, number: usize, port: u16, load: Arc<Load>) -> Vec<Held> {
    let mut client = Client::new(port);
    while !load.is_stopped() {
        for session in &mut sessions {
            let body = json!({ "refresh_token": session.refresh });
            // Whoever comes again within the grace gets through, whatever had become of the lost answer.
            let answer = load
                .ask(number, &mut client, "/auth/refresh", None, Some(body), &[200])
                .await;
            let next = Held::of(&answer);
            assert_eq!(
                generation(&next.refresh),
                generation(&session.refresh) + 1,
                "a session has two lives"
            );
            *session = next;
            load.ask(
                number,
                &mut client,
                "/users/me",
                Some(&session.access),
                None,
                &[200],
            )
            .await;
            if load.is_stopped() {
                break;
            }
        }
    }
    sessions
}

/// Signs up and logs in; whoever was told 201 finds the account again.
async fn come(number: usize, port: u16, load: Arc<Load>) {
    let mut client = Client::new(port);
    let mut count = 0;
    while !load.is_stopped() {
        count += 1;
        let email = format!("guest{number}.{count}@example.org");
        let body = json!({ "email": email, "password": password(&email, 0) });
        // A sign-up whose answer was lost, and which is done again, finds the name taken.
        load.ask(
            number,
            &mut client,
            "/auth/signup",
            None,
            Some(body.clone()),
            &[201, 409],
        )
        .await;
        load.ask(number, &mut client, "/auth/login", None, Some(body), &[200])
            .await;
    }
}

/// Lets all of them loose: of the clients the last four come anew, the others share the sessions.
pub(super) fn let_loose(sessions: Vec<Held>, port: u16, load: &Arc<Load>) -> JoinSet<Vec<Held>> {
    let refreshing = load.done.len() - 4;
    let mut clients = JoinSet::new();
    let mut shares: Vec<Vec<Held>> = (0..refreshing).map(|_| Vec::new()).collect();
    for (number, session) in sessions.into_iter().enumerate() {
        shares[number % refreshing].push(session);
    }
    for (number, share) in shares.into_iter().enumerate() {
        clients.spawn(refresh_in_turn(share, number, port, Arc::clone(load)));
    }
    for number in refreshing..refreshing + 4 {
        let load = Arc::clone(load);
        clients.spawn(async move {
            come(number, port, load).await;
            Vec::new()
        });
    }
    clients
}
