//! What every route needs: bodies read with all their faults named, problem documents, the caller's
//! address, and the one middleware around all of it.

pub mod address;
pub mod body;
pub mod cookie;
pub mod input;
pub mod limit;
pub mod observe;
pub mod page;
pub mod problem;

pub use address::Origin;
pub use body::{Body, Fields};
pub use input::Input;
pub use problem::Problem;
