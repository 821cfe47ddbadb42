//! A house for tests: the clock stands still until it is moved, ids and salts repeat, hashes take
//! microseconds, and the database is a file that goes away with the house.
//!
//! ```
//! use std::time::Duration;
//! use tokenhouse::testing::TestHouse;
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let test = TestHouse::new().await;
//! let ada = test.signed_up("ada@example.org").await;
//! assert!(test.house.verify(ada.tokens.access_token.expose()).is_ok());
//! test.advance(Duration::from_secs(3600));
//! assert!(test.house.verify(ada.tokens.access_token.expose()).is_err());
//! # });
//! ```

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use tempfile::TempDir;

use crate::base::clock::Clock;
use crate::base::entropy::Entropy;
use crate::base::http::Origin;
use crate::base::mail::Message;
use crate::base::secret::Secret;
use crate::builder::Builder;
use crate::features::password::{SignedUp, Signup};
use crate::kernel::house::Tokenhouse;
use crate::kernel::login::{LoggedIn, Step};

/// The password of everybody whom [`TestHouse::signed_up`] signs up.
pub const PASSWORD: &str = "correct horse battery staple";

/// A house whose time the test owns.
pub struct TestHouse {
    /// The house.
    pub house: Tokenhouse,
    clock: Clock,
    mails: Arc<Mutex<Vec<Message>>>,
    _folder: Option<TempDir>,
}

impl TestHouse {
    /// A house with default settings on an SQLite file of its own.
    ///
    /// # Panics
    /// When it cannot be built, as tests want it; the same for all below.
    pub async fn new() -> Self {
        Self::with(|builder| builder).await
    }

    /// The same, changed by `change`.
    pub async fn with(change: impl FnOnce(Builder) -> Builder) -> Self {
        #[expect(clippy::expect_used, reason = "a test wants to fail here")]
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = format!("sqlite://{}", folder.path().join("test.db").display());
        Self {
            _folder: Some(folder),
            ..Self::at(&url, change).await
        }
    }

    /// A house on this database, which stays.
    #[expect(clippy::expect_used, reason = "a test wants to fail here")]
    pub async fn at(url: &str, change: impl FnOnce(Builder) -> Builder) -> Self {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().expect("an instant");
        let clock = Clock::manual(start);
        let mails = Arc::new(Mutex::new(Vec::new()));
        let caught = Arc::clone(&mails);
        let builder = Tokenhouse::builder()
            .database(url)
            .configure(|settings| {
                settings.rate_limit.enabled = false;
                settings.master_key = Some(Secret::from(
                    "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
                ));
            })
            .clock(clock.clone())
            .weak_hashing()
            .without_jobs();
        let mut builder = change(builder);
        if builder.lets_mail_be_caught() {
            builder = builder.mailer(move |message| {
                caught.lock().push(message);
                std::future::ready(Ok(()))
            });
        }
        let house = builder.build().await.expect("a house");
        Self {
            house,
            clock,
            mails,
            _folder: None,
        }
    }

    /// Seeded entropy besides, so that ids repeat; two houses on one database must not share a seed.
    pub async fn seeded(seed: u64) -> Self {
        Self::with(|builder| builder.entropy(Entropy::seeded(seed))).await
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        self.clock
            .advance(SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX));
    }

    /// Sets the clock back.
    pub fn set_back(&self, by: Duration) {
        self.clock
            .advance(-SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX));
    }

    /// Follows what other houses on the database did, as the jobs do twice a second.
    #[expect(clippy::expect_used, reason = "a test wants to fail here")]
    pub async fn follow(&self) {
        self.house.follow().await.expect("the revocations");
        self.house.reload_keys().await.expect("the keys");
    }

    /// Starts what the house does by itself; the clock of its tokens still stands.
    pub fn start_jobs(&self) {
        self.house.start_jobs();
    }

    /// Whether this house is the one to do this job now, of all on its database.
    #[expect(clippy::expect_used, reason = "a test wants to fail here")]
    pub async fn leads(&self, job: &'static str, lasting: Duration) -> bool {
        self.house.leads(job, lasting).await.expect("a lease")
    }

    /// The mails that the house has sent since the last call, after those that are due; caught, and sent to nobody.
    #[expect(clippy::expect_used, reason = "a test wants to fail here")]
    pub async fn mails(&self) -> Vec<Message> {
        self.house.deliver_mail().await.expect("the mail");
        std::mem::take(&mut *self.mails.lock())
    }

    /// What everything of this house is derived from.
    #[must_use]
    pub fn root_key(&self) -> &crate::kernel::keys::MasterKey {
        self.house.0.keys.master()
    }

    /// What the hashing threads have done.
    #[must_use]
    pub fn hashing(&self) -> crate::base::hashing::PoolStatus {
        self.house.0.hashing.status()
    }

    /// Somebody with an account and a session; the password is [`PASSWORD`].
    #[expect(clippy::panic, reason = "a test wants to fail here")]
    pub async fn signed_up(&self, email: &str) -> LoggedIn {
        let signup = Signup {
            email: Some(email.to_owned()),
            password: Secret::from(PASSWORD),
            ..Signup::default()
        };
        match self.house.sign_up(signup, &Origin::default()).await {
            Ok(SignedUp::In(Step::Done(login))) => *login,
            other => panic!("{email} could not sign up: {other:?}"),
        }
    }
}
