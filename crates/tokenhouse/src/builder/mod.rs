//! Building a house: settings, hooks, database, keys.

mod check;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use axum::response::Response;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde_json::{Map, Value};
use tokenhouse_verify::{Claims, Verifier, VerifierBuilder};

use crate::base::clock::Clock;
use crate::base::entropy::Entropy;
use crate::base::error::Error;
use crate::base::hashing::HashingPool;
use crate::base::http::Problem;
use crate::base::http::limit::AddressLimit;
use crate::base::http::observe::{Observer, ProblemRenderer};
use crate::base::mail::{Message, Undelivered};
use crate::base::secret::Secret;
use crate::base::settings::Settings;
use crate::base::store::{Migration, SchemaState, Store, StoreError, StoreOptions, Tx};
use crate::base::template::{TemplateError, Templates};
use crate::features;
use crate::kernel::account::User;
use crate::kernel::brake::Turns;
use crate::kernel::house::{Hooks, House, Tokenhouse};
use crate::kernel::keys::{self, Keyring, KeyringError, MasterKey, find_master_key, find_root_key};
use crate::kernel::lease::Node;
use crate::kernel::login::LoginAttempt;
use crate::kernel::look::Looks;
use crate::kernel::mail::Deliveries;
use crate::kernel::mail::letter::every_mail;
use crate::kernel::metrics::Metrics;
use crate::kernel::pages::sample::every_page;
use crate::kernel::session::RefreshTokens;
use crate::kernel::session::browser::BrowserKeys;
use crate::kernel::wrong_passwords::WrongPasswords;
use crate::migrations::MIGRATIONS;
use crate::templates::EMBEDDED;

/// Why a house could not be built; each is a sentence for whoever runs it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A setting cannot be.
    #[error("{key}: {problem}")]
    Setting {
        /// Its name, as in the file.
        key: &'static str,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database is older than this program, and was not to be migrated.
    #[error("the database lacks the migrations {0}; run `tokenhouse migrate`")]
    Older(String),
    /// The database was migrated by a newer program.
    #[error(
        "the database was migrated by a newer version (it has {0}); run that version, or restore a backup"
    )]
    Newer(String),
    /// The keys.
    #[error(transparent)]
    Keys(#[from] KeyringError),
    /// The hashing threads.
    #[error("the hashing threads could not be started: {0}")]
    Hashing(String),
    /// The templates of pages and mails.
    #[error("templates: {0}")]
    Templates(#[from] TemplateError),
    /// Anything else.
    #[error(transparent)]
    Other(#[from] Error),
}

/// Builds a [`Tokenhouse`]; everything has a default.
#[derive(Clone, Default)]
pub struct Builder {
    settings: Settings,
    hooks: Hooks,
    problem_renderer: Option<ProblemRenderer>,
    clock: Option<Clock>,
    entropy: Option<Entropy>,
    master_key_file: Option<PathBuf>,
    migrate: Migrate,
    migrations: Vec<(&'static str, &'static [Migration])>,
    weak_hashing: bool,
    without_jobs: bool,
    #[cfg(feature = "testing")]
    without_mail: bool,
    keep_keys: bool,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Migrate {
    #[default]
    Yes,
    Refuse,
}

impl Tokenhouse {
    /// Begins a house.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }
}

impl Builder {
    /// Every setting at once.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Some settings: `.configure(|settings| settings.tokens.access_lifetime = Period::minutes(30))`.
    #[must_use]
    pub fn configure(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// Where accounts are kept: `sqlite:///absolute/path.db`, `sqlite://relative.db` or `postgres://…`.
    #[must_use]
    pub fn database(mut self, url: &str) -> Self {
        self.settings.database_url = Secret::from(url);
        self
    }

    /// The address this house is reached at; the issuer of its tokens.
    #[must_use]
    pub fn public_url(mut self, url: &str) -> Self {
        url.clone_into(&mut self.settings.public_url);
        self
    }

    /// Claims that every access token of a user gets. Reserved names
    /// ([`RESERVED_CLAIMS`](crate::RESERVED_CLAIMS)) are left out.
    ///
    /// ```
    /// # use tokenhouse::Tokenhouse;
    /// let builder = Tokenhouse::builder()
    ///     .claims(|user| [("plan".to_owned(), user.profile.get("plan").cloned().unwrap_or("free".into()))].into_iter().collect());
    /// ```
    #[must_use]
    pub fn claims(mut self, claims: impl Fn(&User) -> Map<String, Value> + Send + Sync + 'static) -> Self {
        self.hooks.claims = Some(Arc::new(claims));
        self
    }

    /// The whole payload of access tokens, in the place of RFC 9068's: the closure is given the claims a token
    /// would have had, and gives those it has. `exp` stays; without `sid` the session's id goes into the signed
    /// header, so that the token can still be revoked. What is left out must not be
    /// [demanded](Self::verifier) either.
    ///
    /// ```
    /// # use tokenhouse::{Claims, Tokenhouse};
    /// let builder = Tokenhouse::builder()
    ///     .payload(|user, claims| Claims { sub: user.username.clone(), iat: claims.iat, ..Claims::default() })
    ///     .verifier(|verifier| verifier.without_issuer().without_audience());
    /// ```
    #[must_use]
    pub fn payload(mut self, payload: impl Fn(&User, Claims) -> Claims + Send + Sync + 'static) -> Self {
        self.hooks.payload = Some(Arc::new(payload));
        self
    }

    /// What is demanded of access tokens beside signature, type, time and session. The closure must say whose
    /// issuer and audience, or that there is none; without this method they are those of the settings.
    #[must_use]
    pub fn verifier(
        mut self,
        demands: impl Fn(VerifierBuilder) -> VerifierBuilder + Send + Sync + 'static,
    ) -> Self {
        self.hooks.verifier = Some(Arc::new(demands));
        self
    }

    /// The application's rule for usernames, in the place of ours; it says what is wrong with a name.
    #[must_use]
    pub fn username_rule(
        mut self,
        rule: impl Fn(&str) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.hooks.username_rule = Some(Arc::new(rule));
        self
    }

    /// A further rule for new passwords; it says what is wrong with one.
    #[must_use]
    pub fn password_rule(
        mut self,
        rule: impl Fn(&str) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.hooks.password_rule = Some(Arc::new(rule));
        self
    }

    /// What the application does when somebody has signed up: in the same transaction, so that its own rows are there
    /// together with the account, or neither is. An error refuses the sign-up. Only the database belongs in there.
    ///
    /// ```
    /// # use tokenhouse::{Tokenhouse, store::query};
    /// let builder = Tokenhouse::builder().after_sign_up(|tx, user| {
    ///     Box::pin(async move {
    ///         query("INSERT INTO customers (user_id, plan) VALUES ($1, 'free')").bind(user.id).execute(tx).await?;
    ///         Ok(())
    ///     })
    /// });
    /// ```
    #[must_use]
    pub fn after_sign_up(
        mut self,
        hook: impl for<'a> Fn(&'a mut Tx, &'a User) -> BoxFuture<'a, Result<(), Error>> + Send + Sync + 'static,
    ) -> Self {
        self.hooks.after_sign_up = Some(Arc::new(hook));
        self
    }

    /// What the application says to a login that lacks nothing any more, whichever way it came: claims for the tokens of
    /// this session, or an error, and no session is opened. Only the database belongs in there.
    ///
    /// ```
    /// # use tokenhouse::{Code, Error, Tokenhouse};
    /// let builder = Tokenhouse::builder().before_login(|_tx, attempt| {
    ///     Box::pin(async move {
    ///         if attempt.user.profile.contains_key("unpaid") {
    ///             return Err(Error::new(Code::Forbidden, "pay the last bill first"));
    ///         }
    ///         Ok([("by".to_owned(), attempt.method.clone().into())].into_iter().collect())
    ///     })
    /// });
    /// ```
    #[must_use]
    pub fn before_login(
        mut self,
        hook: impl for<'a> Fn(&'a mut Tx, &'a LoginAttempt) -> BoxFuture<'a, Result<Map<String, Value>, Error>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.hooks.before_login = Some(Arc::new(hook));
        self
    }

    /// The application's own way of sending mail, in the place of SMTP. What it gives back decides what becomes of a
    /// mail: it was sent, it is tried again later, or never. It must be quick to give up (`mail.timeout`).
    ///
    /// ```
    /// # use tokenhouse::{Tokenhouse, mail::{Message, Undelivered}};
    /// # async fn post(_: &str) -> Result<(), String> { Ok(()) }
    /// let builder = Tokenhouse::builder().mailer(|message: Message| async move {
    ///     let body = format!("{}: {}\n\n{}", message.to, message.subject, message.text);
    ///     post(&body).await.map_err(Undelivered::for_now)
    /// });
    /// ```
    #[must_use]
    pub fn mailer<F>(mut self, mailer: impl Fn(Message) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), Undelivered>> + Send + 'static,
    {
        self.hooks.mailer = Some(Arc::new(move |message| Box::pin(mailer(message))));
        self
    }

    /// How errors look, in the place of problem documents. The headers that the protocols ask for stay.
    #[must_use]
    pub fn problems(mut self, renderer: impl Fn(&Problem) -> Response + Send + Sync + 'static) -> Self {
        self.problem_renderer = Some(Arc::new(renderer));
        self
    }

    /// Where the master key lies when the settings hold none; the default is beside the SQLite database.
    #[must_use]
    pub fn master_key_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.master_key_file = Some(path.into());
        self
    }

    /// The steps to the tables that the application keeps beside the house's, in the same database. `owner` is the
    /// application's name, which tells its steps from the house's; the house's own are taken first, so that the
    /// application's tables can refer to `users (id)`.
    #[must_use]
    pub fn migrations(mut self, owner: &'static str, migrations: &'static [Migration]) -> Self {
        self.migrations.push((owner, migrations));
        self
    }

    /// Refuse to start on an older database, in the place of migrating it.
    #[must_use]
    pub fn without_migrating(mut self) -> Self {
        self.migrate = Migrate::Refuse;
        self
    }

    /// Start no jobs: for a command that is over in a moment.
    #[must_use]
    pub fn without_jobs(mut self) -> Self {
        self.without_jobs = true;
        self
    }

    /// Leave the key that signs as it is, also when the settings ask for another algorithm: for a command beside a
    /// running house, whose own settings decide.
    #[must_use]
    pub fn keeping_keys(mut self) -> Self {
        self.keep_keys = true;
        self
    }

    /// A clock for tests.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Seeded entropy for tests.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn entropy(mut self, entropy: Entropy) -> Self {
        self.entropy = Some(entropy);
        self
    }

    /// Hashes that take microseconds, for tests.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn weak_hashing(mut self) -> Self {
        self.weak_hashing = true;
        self
    }

    /// A test's house that has no way for mail to leave; without this its mail is caught.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn without_mail(mut self) -> Self {
        self.without_mail = true;
        self
    }

    #[cfg(feature = "testing")]
    pub(crate) fn lets_mail_be_caught(&self) -> bool {
        !self.without_mail && self.hooks.mailer.is_none() && self.settings.mail.host.is_none()
    }

    /// The master key that a house on these settings has, from the settings or the file; it is not made here.
    ///
    /// # Errors
    /// When it is nowhere, or not what it should be.
    pub fn master_key(&self) -> Result<MasterKey, BuildError> {
        let url = self.settings.database_url.expose();
        let file = self
            .master_key_file
            .clone()
            .or_else(|| master_key_file_beside(url));
        keys::given_master_key(&self.settings, file, &Entropy::system())
            .map_err(|error| BuildError::Keys(error.into()))
    }

    /// Opens the database, migrates it, loads or makes the keys, starts the hashing threads and the jobs.
    ///
    /// # Errors
    /// [`BuildError`], with nothing damaged.
    pub async fn build(self) -> Result<Tokenhouse, BuildError> {
        let mut settings = self.settings;
        settings.public_url = settings.public_url.trim_end_matches('/').to_owned();
        check::check(&settings)?;
        let mail = check::way_of_mail(&settings, self.hooks.mailer.clone())?;
        if mail.is_none() {
            check::needs_no_mail(&settings)?;
        }
        let templates = templates(&settings)?;
        let look = check::look(&settings)?;
        if settings.templates.folder.is_some() {
            // Those of the house are tried by a test.
            every_page(&templates, &look, features::ALL, |_, _, _| {})?;
            every_mail(&templates, &settings, |_, _| {})?;
        }
        let clock = self.clock.unwrap_or_else(Clock::system);
        let entropy = self.entropy.unwrap_or_else(Entropy::system);

        let store = open_store(&settings).await?;
        bring_up_to_date(&store, self.migrate).await?;
        for (owner, migrations) in &self.migrations {
            bring_application_up_to_date(&store, self.migrate, owner, migrations).await?;
        }

        let file = self
            .master_key_file
            .or_else(|| master_key_file_beside(settings.database_url.expose()));
        let master = find_master_key(&settings, file, &store, &entropy).await?;
        let slot = master.name();
        let root = find_root_key(&master, &store, clock.now()).await?;
        let refresh_tokens = RefreshTokens::new(&root);
        let browser = BrowserKeys::new(&root, &settings.public_url);
        let (keys, key_set) =
            Keyring::load(root, slot, &store, &settings, self.keep_keys, clock.now()).await?;
        let tokens = &settings.tokens;
        let verifier = Verifier::builder()
            .keys(key_set)
            .token_type("at+jwt")
            .leeway(*tokens.leeway)
            .cache_capacity(tokens.cache_capacity);
        let verifier = match &self.hooks.verifier {
            Some(demands) => demands(verifier),
            None => verifier
                .issuer(tokens.issuer.as_deref().unwrap_or(&settings.public_url))
                .audience(tokens.audience.as_deref().unwrap_or(&settings.public_url)),
        };
        // Whatever the payload looks like, a token that belongs to no session could not be ended.
        let verifier = verifier
            .require_claim("sid")
            .build()
            .map_err(|error| BuildError::Setting {
                key: "tokens",
                problem: error.to_string(),
            })?;
        let hashing = HashingPool::start(
            check::hashing_options(&settings, self.weak_hashing),
            entropy.clone(),
        )
        .map_err(|error| BuildError::Hashing(error.to_string()))?;
        let metrics = Metrics::new();
        let observer = Observer::new(
            metrics.requests.clone(),
            self.problem_renderer,
            check::transport(&settings),
            &entropy,
        )
        .map_err(Error::from)?;
        let limit = &settings.rate_limit;
        let house = Tokenhouse(Arc::new(House {
            address_limit: limit
                .enabled
                .then(|| AddressLimit::new(limit.burst, limit.per_minute)),
            proxies: check::trusted_proxies(&settings)?,
            cors: check::cors(&settings)?,
            hashing,
            keys,
            verifier,
            refresh_tokens,
            hooks: self.hooks,
            browser,
            look,
            mail,
            deliveries: Deliveries::default(),
            features: features::ALL
                .iter()
                .filter(|feature| (feature.enabled)(&settings))
                .copied()
                .collect(),
            templates,
            metrics,
            observer: Arc::new(observer),
            turns: Turns::default(),
            wrong_passwords: WrongPasswords::default(),
            node: Node::new().map_err(Error::from)?,
            warned_of_unknown_addresses: std::sync::Once::new(),
            following: Looks::new(Timestamp::MIN, Duration::ZERO),
            notifier: OnceLock::new(),
            feed: ArcSwapOption::empty(),
            settings,
            store,
            clock,
            entropy,
        }));
        house.follow().await?;
        if !self.without_jobs {
            house.start_jobs();
        }
        Ok(house)
    }
}

fn templates(settings: &Settings) -> Result<Templates, TemplateError> {
    let own = &settings.templates;
    Templates::load(EMBEDDED, own.folder.as_deref().map(Path::new), &own.language)
}

async fn open_store(settings: &Settings) -> Result<Store, BuildError> {
    let database = &settings.database;
    let options = StoreOptions {
        max_connections: database.max_connections,
        acquire_timeout: *database.acquire_timeout,
        statement_timeout: *database.statement_timeout,
        ..StoreOptions::default()
    };
    Ok(Store::open(settings.database_url.expose(), options).await?)
}

async fn bring_up_to_date(store: &Store, migrate: Migrate) -> Result<(), BuildError> {
    match store.schema(MIGRATIONS).await? {
        SchemaState::Current => Ok(()),
        SchemaState::Expanded { unknown } => {
            tracing::info!(
                migrations = unknown.join(", "),
                "a newer version has added to the database; this one works with it as it is"
            );
            Ok(())
        }
        SchemaState::Newer { unknown } => Err(BuildError::Newer(unknown.join(", "))),
        SchemaState::Older { pending } if migrate == Migrate::Refuse => {
            Err(BuildError::Older(pending.join(", ")))
        }
        SchemaState::Older { .. } | SchemaState::Empty => {
            let applied = store.migrate(MIGRATIONS).await?;
            tracing::info!(migrations = applied.join(", "), "the database was migrated");
            Ok(())
        }
    }
}

/// Like the house itself, for the tables an application keeps beside it.
async fn bring_application_up_to_date(
    store: &Store,
    migrate: Migrate,
    owner: &str,
    migrations: &[Migration],
) -> Result<(), BuildError> {
    let of_owner = |names: Vec<String>| {
        names
            .iter()
            .map(|name| format!("{owner}/{name}"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    match store.schema_for(owner, migrations).await? {
        SchemaState::Current | SchemaState::Expanded { .. } => Ok(()),
        SchemaState::Newer { unknown } => Err(BuildError::Newer(of_owner(unknown))),
        SchemaState::Older { pending } if migrate == Migrate::Refuse => Err(BuildError::Older(of_owner(
            pending.into_iter().map(str::to_owned).collect(),
        ))),
        SchemaState::Empty if migrate == Migrate::Refuse && !migrations.is_empty() => Err(BuildError::Older(
            of_owner(migrations.iter().map(|one| one.name.to_owned()).collect()),
        )),
        SchemaState::Older { .. } | SchemaState::Empty => {
            store.migrate_for(owner, migrations).await?;
            Ok(())
        }
    }
}

/// `app.db` has its master key in `app.db.master-key`.
fn master_key_file_beside(database_url: &str) -> Option<PathBuf> {
    database_url
        .strip_prefix("sqlite://")
        .map(|path| PathBuf::from(format!("{path}.master-key")))
}
