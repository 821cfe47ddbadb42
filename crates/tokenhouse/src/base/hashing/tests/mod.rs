//! What the parts promise together.

mod foreign;
mod pool;
mod refused;
mod verdicts;
