//! The house: what every part of it shares, behind one cheap handle.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;
use axum::extract::FromRef;
use jiff::Timestamp;
use serde_json::{Map, Value};
use tokenhouse_verify::{Claims, Verifier, VerifierBuilder};

use super::Feature;
use super::account::User;
use super::brake::Turns;
use super::keys::Keyring;
use super::lease::Node;
use super::login::hooks::{LoginHook, SignUpHook};
use super::look::Looks;
use super::mail::{Deliveries, Way};
use super::metrics::Metrics;
use super::pages::look::Look;
use super::session::RefreshTokens;
use super::session::browser::BrowserKeys;
use super::session::feed::Page;
use super::wrong_passwords::WrongPasswords;
use crate::base::clock::Clock;
use crate::base::entropy::Entropy;
use crate::base::hashing::HashingPool;
use crate::base::http::address::TrustedProxies;
use crate::base::http::body::BodyLimits;
use crate::base::http::limit::AddressLimit;
use crate::base::http::observe::Observer;
use crate::base::mail::MailerHook;
use crate::base::settings::Settings;
use crate::base::store::{Notifier, Store};
use crate::base::template::Templates;

/// A running house: the handle that an application keeps in its state. Clones share everything.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use axum::{Router, routing::get};
/// use tokenhouse::{CurrentUser, Tokenhouse};
///
/// async fn hello(user: CurrentUser) -> String {
///     format!("Hello, {}", user.email.as_deref().unwrap_or_default())
/// }
///
/// let house = Tokenhouse::builder().database("sqlite://app.db").build().await?;
/// let app: Router = Router::new().route("/hello", get(hello)).merge(house.router()).with_state(house);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Tokenhouse(pub(crate) Arc<House>);

/// Claims that an application adds to the tokens of a user.
pub type ClaimsHook = Arc<dyn Fn(&User) -> Map<String, Value> + Send + Sync>;
/// The whole payload of an access token, made of the user and of the claims it would have had.
pub type PayloadHook = Arc<dyn Fn(&User, Claims) -> Claims + Send + Sync>;
/// What an application demands of a token beside signature, time and session.
pub type VerifierHook = Arc<dyn Fn(VerifierBuilder) -> VerifierBuilder + Send + Sync>;
/// An application's own rule for a text, saying what is wrong with it.
pub type RuleHook = Arc<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// What an application decides for itself, in code.
#[derive(Clone, Default)]
pub(crate) struct Hooks {
    pub(crate) claims: Option<ClaimsHook>,
    pub(crate) payload: Option<PayloadHook>,
    pub(crate) verifier: Option<VerifierHook>,
    pub(crate) username_rule: Option<RuleHook>,
    pub(crate) password_rule: Option<RuleHook>,
    pub(crate) after_sign_up: Option<SignUpHook>,
    pub(crate) before_login: Option<LoginHook>,
    pub(crate) mailer: Option<MailerHook>,
}

/// What the parts of a house share.
pub(crate) struct House {
    pub(crate) settings: Settings,
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) entropy: Entropy,
    pub(crate) hashing: HashingPool,
    pub(crate) keys: Keyring,
    pub(crate) verifier: Verifier,
    pub(crate) refresh_tokens: RefreshTokens,
    pub(crate) hooks: Hooks,
    pub(crate) browser: BrowserKeys,
    pub(crate) look: Look,
    /// How mail leaves; nothing where none does.
    pub(crate) mail: Option<Way>,
    pub(crate) deliveries: Deliveries,
    /// Those that the settings want.
    pub(crate) features: Vec<Feature>,
    pub(crate) templates: Templates,
    pub(crate) metrics: Metrics,
    pub(crate) observer: Arc<Observer>,
    pub(crate) address_limit: Option<AddressLimit>,
    pub(crate) proxies: TrustedProxies,
    pub(crate) cors: Option<tower_http::cors::CorsLayer>,
    pub(crate) turns: Turns,
    pub(crate) wrong_passwords: WrongPasswords,
    pub(crate) node: Node,
    pub(crate) warned_of_unknown_addresses: std::sync::Once,
    /// The looks at what was revoked, and until when it was read.
    pub(crate) following: Looks<Timestamp>,
    pub(crate) notifier: OnceLock<Notifier>,
    pub(crate) feed: ArcSwapOption<Page>,
}

impl House {
    /// Says once that the server does not tell addresses.
    pub(crate) fn warn_of_unknown_addresses(&self) {
        self.warned_of_unknown_addresses.call_once(|| {
            tracing::warn!(
                "requests come without an address, so there is no limit per address: serve the application with \
                 into_make_service_with_connect_info::<SocketAddr>()"
            );
        });
    }
}

impl Tokenhouse {
    /// The settings it was built with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// The database, for an application that keeps its own tables beside the house's: one SQL text for both
    /// engines, and transactions that change both.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// Where this house takes the time from.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// What checks its access tokens, for services in the same process.
    #[must_use]
    pub fn verifier(&self) -> &Verifier {
        &self.0.verifier
    }

    /// Finishes the mail that is being handed over, flushes the database and closes it; call it when the last request has been answered.
    pub async fn close(&self) {
        self.end_deliveries().await;
        if let Err(error) = self.write_wrong_passwords(true).await {
            tracing::warn!(%error, "the last wrong passwords are not in the log of events");
        }
        self.let_leases_go().await;
        self.0.store.close().await;
    }
}

impl std::fmt::Debug for Tokenhouse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Tokenhouse({} on {})",
            self.0.settings.public_url,
            self.0.store.engine().name()
        )
    }
}

impl FromRef<Tokenhouse> for BodyLimits {
    fn from_ref(house: &Tokenhouse) -> Self {
        let http = &house.0.settings.http;
        Self {
            bytes: http.body_limit,
            time: *http.body_timeout,
        }
    }
}

impl FromRef<Tokenhouse> for TrustedProxies {
    fn from_ref(house: &Tokenhouse) -> Self {
        house.0.proxies.clone()
    }
}
