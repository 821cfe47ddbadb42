//! What the parts can do without Tokenhouse: the limits.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use rusqlite::Connection;

/// Argon2id with the house's default costs, on as many threads as cores and with memory used again. Hashes per
/// second, and milliseconds of CPU for one.
pub fn hashing(length: Duration) -> anyhow::Result<(f64, f64)> {
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let hasher = || -> anyhow::Result<(f64, f64, f64)> {
        let parameters = Params::new(19_456, 2, 1, Some(32)).map_err(|error| anyhow::anyhow!("{error}"))?;
        let mut memory = vec![Block::default(); parameters.block_count()];
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters);
        let mut hash = [0; 32];
        // As nice as the house's hashing threads are, so that other work on the machine slows both alike.
        rustix::process::setpriority_process(None, rustix::process::getpriority_process(None)? + 10)?;
        let mut count = 0.0;
        let (started, cpu) = (Instant::now(), thread_seconds());
        while started.elapsed() < length {
            argon2
                .hash_password_into_with_memory(
                    b"correct horse battery staple",
                    b"0123456789abcdef",
                    &mut hash,
                    &mut memory,
                )
                .map_err(|error| anyhow::anyhow!("{error}"))?;
            count += 1.0;
        }
        Ok((count, started.elapsed().as_secs_f64(), thread_seconds() - cpu))
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(hasher)).collect();
        let (mut rate, mut hashes, mut cpu) = (0.0, 0.0, 0.0);
        for thread in running {
            let (count, elapsed, used) = thread.join().expect("a hashing thread")?;
            rate += count / elapsed;
            hashes += count;
            cpu += used;
        }
        Ok((rate, cpu / hashes * 1000.0))
    })
}

fn thread_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    #[allow(clippy::cast_precision_loss, reason = "hours of nanoseconds fit")]
    let seconds = time.tv_sec as f64 + time.tv_nsec as f64 / 1e9;
    seconds
}

/// Durable updates of one row per second, one transaction after the other: what SQLite itself does on this disk,
/// with the table of sessions that the house has, all of its indexes, and 1000 rows.
pub fn sqlite_updates(folder: &Path, length: Duration) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir_in(folder)?;
    let connection = Connection::open(folder.path().join("limit.db"))?;
    let _: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch(include_str!(
        "../../crates/tokenhouse/migrations/sqlite/0001_house.sql"
    ))?;
    connection.execute_batch(
        "PRAGMA foreign_keys = OFF;
         WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < 999)
         INSERT INTO sessions (id, user_id, scope, method, generation, created_at, rotated_at, expires_at)
         SELECT CAST(printf('%016d', n) AS BLOB), CAST(printf('%016d', n) AS BLOB), '', 'password', 0, 0, 0, 9e15
         FROM numbers;",
    )?;
    let mut update = connection.prepare(
        "UPDATE sessions SET generation = generation + 1, rotated_at = ?1
         WHERE id = ?2 AND revoked_at IS NULL AND expires_at > ?1 RETURNING user_id, generation",
    )?;
    let started = Instant::now();
    let mut count = 0_u32;
    while started.elapsed() < length {
        let id = format!("{:016}", count.wrapping_mul(7919) % 1000);
        let _: i64 = update.query_row((i64::from(count), id.as_bytes()), |row| row.get(1))?;
        count += 1;
    }
    Ok(f64::from(count) / started.elapsed().as_secs_f64())
}

/// Pages of 4 KiB written to the disk for good per second, one after the other.
pub fn disk_flushes(folder: &Path, length: Duration) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir_in(folder)?;
    let file = File::create(folder.path().join("limit"))?;
    let page = [7; 4096];
    for place in 0..256 {
        file.write_all_at(&page, place * 4096)?;
    }
    file.sync_all()?;
    let started = Instant::now();
    let mut count = 0_u32;
    while started.elapsed() < length {
        file.write_all_at(&page, u64::from(count % 256) * 4096)?;
        file.sync_data()?;
        count += 1;
    }
    Ok(f64::from(count) / started.elapsed().as_secs_f64())
}
