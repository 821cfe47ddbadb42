//! The rooms of the house: delete a folder and its line here, and the rest compiles.

pub mod email;
pub mod magic;
pub mod password;

use crate::kernel::Feature;

/// Every feature there is.
pub(crate) const ALL: &[Feature] = &[password::FEATURE, email::FEATURE, magic::FEATURE];
