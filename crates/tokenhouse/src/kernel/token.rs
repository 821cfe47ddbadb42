//! Minting access tokens (RFC 9068), and the answer that carries them (RFC 6749 §5.1).

use std::borrow::Cow;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use jiff::Timestamp;
use serde_json::{Map, Value};
use tokenhouse_verify::{Audience, Claims, MAX_TOKEN_LENGTH, header_segment_with_session};

use super::account::User;
use super::house::Tokenhouse;
use super::session::Session;
use crate::base::clock::after;
use crate::base::error::Error;
use crate::base::secret::Secret;
use crate::base::settings::Settings;

/// Claims that only the house itself writes: RFC 9068 §2.2, RFC 7519 §4.1 and those that confirm a key or
/// an actor, which a resource server would believe.
pub const RESERVED_CLAIMS: &[&str] = &[
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "sid",
    "client_id",
    "scope",
    "cnf",
    "act",
    "may_act",
    "auth_time",
    "acr",
    "amr",
    "azp",
    "nonce",
    "events",
    "token_type",
    "typ",
];

/// What a login or a refresh gives to the client.
#[derive(Clone, Debug)]
pub struct TokenSet {
    /// A JWT that resource servers check by themselves.
    pub access_token: Secret,
    /// How long it lives, in seconds.
    pub expires_in: u64,
    /// Good for one refresh.
    pub refresh_token: Secret,
    /// What the tokens may be used for, separated by spaces.
    pub scope: String,
}

/// When every access token minted until `minted` has died, wherever it is: with a day's margin, for clocks and for the
/// longer lifetimes that the settings may have had before.
pub(crate) fn all_dead(settings: &Settings, minted: Timestamp) -> Timestamp {
    after(minted, margin(settings) + *settings.tokens.leeway)
}

/// How long a token is taken to live where nothing may be forgotten too early.
pub(crate) fn margin(settings: &Settings) -> Duration {
    const MARGIN: Duration = Duration::from_secs(86_400);
    (*settings.tokens.access_lifetime).max(MARGIN)
}

impl Tokenhouse {
    /// The tokens of `session` as it stands.
    pub(crate) fn mint(&self, user: &User, session: &Session, now: Timestamp) -> Result<TokenSet, Error> {
        let settings = &self.0.settings;
        let lifetime = settings.tokens.access_lifetime.as_secs();
        let issued = u64::try_from(now.as_second()).unwrap_or(0);
        let unused = after(session.rotated_at, *settings.sessions.idle_lifetime);
        let session_end = session.expires_at.min(unused);
        let mut extra = self.custom_claims(user, session);
        if !user.roles.is_empty() {
            extra.insert("roles".to_owned(), user.roles.clone().into());
        }
        let claims = Claims {
            iss: Some(
                settings
                    .tokens
                    .issuer
                    .as_deref()
                    .unwrap_or(&settings.public_url)
                    .to_owned(),
            ),
            sub: Some(user.id.to_string()),
            aud: Audience::from(
                settings
                    .tokens
                    .audience
                    .as_deref()
                    .unwrap_or(&settings.public_url),
            ),
            // A token does not outlive its session, which ends early if it is not used.
            exp: (issued + lifetime).min(u64::try_from(session_end.as_second()).unwrap_or(0)),
            iat: Some(issued),
            nbf: None,
            jti: Some(self.0.entropy.uuid_v7(now)?.to_string()),
            sid: Some(session.id.to_string()),
            client_id: session.client_id.clone(),
            scope: Some(session.scope.clone()),
            extra,
        };
        let expires_in = claims.exp.saturating_sub(issued);
        let latest = claims.exp;
        let claims = match &self.0.hooks.payload {
            Some(payload) => Claims {
                exp: latest,
                ..payload(user, claims)
            },
            None => claims,
        };
        let ring = self.0.keys.ring();
        let header = match &claims.sid {
            Some(_) => Cow::Borrowed(&ring.header),
            // The application's payload has no room for the session; the header has, and is signed too.
            None => Cow::Owned(header_segment_with_session(
                ring.active.algorithm(),
                ring.active.kid(),
                "at+jwt",
                &session.id.to_string(),
            )),
        };
        let payload = serde_json::to_vec(&claims).map_err(Error::internal)?;
        let mut token = String::with_capacity(header.len() + payload.len() * 4 / 3 + 360);
        token.push_str(&header);
        token.push('.');
        BASE64URL_NOPAD.encode_append(&payload, &mut token);
        let signature = ring.active.sign(token.as_bytes()).map_err(Error::internal)?;
        token.push('.');
        BASE64URL_NOPAD.encode_append(&signature, &mut token);
        if token.len() > MAX_TOKEN_LENGTH {
            return Err(Error::internal(
                "the claims make an access token longer than any verifier reads",
            ));
        }
        Ok(TokenSet {
            access_token: Secret::from(token),
            expires_in,
            refresh_token: self.0.refresh_tokens.derive(session),
            scope: session.scope.clone(),
        })
    }

    /// The settings' claims, then the application's, which know the user, then those of the login; reserved names are
    /// left out.
    fn custom_claims(&self, user: &User, session: &Session) -> Map<String, Value> {
        let settings = self
            .0
            .settings
            .tokens
            .claims
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()));
        let application = self
            .0
            .hooks
            .claims
            .as_ref()
            .map(|claims| claims(user))
            .unwrap_or_default();
        settings
            .chain(application)
            .chain(session.claims.clone())
            .filter(|(name, _)| !RESERVED_CLAIMS.contains(&name.as_str()))
            .collect()
    }
}
