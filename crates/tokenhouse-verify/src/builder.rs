//! How a verifier is told what to expect. Every check is on until it is given up by name.

use std::time::Duration;

use thiserror::Error;

use crate::{
    KeySet, RevocationSet, Verifier,
    header::plain_type,
    rules::{Rules, TokenTypes},
};

/// The longest leeway that may be asked for.
pub const MAX_LEEWAY: Duration = Duration::from_secs(60);

const DEFAULT_LEEWAY: Duration = Duration::from_secs(5);
const DEFAULT_CACHE_CAPACITY: usize = 10_000;

/// Why a verifier cannot be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BuildError {
    /// A check was neither configured nor given up.
    #[error("the verifier needs {0}, or the explicit wish to do without")]
    Missing(&'static str),
    /// A check was both configured and given up.
    #[error("the verifier was given {0} and also told to do without")]
    Contradiction(&'static str),
    /// An empty name would match a token's empty claim.
    #[error("{0} is empty")]
    Empty(&'static str),
    /// More than [`MAX_LEEWAY`].
    #[error("the leeway is longer than 60 seconds")]
    Leeway,
}

/// Collects what a [`Verifier`] expects; [`Verifier::builder`] begins one.
#[derive(Debug)]
#[must_use]
pub struct VerifierBuilder {
    keys: Option<KeySet>,
    issuer: Option<String>,
    without_issuer: bool,
    audiences: Vec<String>,
    without_audience: bool,
    token_types: Vec<String>,
    absent_token_type: bool,
    any_token_type: bool,
    without_subject: bool,
    required: Vec<&'static str>,
    leeway: Duration,
    cache_capacity: usize,
    revocations: RevocationSet,
}

impl Default for VerifierBuilder {
    fn default() -> Self {
        Self {
            keys: None,
            issuer: None,
            without_issuer: false,
            audiences: Vec::new(),
            without_audience: false,
            token_types: Vec::new(),
            absent_token_type: false,
            any_token_type: false,
            without_subject: false,
            required: Vec::new(),
            leeway: DEFAULT_LEEWAY,
            cache_capacity: DEFAULT_CACHE_CAPACITY,
            revocations: RevocationSet::new(),
        }
    }
}

impl VerifierBuilder {
    /// The keys, all of them the issuer's: a key found here speaks for [`issuer`](Self::issuer) (RFC 8725 §3.8).
    pub fn keys(mut self, keys: KeySet) -> Self {
        self.keys = Some(keys);
        self
    }

    /// The `iss` that every token must bear, byte for byte.
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Accept any `iss`, and none. Risk: with keys that several issuers share (one secret for staging and
    /// production), a token of one is good at the other.
    pub fn without_issuer(mut self) -> Self {
        self.without_issuer = true;
        self
    }

    /// A name that `aud` may hold; call it again for more. One match suffices.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Accept any `aud`, and none. Risk: a token that a user gave to one service can be replayed by that service
    /// at this one (RFC 8725 §3.9).
    pub fn without_audience(mut self) -> Self {
        self.without_audience = true;
        self
    }

    /// A `typ` that is accepted, `at+jwt` for access tokens; call it again for more.
    pub fn token_type(mut self, token_type: impl AsRef<str>) -> Self {
        self.token_types.push(plain_type(token_type.as_ref()));
        self
    }

    /// Accept tokens without `typ` beside the named types. Risk: whatever else these keys sign without a type
    /// passes as this kind of token; make sure that they sign nothing else.
    pub fn absent_token_type(mut self) -> Self {
        self.absent_token_type = true;
        self
    }

    /// Accept any `typ`, and none. Risk: an ID token or a logout token of the same issuer passes as an access token
    /// (RFC 8725 §3.11) unless its audience differs.
    pub fn any_token_type(mut self) -> Self {
        self.any_token_type = true;
        self
    }

    /// Accept tokens without `sub`. Risk: whoever reads "no subject" as some default user lets strangers in.
    pub fn without_subject(mut self) -> Self {
        self.without_subject = true;
        self
    }

    /// Refuse tokens that lack this claim, whatever its value.
    pub fn require_claim(mut self, name: &'static str) -> Self {
        self.required.push(name);
        self
    }

    /// The whole of RFC 9068: `typ` is `at+jwt`, and `client_id`, `iat` and `jti` must be there too. A Tokenhouse leaves
    /// `client_id` out where a user logged in without an OAuth client.
    pub fn rfc9068(self) -> Self {
        self.token_type("at+jwt")
            .require_claim("client_id")
            .require_claim("iat")
            .require_claim("jti")
    }

    /// How far the issuer's clock may be off: 5 s where nothing is said, 60 s at most. Fractions do not count.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// About how many verified tokens are remembered, 10 000 where nothing is said; 0 remembers none. An entry takes
    /// about a kilobyte.
    pub fn cache_capacity(mut self, tokens: usize) -> Self {
        self.cache_capacity = tokens;
        self
    }

    /// Share this set of revoked ids instead of beginning an own one.
    pub fn revocations(mut self, revocations: RevocationSet) -> Self {
        self.revocations = revocations;
        self
    }

    /// The verifier, or what is missing.
    pub fn build(self) -> Result<Verifier, BuildError> {
        if self.leeway > MAX_LEEWAY {
            return Err(BuildError::Leeway);
        }
        settle("an issuer", self.issuer.is_some(), self.without_issuer)?;
        settle("an audience", !self.audiences.is_empty(), self.without_audience)?;
        let some_token_type = !self.token_types.is_empty() || self.absent_token_type;
        settle("a token type", some_token_type, self.any_token_type)?;
        refuse_empty("the issuer", self.issuer.iter())?;
        refuse_empty("an audience", self.audiences.iter())?;
        refuse_empty("a token type", self.token_types.iter())?;
        let keys = self.keys.ok_or(BuildError::Missing("keys"))?;
        let rules = Rules {
            issuer: self.issuer,
            audiences: (!self.without_audience).then_some(self.audiences),
            token_types: (!self.any_token_type).then(|| TokenTypes {
                named: self.token_types.into_iter().map(Into::into).collect(),
                absent: self.absent_token_type,
            }),
            require_subject: !self.without_subject,
            required: self.required,
            leeway: self.leeway.as_secs(),
        };
        Ok(Verifier::assemble(
            rules,
            keys,
            self.cache_capacity,
            self.revocations,
        ))
    }
}

fn settle(what: &'static str, given: bool, given_up: bool) -> Result<(), BuildError> {
    match (given, given_up) {
        (true, true) => Err(BuildError::Contradiction(what)),
        (false, false) => Err(BuildError::Missing(what)),
        _ => Ok(()),
    }
}

fn refuse_empty<'a>(
    what: &'static str,
    mut names: impl Iterator<Item = &'a String>,
) -> Result<(), BuildError> {
    if names.any(String::is_empty) {
        Err(BuildError::Empty(what))
    } else {
        Ok(())
    }
}
