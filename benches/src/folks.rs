//! People who have an account and are logged in, and a crowd that only lies in the database.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use rusqlite::{Connection, params};

use crate::load::{self, Load, Pace, Script};

pub const PASSWORD: &str = "correct horse battery staple";

/// Somebody with an account and a session.
#[derive(Clone)]
pub struct Person {
    pub email: String,
    pub access: String,
    pub refresh: String,
}

/// The value of a text member; none of ours has an escape in it.
pub fn member(body: &[u8], name: &str) -> Option<String> {
    let text = str::from_utf8(body).ok()?;
    let from = text.find(&format!("\"{name}\":\""))? + name.len() + 4;
    let to = from + text[from..].find('"')?;
    Some(text[from..to].to_owned())
}

/// Signs up one after the other, until there are enough.
pub struct SigningUp {
    numbers: Arc<AtomicUsize>,
    email: String,
    pub people: Vec<Person>,
}

impl SigningUp {
    pub fn scripts(connections: usize, from: usize) -> Vec<Self> {
        let numbers = Arc::new(AtomicUsize::new(from));
        (0..connections)
            .map(|_| Self {
                numbers: Arc::clone(&numbers),
                email: String::new(),
                people: Vec::new(),
            })
            .collect()
    }
}

impl Script for SigningUp {
    fn ask(&mut self, out: &mut Vec<u8>) {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        self.email = format!("person{number}@example.org");
        let body = serde_json::json!({
            "email": self.email,
            "password": PASSWORD,
            "profile": { "name": format!("Person {number}"), "plan": "free" },
        });
        out.extend(load::post("/auth/signup", &body.to_string()));
    }

    fn hear(&mut self, status: u16, body: &[u8]) {
        if status != 201 {
            return;
        }
        let (Some(access), Some(refresh)) = (member(body, "access_token"), member(body, "refresh_token"))
        else {
            return;
        };
        self.people.push(Person {
            email: self.email.clone(),
            access,
            refresh,
        });
    }
}

/// Lets people sign up over 16 connections for `length`.
pub async fn sign_up(
    address: SocketAddr,
    from: usize,
    length: Duration,
) -> anyhow::Result<(Load, Vec<Person>)> {
    let (load, scripts) = load::run(address, SigningUp::scripts(16, from), Pace::Closed, length).await?;
    let people = scripts.into_iter().flat_map(|script| script.people).collect();
    Ok((load.all(201)?, people))
}

/// At least `count` people, in rounds of sign-ups.
pub async fn gather(address: SocketAddr, count: usize) -> anyhow::Result<Vec<Person>> {
    let mut people = Vec::new();
    for _ in 0..100 {
        if people.len() >= count {
            return Ok(people);
        }
        let (_, more) = sign_up(address, people.len(), Duration::from_secs(1)).await?;
        ensure!(!more.is_empty(), "nobody could sign up");
        people.extend(more);
    }
    anyhow::bail!("signing {count} people up took too long")
}

/// Lays `count` accounts with a session each between those that are there, as if all had signed up in turn:
/// whoever asks then meets a tree as deep, and pages as far apart, as in a house of that size.
pub fn crowd(folder: &Path, count: usize) -> anyhow::Result<()> {
    let mut connection = Connection::open(folder.join("bench.db"))?;
    // What is lost when the machine stops now is made again.
    connection.pragma_update(None, "synchronous", "OFF")?;
    let transaction = connection.transaction()?;
    let bounds = "SELECT MIN(hex(substr(id, 1, 6))), MAX(hex(substr(id, 1, 6))) FROM users";
    let (first, last): (String, String) =
        transaction.query_row(bounds, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (first, last) = (i64::from_str_radix(&first, 16)?, i64::from_str_radix(&last, 16)?);
    let span = u128::try_from(last - first).context("time ran backwards")?;
    let count = u128::try_from(count)?;
    {
        let mut user = transaction.prepare(
            "INSERT INTO users (id, email, email_key, is_superuser, roles, profile, created_at, updated_at, epoch)
             VALUES (?1, ?2, ?2, FALSE, '[]', '{\"name\":\"One of many\",\"plan\":\"free\"}', ?3, ?3, 0)",
        )?;
        let mut session = transaction.prepare(
            "INSERT INTO sessions (id, user_id, scope, method, generation, created_at, rotated_at, expires_at)
             VALUES (?1, ?2, '', 'password', 0, ?3, ?3, ?3 + 31536000000000)",
        )?;
        for number in 0..count {
            let millisecond = u128::try_from(first)? + span * number / count;
            // Version 7; what is random in a real one is a number multiplied by an odd constant here.
            let scattered = number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835) >> 66;
            let id = (millisecond << 80) | (7 << 76) | (2 << 62) | scattered;
            let microsecond = i64::try_from(millisecond * 1000)?;
            user.execute(params![
                id.to_be_bytes(),
                format!("crowd{number}@example.org"),
                microsecond
            ])?;
            session.execute(params![(id ^ 1).to_be_bytes(), id.to_be_bytes(), microsecond])?;
        }
    }
    transaction.commit()?;
    let _: i64 = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    Ok(())
}
