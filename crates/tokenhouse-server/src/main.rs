//! The command `tokenhouse`.
fn main() {}
