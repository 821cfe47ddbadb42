//! Clients that each keep a ledger of what was acknowledged to them, and afterwards hold the house to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use data_encoding::BASE64URL_NOPAD;
use serde_json::json;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::client::{Answer, Client, acknowledged};
use super::server::secret;

/// Counts acknowledged changes, so that a test can strike after so many.
#[derive(Default)]
pub(super) struct Tally {
    count: AtomicU64,
    more: Notify,
}

impl Tally {
    fn add(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.more.notify_waiters();
    }

    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Waits until there are so many.
    pub(super) async fn reaches(&self, count: u64) {
        loop {
            let more = self.more.notified();
            if self.count() >= count {
                return;
            }
            more.await;
        }
    }
}

/// What the clients count: changes that hash a password, which are slow, and the others.
#[derive(Default)]
pub(super) struct Tallies {
    pub(super) hashed: Tally,
    pub(super) quick: Tally,
}

/// The tokens of a session.
pub(super) struct Held {
    pub(super) access: String,
    pub(super) refresh: String,
}

impl Held {
    pub(super) fn new(access: &str, refresh: &str) -> Self {
        Self {
            access: secret(access.to_owned()),
            refresh: secret(refresh.to_owned()),
        }
    }

    pub(super) fn of(answer: &Answer) -> Self {
        Self::new(&answer.text("access_token"), &answer.text("refresh_token"))
    }
}

/// How often the session of a refresh token had been refreshed.
pub(super) fn generation(refresh: &str) -> u64 {
    let body = BASE64URL_NOPAD
        .decode(refresh.strip_prefix("thr_").unwrap().as_bytes())
        .unwrap();
    u64::from_be_bytes(body[16..24].try_into().unwrap())
}

/// One of the writing clients.
pub(super) enum Actor {
    /// Signs up, again and again, and logs out every other time.
    Newcomer(Newcomer),
    /// Refreshes one session.
    Refresher(Refresher),
    /// Logs in a second time and changes the password, which ends that second session.
    Changer(Changer),
}

impl Actor {
    /// Acts until the house is gone or says that its database is; afterwards at most one change is in doubt.
    async fn act(&mut self, client: &mut Client, tallies: &Tallies) {
        loop {
            let done = match self {
                Self::Newcomer(newcomer) => newcomer.step(client).await.map(|()| &tallies.hashed),
                Self::Refresher(refresher) => refresher.step(client).await.map(|()| &tallies.quick),
                Self::Changer(changer) => changer.step(client).await.map(|()| &tallies.hashed),
            };
            match done {
                Some(tally) => tally.add(),
                None => return,
            }
        }
    }

    /// Asserts that everything acknowledged is there, and settles what is in doubt.
    async fn check(&mut self, client: &mut Client) {
        match self {
            Self::Newcomer(newcomer) => newcomer.check(client).await,
            Self::Refresher(refresher) => refresher.check(client).await,
            Self::Changer(changer) => changer.check(client).await,
        }
    }
}

/// Opens the accounts of so many writing clients: three eighths sign up, as many refresh, the rest change passwords.
pub(super) async fn cast(port: u16, clients: usize) -> Vec<Actor> {
    let mut opening = JoinSet::new();
    for number in 0..clients {
        opening.spawn(async move {
            let mut client = Client::new(port);
            match number % 8 {
                0..3 => Actor::Newcomer(Newcomer {
                    name: format!("new{number}"),
                    ..Newcomer::default()
                }),
                3..6 => Actor::Refresher(Refresher::open(&mut client, number).await),
                _ => Actor::Changer(Changer::open(&mut client, number).await),
            }
        });
    }
    opening.join_all().await
}

/// Lets them act until all have been stopped by what befalls the house.
pub(super) fn act(actors: Vec<Actor>, port: u16, tallies: &Arc<Tallies>) -> JoinSet<Actor> {
    let mut acting = JoinSet::new();
    for mut actor in actors {
        let tallies = Arc::clone(tallies);
        acting.spawn(async move {
            actor.act(&mut Client::new(port), &tallies).await;
            actor
        });
    }
    acting
}

/// Holds the house to what it acknowledged.
pub(super) async fn check(actors: Vec<Actor>, port: u16) -> Vec<Actor> {
    let mut checking = JoinSet::new();
    for mut actor in actors {
        checking.spawn(async move {
            actor.check(&mut Client::new(port)).await;
            actor
        });
    }
    checking.join_all().await
}

/// Once more everything that was acknowledged from the beginning, and that a stolen copy is of no use.
pub(super) async fn check_all(actors: Vec<Actor>, port: u16) {
    let mut checking = JoinSet::new();
    for actor in actors {
        checking.spawn(async move {
            let mut client = Client::new(port);
            match actor {
                Actor::Newcomer(newcomer) => newcomer.check_all(&mut client).await,
                Actor::Refresher(refresher) => refresher.check_reuse(&mut client).await,
                Actor::Changer(_) => {}
            }
        });
    }
    checking.join_all().await;
}

async fn sign_up(client: &mut Client, email: &str, password: &str) -> Answer {
    client
        .post_again("/auth/signup", json!({ "email": email, "password": password }))
        .await
}

async fn log_in(client: &mut Client, email: &str, password: &str) -> Answer {
    client
        .post_again("/auth/login", json!({ "email": email, "password": password }))
        .await
}

async fn refresh(client: &mut Client, token: &str) -> Answer {
    client
        .post_again("/auth/refresh", json!({ "refresh_token": token }))
        .await
}

/// Asserts that this session is over, for good and for each of its tokens.
async fn assert_over(client: &mut Client, session: &Held) {
    let answer = refresh(client, &session.refresh).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (401, "refresh_invalid"),
        "a session lives again"
    );
    let answer = client.get("/users/me", Some(&session.access)).await.unwrap();
    let code = answer.code();
    // In a long run it may have expired meanwhile.
    assert!(
        code == "token_revoked" || code == "token_expired",
        "a token lives again: {answer:?}"
    );
}

#[derive(Clone, Copy, PartialEq)]
enum Left {
    No,
    InDoubt,
    Yes,
}

struct Account {
    email: String,
    password: String,
    session: Held,
    left: Left,
}

#[derive(Default)]
pub(super) struct Newcomer {
    name: String,
    count: usize,
    /// Those of this round.
    opened: Vec<Account>,
    in_doubt: Option<(String, String)>,
    /// Those of earlier rounds, which have been seen to be there.
    known: Vec<Account>,
}

impl Newcomer {
    async fn step(&mut self, client: &mut Client) -> Option<()> {
        self.count += 1;
        let email = format!("{}.{}@example.org", self.name, self.count);
        let password = password(&email, 0);
        self.in_doubt = Some((email.clone(), password.clone()));
        let body = json!({ "email": email, "password": password });
        let answer = acknowledged(client.post("/auth/signup", None, body).await)?;
        assert_eq!(answer.status, 201, "{answer:?}");
        self.in_doubt = None;
        let session = Held::of(&answer);
        self.opened.push(Account {
            email,
            password,
            session,
            left: Left::No,
        });
        let account = self.opened.last_mut()?;
        if self.count.is_multiple_of(2) {
            account.left = Left::InDoubt;
            let answer = client
                .post("/auth/logout", Some(&account.session.access), json!({}))
                .await;
            assert_eq!(acknowledged(answer)?.status, 204);
            account.left = Left::Yes;
        }
        Some(())
    }

    async fn check(&mut self, client: &mut Client) {
        if let Some((email, password)) = self.in_doubt.take() {
            // Wholly there or not at all.
            let answer = log_in(client, &email, &password).await;
            if answer.status != 200 {
                assert_eq!(answer.code(), "invalid_credentials", "{answer:?}");
                assert_eq!(
                    sign_up(client, &email, &password).await.status,
                    201,
                    "half an account"
                );
            }
        }
        for mut account in self.opened.drain(..) {
            let answer = log_in(client, &account.email, &account.password).await;
            assert_eq!(
                answer.status, 200,
                "an acknowledged account is lost: {} {answer:?}",
                account.email
            );
            if account.left == Left::Yes {
                assert_over(client, &account.session).await;
            } else {
                let answer = refresh(client, &account.session.refresh).await;
                match answer.status {
                    200 => {
                        account.left = Left::No;
                        account.session = Held::of(&answer);
                    }
                    _ if account.left == Left::InDoubt => account.left = Left::Yes,
                    _ => panic!("an acknowledged session is lost: {answer:?}"),
                }
            }
            self.known.push(account);
        }
    }

    async fn check_all(self, client: &mut Client) {
        for account in self.known {
            if account.left == Left::Yes {
                assert_over(client, &account.session).await;
            } else {
                assert_eq!(
                    refresh(client, &account.session.refresh).await.status,
                    200,
                    "a session is lost"
                );
            }
        }
    }
}

pub(super) struct Refresher {
    /// The last that was acknowledged.
    current: Held,
    old: Vec<String>,
}

impl Refresher {
    async fn open(client: &mut Client, number: usize) -> Self {
        let email = format!("refresher{number}@example.org");
        let answer = sign_up(client, &email, &password(&email, 0)).await;
        Self {
            current: Held::of(&answer),
            old: Vec::new(),
        }
    }

    async fn step(&mut self, client: &mut Client) -> Option<()> {
        let body = json!({ "refresh_token": self.current.refresh });
        let answer = acknowledged(client.post("/auth/refresh", None, body).await)?;
        assert_eq!(answer.status, 200, "{answer:?}");
        self.turn(Held::of(&answer));
        Some(())
    }

    fn turn(&mut self, next: Held) {
        assert_eq!(generation(&next.refresh), generation(&self.current.refresh) + 1);
        self.old.push(std::mem::replace(&mut self.current, next).refresh);
    }

    /// Two presenters of the last acknowledged token get one and the same successor, whatever had become of the
    /// refresh in doubt.
    async fn check(&mut self, client: &mut Client) {
        let mut other = Client::new(client.port());
        let token = &self.current.refresh;
        let (one, two) = tokio::join!(refresh(client, token), refresh(&mut other, token));
        for answer in [&one, &two] {
            assert_eq!(answer.status, 200, "an acknowledged refresh is lost: {answer:?}");
        }
        assert_eq!(
            one.text("refresh_token"),
            two.text("refresh_token"),
            "a session has two lives"
        );
        self.turn(Held::of(&one));
        let answer = client.get("/users/me", Some(&self.current.access)).await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// An old copy ends the session.
    async fn check_reuse(mut self, client: &mut Client) {
        self.check(client).await;
        let old = &self.old[usize::try_from(super::chance(self.old.len() as u64 - 1)).unwrap()];
        assert_eq!(refresh(client, old).await.code(), "refresh_reused");
        assert_over(client, &self.current).await;
    }
}

pub(super) struct Changer {
    email: String,
    /// Number of the password that was acknowledged last.
    password: u64,
    session: Held,
    change: Option<Change>,
}

/// A change of the password to the next, and the session that it ends.
struct Change {
    ends: Held,
    acknowledged: bool,
}

impl Changer {
    async fn open(client: &mut Client, number: usize) -> Self {
        let email = format!("changer{number}@example.org");
        let answer = sign_up(client, &email, &password(&email, 0)).await;
        Self {
            session: Held::of(&answer),
            email,
            password: 0,
            change: None,
        }
    }

    async fn step(&mut self, client: &mut Client) -> Option<()> {
        let current = password(&self.email, self.password);
        let body = json!({ "email": self.email, "password": current });
        let answer = acknowledged(client.post("/auth/login", None, body).await)?;
        assert_eq!(answer.status, 200, "{answer:?}");
        let ends = Held::of(&answer);
        let body =
            json!({ "current_password": current, "new_password": password(&self.email, self.password + 1) });
        let answer = client
            .post("/users/me/password", Some(&self.session.access), body)
            .await;
        let answer = acknowledged(answer);
        self.change = Some(Change {
            ends,
            acknowledged: answer.is_some(),
        });
        assert_eq!(answer?.status, 204);
        self.password += 1;
        Some(())
    }

    async fn check(&mut self, client: &mut Client) {
        let answer = refresh(client, &self.session.refresh).await;
        assert_eq!(answer.status, 200, "an acknowledged session is lost: {answer:?}");
        self.session = Held::of(&answer);
        let Some(change) = self.change.take() else { return };
        if !change.acknowledged {
            let next = log_in(client, &self.email, &password(&self.email, self.password + 1)).await;
            if next.status != 200 {
                let answer = log_in(client, &self.email, &password(&self.email, self.password)).await;
                assert_eq!(
                    answer.status, 200,
                    "neither the old password nor the new: {answer:?}"
                );
                assert_eq!(
                    refresh(client, &change.ends.refresh).await.status,
                    200,
                    "half a change"
                );
                return;
            }
            self.password += 1;
        } else {
            let answer = log_in(client, &self.email, &password(&self.email, self.password)).await;
            assert_eq!(answer.status, 200, "an acknowledged password is lost: {answer:?}");
        }
        let answer = log_in(client, &self.email, &password(&self.email, self.password - 1)).await;
        assert_eq!(
            answer.code(),
            "invalid_credentials",
            "the old password lives: {answer:?}"
        );
        assert_over(client, &change.ends).await;
    }
}

pub(super) fn password(email: &str, number: u64) -> String {
    secret(format!("{email} and its password no. {number:07}"))
}
