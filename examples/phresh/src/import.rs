//! Moving in: the tutorial's `users` rows, with the passwords their users know.

use anyhow::{Context, ensure};
use serde::Deserialize;
use tokenhouse::{ImportOutcome, Tokenhouse, UserToImport, salted_bcrypt};

/// Rows of one transaction.
const BATCH: usize = 500;

/// A row of the tutorial's `users` table, as PostgreSQL's `row_to_json` writes it.
#[derive(Deserialize)]
struct Row {
    email: String,
    username: String,
    password: String,
    salt: String,
    #[serde(default)]
    email_verified: bool,
    #[serde(default)]
    is_superuser: bool,
    #[serde(default = "active")]
    is_active: bool,
}

fn active() -> bool {
    true
}

/// The hash, bcrypt of `password + salt`, is understood as it is and becomes Argon2id when the user logs in.
fn read(line: &str) -> anyhow::Result<UserToImport> {
    let row: Row = serde_json::from_str(line)?;
    Ok(UserToImport {
        email: Some(row.email),
        username: Some(row.username),
        password_hash: Some(salted_bcrypt(&row.password, &row.salt)?),
        email_verified: row.email_verified,
        is_superuser: row.is_superuser,
        is_active: row.is_active,
        ..UserToImport::default()
    })
}

/// Imports one row a line, and says how many. Whose names are there already is left as they are, and named on the
/// terminal, so that an import can be run again.
///
/// # Errors
/// Where a line is no row, or a row no account: each is named, and the others are imported.
pub async fn import_lines(house: &Tokenhouse, lines: &str) -> anyhow::Result<usize> {
    let mut import = house.import_users();
    let (mut count, mut refused) = (0, 0);
    let lines: Vec<(usize, &str)> = lines
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .collect();
    for batch in lines.chunks(BATCH) {
        let users: anyhow::Result<Vec<_>> = batch
            .iter()
            .map(|(index, line)| read(line).with_context(|| format!("line {}", index + 1)))
            .collect();
        for ((index, _), outcome) in batch.iter().zip(import.batch(users?).await?) {
            match outcome {
                ImportOutcome::Imported(_) => count += 1,
                ImportOutcome::Taken => eprintln!("line {}: is there already", index + 1),
                ImportOutcome::Refused(reason) => {
                    eprintln!("line {}: {reason}", index + 1);
                    refused += 1;
                }
            }
        }
    }
    ensure!(refused == 0, "{refused} rows were refused, {count} imported");
    Ok(count)
}
