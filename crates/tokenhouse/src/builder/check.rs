//! What no house can work with, whoever runs it: each a sentence naming the setting and what would be right.

use std::time::Duration;

use http::HeaderValue;
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::BuildError;
use crate::base::hashing::{Argon2Costs, HashingOptions};
use crate::base::http::address::{TrustedProxies, is_loopback};
use crate::base::http::page;
use crate::base::mail::smtp::{Encryption, Smtp};
use crate::base::mail::{MailerHook, Sender};
use crate::base::settings::{Settings, SignupMode};
use crate::features::passkey;
use crate::features::password::policy::PasswordPolicy;
use crate::kernel::keys;
use crate::kernel::mail::Way;
use crate::kernel::pages::look::Look;

impl Settings {
    /// Whether a house can work with these settings; nothing is opened or started.
    ///
    /// # Errors
    /// [`BuildError::Setting`], naming the first that cannot be.
    pub fn check(&self) -> Result<(), BuildError> {
        check(self)?;
        hashing_options(self, false)
            .validate()
            .map_err(|error| setting("passwords", error.to_string()))?;
        trusted_proxies(self)?;
        cors(self)?;
        look(self)?;
        way_of_mail(self, None)?;
        Ok(())
    }
}

impl Settings {
    /// The server that mail goes to, if the settings name one.
    ///
    /// # Errors
    /// [`BuildError::Setting`], as [`check`](Self::check).
    pub fn mail_server(&self) -> Result<Option<Smtp>, BuildError> {
        Ok(match way_of_mail(self, None)? {
            Some(Way::Smtp(smtp, _)) => Some(*smtp),
            _ => None,
        })
    }
}

/// What browsers are told of how to come here (RFC 6797): over TLS only, which a proxy ends before the house, so that
/// `public_url` is all that is known of it. Nothing for a house without TLS.
pub(super) fn transport(settings: &Settings) -> Option<HeaderValue> {
    let http = &settings.http;
    if http.hsts.is_zero() || !settings.public_url.starts_with("https:") {
        return None;
    }
    let subdomains = if http.hsts_subdomains {
        "; includeSubDomains"
    } else {
        ""
    };
    HeaderValue::try_from(format!("max-age={}{subdomains}", http.hsts.as_secs())).ok()
}

pub(super) fn setting(key: &'static str, problem: impl Into<String>) -> BuildError {
    BuildError::Setting {
        key,
        problem: problem.into(),
    }
}

/// What no house can work with, whoever runs it.
pub(super) fn check(settings: &Settings) -> Result<(), BuildError> {
    let url = url::Url::parse(&settings.public_url)
        .map_err(|_| setting("public_url", "must be an address such as https://id.example.com"))?;
    if !matches!(url.scheme(), "https" | "http") || url.query().is_some() || url.fragment().is_some() {
        return Err(setting(
            "public_url",
            "must be an http or https address without `?` and `#`",
        ));
    }
    let tokens = &settings.tokens;
    if tokens.access_lifetime.as_secs() == 0 || tokens.access_lifetime.as_secs() > 86_400 * 31 {
        return Err(setting(
            "tokens.access_lifetime",
            "must be between 1s and 31d; minutes are usual",
        ));
    }
    if tokens.leeway.as_secs() > 60 {
        return Err(setting(
            "tokens.leeway",
            "must be 60s at most (RFC 7519 allows small differences only)",
        ));
    }
    if let Some(name) = tokens
        .claims
        .keys()
        .find(|name| crate::RESERVED_CLAIMS.contains(&name.as_str()))
    {
        return Err(setting(
            "tokens.claims",
            format!("`{name}` is reserved; choose another name"),
        ));
    }
    if tokens.algorithm == tokenhouse_verify::Algorithm::Hs256
        && tokens
            .secret
            .as_ref()
            .is_some_and(|secret| secret.expose().len() < 32)
    {
        return Err(setting(
            "tokens.secret",
            keys::KeyError::SecretTooShort.to_string(),
        ));
    }
    if settings.sessions.idle_lifetime.is_zero() || settings.sessions.absolute_lifetime.is_zero() {
        return Err(setting(
            "sessions",
            "idle_lifetime and absolute_lifetime must be longer than 0s",
        ));
    }
    if *settings.sessions.refresh_grace > Duration::from_secs(300) {
        return Err(setting(
            "sessions.refresh_grace",
            "must be 5m at most, or a stolen token is not noticed",
        ));
    }
    if *settings.sessions.revocation_poll > Duration::from_secs(5) {
        return Err(setting(
            "sessions.revocation_poll",
            "must be 5s at most, or a logout is not noticed elsewhere for as long",
        ));
    }
    let waits = [
        ("database.acquire_timeout", settings.database.acquire_timeout),
        ("database.statement_timeout", settings.database.statement_timeout),
        ("http.body_timeout", settings.http.body_timeout),
        ("mail.timeout", settings.mail.timeout),
        ("mail.give_up_after", settings.mail.give_up_after),
        ("mail.per_address_interval", settings.mail.per_address_interval),
        ("mail.per_network_interval", settings.mail.per_network_interval),
        ("links.verify", settings.links.verify),
        ("links.reset", settings.links.reset),
        ("links.magic", settings.links.magic),
        ("links.invitation", settings.links.invitation),
    ];
    if let Some((key, _)) = waits.into_iter().find(|(_, wait)| wait.is_zero()) {
        return Err(setting(key, "must be longer than 0s, or nothing is ever in time"));
    }
    passkey::check_settings(settings).map_err(|(key, problem)| setting(key, problem))?;
    for (key, period) in [
        (
            "second_factors.step_lifetime",
            settings.second_factors.step_lifetime,
        ),
        ("second_factors.fresh_proof", settings.second_factors.fresh_proof),
    ] {
        if period.is_zero() {
            return Err(setting(key, "must be longer than 0s, or nothing is ever in time"));
        }
    }
    PasswordPolicy::of(&settings.passwords)
        .validate()
        .map_err(|error| setting("passwords", error.to_string()))
}

/// How mail leaves, if it does.
pub(super) fn way_of_mail(settings: &Settings, own: Option<MailerHook>) -> Result<Option<Way>, BuildError> {
    if let Some(function) = own {
        return Ok(Some(Way::Function(function)));
    }
    let mail = &settings.mail;
    let Some(host) = &mail.host else {
        return Ok(None);
    };
    let from = mail.from.as_deref().ok_or_else(|| {
        setting(
            "mail.from",
            "must be set where mail.host is: `Example <no-reply@example.com>`",
        )
    })?;
    let sender = Sender::parse(from).map_err(|error| setting("mail.from", error.to_string()))?;
    let sender = match &mail.reply_to {
        Some(reply_to) => sender
            .answered_at(reply_to)
            .map_err(|error| setting("mail.reply_to", error.to_string()))?,
        None => sender,
    };
    if mail.encryption == Encryption::None && !is_loopback(host) {
        return Err(setting(
            "mail.encryption",
            "may be `none` only where mail.host is on this machine: links and codes that let people in would travel \
             in the clear",
        ));
    }
    let credentials = match (&mail.username, &mail.password) {
        (Some(name), Some(password)) => Some((name.clone(), password.clone())),
        (None, None) => None,
        (Some(_), None) => return Err(setting("mail.password", "must be set where mail.username is")),
        (None, Some(_)) => return Err(setting("mail.username", "must be set where mail.password is")),
    };
    let authorities = match &mail.ca_file {
        Some(file) => Some(
            std::fs::read(file)
                .map_err(|error| setting("mail.ca_file", format!("{file} cannot be read: {error}")))?,
        ),
        None => None,
    };
    let hello = url::Url::parse(&settings.public_url)
        .ok()
        .and_then(|url| url.host_str().map(str::to_owned))
        .unwrap_or_else(|| "localhost".to_owned());
    let smtp = Smtp {
        host: host.clone(),
        port: if mail.port == 0 {
            mail.encryption.usual_port()
        } else {
            mail.port
        },
        encryption: mail.encryption,
        credentials,
        authorities,
        hello,
        timeout: *mail.timeout,
    };
    Ok(Some(Way::Smtp(Box::new(smtp), sender)))
}

/// What would keep everybody out where no mail is sent.
pub(super) fn needs_no_mail(settings: &Settings) -> Result<(), BuildError> {
    let how = "needs mail: set mail.host and mail.from, or give the builder a `mailer`";
    if settings.signup.require_verified_email {
        return Err(setting("signup.require_verified_email", how));
    }
    if settings.signup.mode == SignupMode::Invitation {
        return Err(setting("signup.mode", format!("`invitation` {how}")));
    }
    Ok(())
}

pub(super) fn hashing_options(settings: &Settings, weak: bool) -> HashingOptions {
    #[cfg(not(any(test, feature = "testing")))]
    let _ = weak;
    #[cfg(any(test, feature = "testing"))]
    if weak {
        return HashingOptions {
            queue: settings.passwords.queue,
            ..HashingOptions::cheap()
        };
    }
    let passwords = &settings.passwords;
    let mut options = HashingOptions {
        costs: Argon2Costs {
            memory_kib: passwords.memory_kib,
            iterations: passwords.iterations,
            parallelism: passwords.parallelism,
        },
        queue: passwords.queue,
        ..HashingOptions::default()
    };
    if passwords.threads > 0 {
        options.threads = passwords.threads;
    }
    options
}

pub(super) fn trusted_proxies(settings: &Settings) -> Result<TrustedProxies, BuildError> {
    let proxies = TrustedProxies::parse(&settings.http.trusted_proxies).map_err(|text| {
        setting(
            "http.trusted_proxies",
            format!("`{text}` is no address and no network"),
        )
    })?;
    if proxies.trust_everybody() {
        return Err(setting(
            "http.trusted_proxies",
            "a network of /0 lets everybody choose their address; name the proxies",
        ));
    }
    Ok(proxies)
}

fn origins_only(key: &'static str, origins: &[String]) -> Result<(), BuildError> {
    let is_origin = |text: &String| {
        url::Url::parse(text)
            .is_ok_and(|url| url.origin().ascii_serialization() == *text && url.origin().is_tuple())
    };
    match origins.iter().find(|text| !is_origin(text)) {
        Some(bad) => Err(setting(
            key,
            format!("`{bad}` is no origin such as https://app.example.com"),
        )),
        None => Ok(()),
    }
}

/// How the pages look, and where they may lead.
pub(super) fn look(settings: &Settings) -> Result<Look, BuildError> {
    origins_only("pages.return_origins", &settings.pages.return_origins)?;
    let pages = &settings.pages;
    if let Some(path) = &pages.after_sign_in
        && page::destination(path, &pages.return_origins).is_none()
    {
        return Err(setting(
            "pages.after_sign_in",
            format!("`{path}` is no path such as /home, and no address of pages.return_origins"),
        ));
    }
    Look::of(settings).map_err(|(key, problem)| setting(key, problem))
}

pub(super) fn cors(settings: &Settings) -> Result<Option<CorsLayer>, BuildError> {
    use http::Method;
    use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
    let origins = &settings.http.allowed_origins;
    if origins.is_empty() {
        return Ok(None);
    }
    origins_only("http.allowed_origins", origins)?;
    let origins: Vec<HeaderValue> = origins
        .iter()
        .filter_map(|text| HeaderValue::from_str(text).ok())
        .collect();
    Ok(Some(
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins))
            .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::DELETE])
            .allow_headers([AUTHORIZATION, CONTENT_TYPE])
            .expose_headers([
                RETRY_AFTER,
                WWW_AUTHENTICATE,
                http::HeaderName::from_static("x-request-id"),
            ])
            .max_age(Duration::from_secs(3600)),
    ))
}
