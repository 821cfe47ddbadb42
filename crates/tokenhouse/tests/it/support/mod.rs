//! What the tests stand on.

pub mod api;
pub mod authenticator;
pub mod browser;
pub mod doors;
pub mod postgres;
pub mod proxy;
#[allow(dead_code, reason = "the program's tests use it too")]
pub mod smtp;

use tempfile::TempDir;
use tokenhouse::base::store::{EngineKind, Store, StoreOptions};

/// A database of its own for one test, gone with it.
pub struct Place {
    url: String,
    _kept: Kept,
}

#[allow(dead_code, reason = "held until the test ends")]
enum Kept {
    Folder(TempDir),
    Database(postgres::Database),
}

impl Place {
    /// An SQLite file that does not exist yet.
    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("house.db").display());
        Self {
            url,
            _kept: Kept::Folder(folder),
        }
    }

    /// An empty PostgreSQL database, or nothing where there is no PostgreSQL.
    pub fn postgres() -> Option<Self> {
        let database = postgres::cluster()?.database();
        Some(Self {
            url: database.url().to_owned(),
            _kept: Kept::Database(database),
        })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn engine(&self) -> EngineKind {
        match self._kept {
            Kept::Folder(_) => EngineKind::Sqlite,
            Kept::Database(_) => EngineKind::Postgres,
        }
    }

    pub async fn open(&self) -> Store {
        self.open_with(StoreOptions::default()).await
    }

    pub async fn open_with(&self, options: StoreOptions) -> Store {
        Store::open(&self.url, options).await.unwrap()
    }
}

/// Makes two tests of one body: `name::sqlite` and `name::postgres`.
#[macro_export]
macro_rules! on_both_engines {
    ($($(#[$doc:meta])* async fn $name:ident($place:ident: &Place) $body:block)*) => {$(
        $(#[$doc])*
        mod $name {
            use super::*;

            async fn test($place: &$crate::support::Place) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                test(&$crate::support::Place::sqlite()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                if let Some(place) = $crate::support::Place::postgres() {
                    test(&place).await;
                }
            }
        }
    )*};
}
