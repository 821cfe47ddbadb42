//! Check access tokens.
