//! The rooms of the house: each can be removed, and none knows another.

pub mod password;
