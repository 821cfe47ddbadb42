//! Every option, its default and its reason.
//!
//! The table below is the single source: it makes the types, their defaults, the file and environment
//! names, `tokenhouse config default` and `docs/configuration.md`.

mod period;
#[doc(hidden)]
#[macro_use]
pub mod table;

use std::collections::BTreeMap;

use tokenhouse_verify::Algorithm;

pub use self::period::Period;
pub use self::table::OptionDoc;
pub use super::mail::smtp::Encryption;
use super::secret::Secret;

settings! {
    /// What an operator or an embedding application may decide.
    pub struct Settings ("") {
        /// The address that people and programs reach this house at, without a trailing slash; the `iss` of
        /// its tokens. `https`, or `http` on a loopback host. Where the routes are mounted under a path, the path is part of it.
        value public_url: String = "http://localhost:8080".to_owned(),
        /// Where accounts are kept: `sqlite:///absolute/path.db`, `sqlite://relative.db` or
        /// `postgres://user:password@host/database`. `DATABASE_URL` is understood too.
        secret database_url: Secret = Secret::from("sqlite://tokenhouse.db"),
        /// 32 random bytes in hex or base64, which seal the signing keys in the database. On SQLite, when
        /// nothing is given, it is kept in a file of mode 0600 beside the database; on PostgreSQL it is required.
        secret master_key: Option<Secret> = None,
        /// The database.
        section database: DatabaseSettings = DatabaseSettings::default(),
        /// Access tokens and keys.
        section tokens: TokenSettings = TokenSettings::default(),
        /// Sessions and refresh tokens.
        section sessions: SessionSettings = SessionSettings::default(),
        /// Passwords.
        section passwords: PasswordSettings = PasswordSettings::default(),
        /// What an account is made of.
        section accounts: AccountSettings = AccountSettings::default(),
        /// Who may open an account.
        section signup: SignupSettings = SignupSettings::default(),
        /// Second factors.
        section second_factors: SecondFactorSettings = SecondFactorSettings::default(),
        /// Passkeys.
        section passkeys: PasskeySettings = PasskeySettings::default(),
        /// How mail leaves the house.
        section mail: MailSettings = MailSettings::default(),
        /// How long links and codes in mails are good.
        section links: LinkSettings = LinkSettings::default(),
        /// Brakes on guessing.
        section rate_limit: RateLimitSettings = RateLimitSettings::default(),
        /// How requests are taken.
        section http: HttpSettings = HttpSettings::default(),
        /// The pages: signing in, the account.
        section pages: PageSettings = PageSettings::default(),
        /// How pages and mails look.
        section branding: BrandingSettings = BrandingSettings::default(),
        /// What pages and mails are made from.
        section templates: TemplateSettings = TemplateSettings::default(),
        /// The log of what happened.
        section events: EventSettings = EventSettings::default(),
        /// The rooms of the house; one that is switched off has no routes and no pages.
        section features: FeatureSettings = FeatureSettings::default(),
    }

    /// The database.
    pub struct DatabaseSettings ("database") {
        /// Connections to PostgreSQL at most (SQLite has one writer and as many readers as cores).
        value max_connections: usize = 16,
        /// How long a request may wait for a connection or for its turn to write.
        value acquire_timeout: Period = Period::seconds(2),
        /// How long one statement may run on PostgreSQL.
        value statement_timeout: Period = Period::millis(2500),
    }

    /// Access tokens (RFC 9068) and the keys that sign them.
    pub struct TokenSettings ("tokens") {
        /// How new tokens are signed: ES256, EdDSA, RS256, PS256 or HS256.
        value algorithm: Algorithm = Algorithm::Es256,
        /// How long an access token lives; longer means fewer refreshes, and a larger revocation list.
        value access_lifetime: Period = Period::minutes(15),
        /// Who the tokens are from (`iss`); the default is `public_url`, which is also where verifiers look for keys.
        value issuer: Option<String> = None,
        /// Who the tokens are for (`aud`); the default is `public_url`.
        value audience: Option<String> = None,
        /// With HS256: a secret of at least 32 bytes that other services share. Without it one is made and kept sealed.
        secret secret: Option<Secret> = None,
        /// Clock difference that is forgiven when a token is checked; 60 s at most.
        value leeway: Period = Period::seconds(5),
        /// A new signing key becomes active after this long; 0 s leaves rotation to `tokenhouse keys rotate`.
        value rotate_after: Period = Period::days(90),
        /// Verified tokens that are remembered, so that the second request costs a look-up only.
        value cache_capacity: usize = 100_000,
        /// Claims added to every access token; reserved claims cannot be overridden.
        value claims: BTreeMap<String, serde_json::Value> = BTreeMap::new(),
        /// The scope a login gets when it asks for none, and the most it can ask for, separated by spaces.
        value scope: String = String::new(),
    }

    /// Sessions and their refresh tokens.
    pub struct SessionSettings ("sessions") {
        /// A session that is not refreshed for this long is over.
        value idle_lifetime: Period = Period::days(30),
        /// A session is over after this long, however often it is refreshed.
        value absolute_lifetime: Period = Period::days(365),
        /// How long the refresh token before the current one is answered with the same successor again, since
        /// the answer may have been lost or two tabs may have raced.
        value refresh_grace: Period = Period::seconds(30),
        /// Sessions a user may have at once; one more ends the one longest unused.
        value max_per_user: u32 = 100,
        /// How often a node reads what others revoked, on top of what PostgreSQL tells it at once.
        value revocation_poll: Period = Period::millis(500),
        /// A token is accepted only by a node that has known everything that was revoked this long ago. One that does
        /// not, as its database is slow or away, asks before it accepts, and answers 503 when it cannot. Longer lets
        /// tokens be checked through an outage of the database, those revoked meanwhile too; 0 s asks at every check.
        value revocation_staleness: Period = Period::seconds(1),
    }

    /// Passwords: how they are hashed and which are acceptable (NIST SP 800-63B-4).
    pub struct PasswordSettings ("passwords") {
        /// Characters a new password must have.
        value min_length: usize = 8,
        /// Characters a password may have.
        value max_length: usize = 128,
        /// Refuse passwords from the built-in list of common ones.
        value check_common: bool = true,
        /// Argon2id memory in KiB; with two iterations 19456 is also the least (OWASP). Less memory needs more
        /// iterations: 12288 with 3, 9216 with 4, 7168 with 5; 47104 is enough for a single one.
        value memory_kib: u32 = 19_456,
        /// Argon2id passes over that memory.
        value iterations: u32 = 2,
        /// Argon2id lanes.
        value parallelism: u32 = 1,
        /// Threads that hash, below the priority of requests; 0 means one per core.
        value threads: usize = 0,
        /// Logins that may wait for a hashing thread; one more is answered 503 with `Retry-After`.
        value queue: usize = 256,
    }

    /// What an account is made of.
    pub struct AccountSettings ("accounts") {
        /// What a sign-up must give: `email`, `username`, `both` or `either`.
        value identifier: Identifier = Identifier::Email,
        /// Characters a username must have.
        value username_min_length: usize = 3,
        /// Characters a username may have.
        value username_max_length: usize = 32,
        /// Bytes that a profile may take as JSON.
        value profile_max_bytes: usize = 16_384,
    }

    /// Who may open an account.
    pub struct SignupSettings ("signup") {
        /// Who may: `open`, everybody; `invitation`, whoever was sent one (`tokenhouse user invite`); `closed`, nobody,
        /// and accounts are made with `tokenhouse user create`.
        value mode: SignupMode = SignupMode::Open,
        /// The part behind the `@` that addresses must have, such as `example.com`; without any, all may. It is no proof
        /// that an address is its owner's: that is `require_verified_email`.
        value allowed_domains: Vec<String> = Vec::new(),
        /// Whether an address must be verified before its account can be logged in to. A sign-up then answers 202, and
        /// the mail that it sends says how to go on.
        value require_verified_email: bool = false,
        /// Say so when an address or a name is taken (409). When false, sign-up answers the same 202 for both,
        /// and a new user logs in afterwards; whoever has the address is told of the attempt by mail.
        value reveal_taken: bool = true,
    }

    /// Second factors, and when somebody who is logged in must prove again who they are.
    pub struct SecondFactorSettings ("second_factors") {
        /// Roles whose holders must have a second factor; `*` means everybody. Who has none yet must set one up at the next login.
        value required_for: Vec<String> = Vec::new(),
        /// Accept a code sent by mail where an account has a second factor that is not at hand. Not after a login by mail,
        /// nor after a password that was itself chosen by mail: the mailbox alone is not both factors.
        value email_code: bool = false,
        /// How long the second step of a login may take.
        value step_lifetime: Period = Period::minutes(10),
        /// Wrong codes an account bears before its second step is slowed.
        value burst: u32 = 10,
        /// Further tries at a slowed second step come this far apart; recovery codes and passkeys cannot be guessed and
        /// are not slowed.
        value interval: Period = Period::minutes(10),
        /// What authenticator apps call this service; the default is the host of `public_url`.
        value issuer: Option<String> = None,
        /// Changing what an account is logged in with needs a proof no older than this: of the login itself, or given again.
        value fresh_proof: Period = Period::minutes(10),
    }

    /// Passkeys (W3C Web Authentication).
    pub struct PasskeySettings ("passkeys") {
        /// The domain that passkeys belong to; the default is the host of `public_url`, and it may be a domain above that.
        /// Changing it makes every passkey unusable.
        value rp_id: Option<String> = None,
        /// What passkey managers call this service; the default is the host of `public_url`.
        value name: Option<String> = None,
        /// Further origins that passkeys may be used from, such as `https://app.example.com`; that of `public_url` may always.
        value origins: Vec<String> = Vec::new(),
        /// How long a browser waits for the user to touch, look or type.
        value timeout: Period = Period::minutes(5),
        /// Passkeys a user may have.
        value max_per_user: u32 = 20,
    }

    /// How mail leaves the house: by an SMTP server, or by a function of the application's own. With neither there is no
    /// mail, and what needs it is refused.
    pub struct MailSettings ("mail") {
        /// The SMTP server that takes mail.
        value host: Option<String> = None,
        /// Its port; 0 means the usual one: 465 with `tls`, 587 with `starttls`, 25 with `none`.
        value port: u16 = 0,
        /// `tls` from the first byte, `starttls`, or `none`, which only a server on a loopback address may have.
        value encryption: Encryption = Encryption::Tls,
        /// The user name there, if it asks for one.
        value username: Option<String> = None,
        /// The password there.
        secret password: Option<Secret> = None,
        /// A file of a certificate, in PEM, that the server's is signed by, when no well-known authority did.
        value ca_file: Option<String> = None,
        /// Who mails are from: `Example <no-reply@example.com>`.
        value from: Option<String> = None,
        /// Where answers go.
        value reply_to: Option<String> = None,
        /// How long connecting may take, and then each mail.
        value timeout: Period = Period::seconds(30),
        /// Connections to the server at once, for each node.
        value connections: usize = 2,
        /// A mail that could not be sent for this long is given up, and kept for the operator.
        value give_up_after: Period = Period::days(2),
        /// How long it is remembered that a mail was sent or given up.
        value keep: Period = Period::days(30),
        /// Mails that may be asked for to one address at once, such as for a forgotten password, each purpose by itself; then one an interval.
        value per_address: u32 = 5,
        /// That interval.
        value per_address_interval: Period = Period::minutes(12),
        /// Mails that may be asked for from one network (an IPv4 address, or an IPv6 /64) at once; then one an interval.
        value per_network: u32 = 30,
        /// That interval.
        value per_network_interval: Period = Period::seconds(30),
        /// Tell people when their account is logged in to from a device or network it was not used from before.
        value new_device: bool = true,
    }

    /// How long links and codes in mails are good.
    pub struct LinkSettings ("links") {
        /// To verify an address, or to confirm a new one.
        value verify: Period = Period::minutes(24 * 60),
        /// To choose a new password.
        value reset: Period = Period::minutes(60),
        /// To log in.
        value magic: Period = Period::minutes(15),
        /// To sign up by invitation.
        value invitation: Period = Period::days(7),
        /// Where links lead when the application has pages of its own: its address, to which `/verify?token=…`,
        /// `/reset?token=…` and so on are added. Without it they lead to the pages of the house.
        value pages: Option<String> = None,
        /// To take a change of address back, from the old one, or the first second factor of an account; 0 s offers no such
        /// link.
        value undo: Period = Period::days(3),
    }

    /// Brakes on guessing.
    pub struct RateLimitSettings ("rate_limit") {
        /// Limit requests that carry credentials per address (IPv4, or IPv6 /64).
        value enabled: bool = true,
        /// Requests an address may make at once.
        value burst: u32 = 60,
        /// Requests an address may make per minute after that.
        value per_minute: u32 = 120,
        /// Slow down guessing at one account, from any number of addresses.
        value account_enabled: bool = true,
        /// Wrong passwords an account bears before it is slowed.
        value account_burst: u32 = 10,
        /// Further tries at a slowed account come this far apart; an address that the account has been used from has
        /// a brake of its own, so that a stranger cannot lock the owner out.
        value account_interval: Period = Period::minutes(1),
    }

    /// How requests are taken.
    pub struct HttpSettings ("http") {
        /// Bytes a body may have.
        value body_limit: usize = 65_536,
        /// How long a body may take to arrive.
        value body_timeout: Period = Period::seconds(15),
        /// Addresses or networks (`10.0.0.0/8`) of reverse proxies whose `X-Forwarded-For` is believed.
        value trusted_proxies: Vec<String> = Vec::new(),
        /// Origins that browsers may call the API from (CORS), such as `https://app.example.com`.
        value allowed_origins: Vec<String> = Vec::new(),
        /// Serve the documentation page at `/docs`.
        value docs: bool = true,
        /// Serve Prometheus metrics at `/metrics`.
        value metrics: bool = true,
        /// Publish the ids of ended sessions whose tokens may not have expired, at `/.well-known/revocations.json`, so that
        /// APIs that check tokens by themselves see a logout too.
        value revocation_feed: bool = true,
    }

    /// The rooms of the house; one that is switched off has no routes and no pages.
    pub struct FeatureSettings ("features") {
        /// Sign up, log in and delete an account with a password.
        value password: bool = true,
        /// Codes of authenticator apps as a second factor. Switched off, an account that has only this one is logged in to
        /// without.
        value totp: bool = true,
        /// Passkeys, as the only factor or as a second. Switched off, an account that has only these as a second factor is
        /// logged in to without.
        value passkey: bool = true,
        /// Verify and change the address of an account by mail.
        value email: bool = true,
        /// Log in by a link or code that is sent by mail.
        value magic: bool = true,
    }

    /// The pages that people sign in and look after their account with, under `/account`.
    pub struct PageSettings ("pages") {
        /// Serve them.
        value enabled: bool = true,
        /// Origins, such as `https://app.example.com`, that a page may lead back to after signing in (`return_to`), beside
        /// paths of this one.
        value return_origins: Vec<String> = Vec::new(),
        /// Where signing in leads when nothing else was asked for: a path, or an address of `return_origins`. Without, to the
        /// account page.
        value after_sign_in: Option<String> = None,
        /// Texts of the profile that users may write themselves. Their labels are the texts `profile.<field>` of the
        /// language files, or the field's name.
        value profile_fields: Vec<String> = vec!["name".to_owned()],
    }

    /// How pages and mails look.
    pub struct BrandingSettings ("branding") {
        /// What the service is called.
        value name: String = "Tokenhouse".to_owned(),
        /// A picture (SVG, PNG, JPEG or WebP, 32 KiB at most) that the house serves at the head of its pages.
        value logo: Option<String> = None,
        /// The colour of buttons and links, such as `#3b5bdb`. Where it would not be readable it is made darker or lighter.
        value colour: String = "#2f5d50".to_owned(),
    }

    /// Templates and texts of pages and mails.
    pub struct TemplateSettings ("templates") {
        /// A folder whose files in `pages`, `mails` and `languages` take the place of the built-in ones of the same name;
        /// one that is new in `languages` adds a language.
        value folder: Option<String> = None,
        /// The language of those whose browser asks for none that is there.
        value language: String = "en".to_owned(),
    }

    /// The log of what happened to accounts.
    pub struct EventSettings ("events") {
        /// How long events are kept.
        value keep: Period = Period::days(365),
    }
}

/// Who may sign up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignupMode {
    /// Everybody.
    #[default]
    Open,
    /// Whoever was invited.
    Invitation,
    /// Nobody.
    Closed,
}

/// What a sign-up must give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Identifier {
    /// An e-mail address; a username is optional.
    #[default]
    Email,
    /// A username; an e-mail address is optional.
    Username,
    /// Both.
    Both,
    /// At least one of the two.
    Either,
}
