//! A copy of the database file while the house works on it.

use std::path::{Path, PathBuf};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::{Sqlite, Still, StoreError, run};
use crate::base::file::NewFile;

/// Pages between two reports.
const PAGES: i32 = 1000;

/// What SQLite may leave beside the copy when the disk is full.
struct Beside(PathBuf);

impl Drop for Beside {
    fn drop(&mut self) {
        for ending in ["-journal", "-wal", "-shm"] {
            let mut name = self.0.as_os_str().to_owned();
            name.push(ending);
            // Hardly ever is there one.
            let _ = std::fs::remove_file(PathBuf::from(name));
        }
    }
}

impl Sqlite {
    /// Copies the database as it is now to `path`, where nothing may be. It appears there whole, checked and on the
    /// disk, or not at all. Gives its length in bytes.
    pub(in super::super) fn backup(
        &self,
        path: &Path,
        progress: &mut (dyn FnMut(u64, u64) + Send),
    ) -> Result<u64, StoreError> {
        let unwritten = |error: std::io::Error| StoreError::File(error.to_string());
        let file = NewFile::create(path).map_err(unwritten)?;
        // The reading transaction stays open, so that the copy shows one moment and never begins anew.
        let Still(source) = self.still()?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let told = |error: rusqlite::Error| match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => {
                StoreError::File(format!("{} cannot be written: the disk is full", path.display()))
            }
            _ => run::outside(&error),
        };
        // Dropped before the file itself.
        let _beside = Beside(file.beside().to_owned());
        let mut copy = Connection::open_with_flags(file.beside(), flags).map_err(told)?;
        // A copy that a crash leaves behind is not used, so that it needs no journal; it is flushed once, at its end.
        copy.pragma_update(None, "synchronous", "OFF").map_err(told)?;
        copy.pragma_update_and_check(None, "journal_mode", "MEMORY", |_| Ok(()))
            .map_err(told)?;
        {
            let backup = Backup::new(&source, &mut copy).map_err(told)?;
            loop {
                let step = backup.step(PAGES).map_err(told)?;
                let counted = backup.progress();
                let total = u64::try_from(counted.pagecount).unwrap_or_default();
                let left = u64::try_from(counted.remaining).unwrap_or_default();
                progress(total.saturating_sub(left), total);
                match step {
                    StepResult::Done => break,
                    StepResult::More => {}
                    _ => {
                        return Err(StoreError::unavailable(
                            "another process keeps the database locked",
                        ));
                    }
                }
            }
        }
        drop(source);
        // One file, without a log beside it.
        copy.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))
            .map_err(told)?;
        let damage = |sql: &str| -> Result<Option<String>, StoreError> {
            let first: rusqlite::Result<String> = copy.query_row(sql, [], |row| row.get(0));
            match first {
                Ok(verdict) if verdict == "ok" => Ok(None),
                Ok(verdict) => Ok(Some(verdict)),
                Err(rusqlite::Error::QueryReturnedNoRows) => Ok(None),
                Err(error) => Err(told(error)),
            }
        };
        for sql in [
            "PRAGMA integrity_check(1)",
            "SELECT 'a row of ' || \"table\" || ' refers to one that is not there' FROM pragma_foreign_key_check LIMIT 1",
        ] {
            if let Some(verdict) = damage(sql)? {
                return Err(StoreError::File(format!(
                    "the database is damaged, so no copy of it was kept: {verdict}"
                )));
            }
        }
        copy.close().map_err(|(_, error)| told(error))?;
        let length = file.beside().metadata().map_err(unwritten)?.len();
        file.finish().map_err(unwritten)?;
        Ok(length)
    }
}
