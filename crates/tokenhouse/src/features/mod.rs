//! The rooms of the house: delete a folder and its line here, and the rest compiles.

pub mod email;
pub mod email_code;
pub mod magic;
pub mod passkey;
pub mod password;
pub mod totp;

use crate::kernel::Feature;

/// Every feature there is.
pub(crate) const ALL: &[Feature] = &[
    password::FEATURE,
    email::FEATURE,
    magic::FEATURE,
    totp::FEATURE,
    passkey::FEATURE,
    email_code::FEATURE,
];
