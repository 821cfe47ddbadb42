//! Moving in: the tutorial's `users` rows, with the passwords their users know.

use anyhow::Context;
use serde::Deserialize;
use tokenhouse::{Code, Email, Error, NewUser, Tokenhouse, User, Username, salted_bcrypt};

/// A row of the tutorial's `users` table, as PostgreSQL's `row_to_json` writes it.
#[derive(Deserialize)]
pub struct Row {
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

/// Opens an account for the row. Its hash, bcrypt of `password + salt`, is understood as it is and becomes Argon2id
/// when the user logs in.
///
/// # Errors
/// Where a name is taken or no name, or the hash is none.
pub async fn import(house: &Tokenhouse, row: &Row) -> anyhow::Result<User> {
    let new = NewUser {
        email: Some(Email::parse(&row.email)?),
        username: Some(Username::unruled(&row.username)?),
        email_verified: row.email_verified,
        is_superuser: row.is_superuser,
        ..NewUser::default()
    };
    let hash = salted_bcrypt(&row.password, &row.salt)?;
    let user = house.create_user(&new, Some(&hash)).await?;
    if row.is_active {
        return Ok(user);
    }
    Ok(house.set_user_active(user.id, false).await?)
}

/// Imports one row a line, and says how many. Whose address is there already is left as they are, and named on the terminal,
/// so that an import can be run again.
///
/// # Errors
/// At the first row that cannot be imported; those before it are.
pub async fn import_lines(house: &Tokenhouse, lines: &str) -> anyhow::Result<usize> {
    let mut count = 0;
    for (index, line) in lines
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let number = index + 1;
        let row: Row = serde_json::from_str(line).with_context(|| format!("line {number}"))?;
        match import(house, &row).await {
            Ok(_) => count += 1,
            Err(error) if is_there_already(&error) => {
                eprintln!("line {number}: {} is there already", row.email)
            }
            Err(error) => return Err(error.context(format!("line {number}"))),
        }
    }
    Ok(count)
}

fn is_there_already(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<Error>()
        .is_some_and(|error| error.code() == Code::EmailTaken)
}
