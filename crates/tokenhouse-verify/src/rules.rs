//! What a verifier asks of a token once its signature is known to be good.

use std::sync::Arc;

use crate::{Claims, Rejection, header::plain_type};

/// The rules of one verifier. `None` stands for a check that was given up by name in the builder.
pub(crate) struct Rules {
    pub(crate) issuer: Option<String>,
    pub(crate) audiences: Option<Vec<String>>,
    pub(crate) token_types: Option<TokenTypes>,
    pub(crate) require_subject: bool,
    pub(crate) required: Vec<&'static str>,
    pub(crate) leeway: u64,
}

/// The kinds of token that are accepted, spelled plainly.
pub(crate) struct TokenTypes {
    pub(crate) named: Vec<Arc<str>>,
    pub(crate) absent: bool,
}

impl Rules {
    pub(crate) fn check_type(&self, typ: Option<&str>) -> Result<Option<Arc<str>>, Rejection> {
        let plain = typ.map(plain_type);
        match (&self.token_types, plain) {
            (None, plain) => Ok(plain.map(Into::into)),
            (Some(types), None) => types.absent.then_some(None).ok_or(Rejection::TokenType),
            (Some(types), Some(plain)) => {
                let known = types.named.iter().find(|name| ***name == *plain);
                known
                    .map(|name| Some(Arc::clone(name)))
                    .ok_or(Rejection::TokenType)
            }
        }
    }

    pub(crate) fn check_claims(&self, claims: &Claims) -> Result<(), Rejection> {
        if let Some(issuer) = &self.issuer {
            let claimed = claims.iss.as_ref().ok_or(Rejection::Missing("iss"))?;
            // Byte for byte: nothing that normalises URLs takes part in the decision.
            if claimed != issuer {
                return Err(Rejection::Issuer);
            }
        }
        if let Some(audiences) = &self.audiences {
            if claims.aud.is_empty() {
                return Err(Rejection::Missing("aud"));
            }
            if !audiences.iter().any(|audience| claims.aud.contains(audience)) {
                return Err(Rejection::Audience);
            }
        }
        if self.require_subject && claims.sub.as_ref().ok_or(Rejection::Missing("sub"))?.is_empty() {
            return Err(Rejection::Subject);
        }
        match self.required.iter().find(|name| !claims.contains(name)) {
            Some(name) => Err(Rejection::Missing(name)),
            None => Ok(()),
        }
    }

    /// From when until when (exclusive) the token is accepted.
    pub(crate) fn window(&self, claims: &Claims) -> (u64, u64) {
        let begin = claims.nbf.max(claims.iat).unwrap_or(0);
        (
            begin.saturating_sub(self.leeway),
            claims.exp.saturating_add(self.leeway),
        )
    }
}
