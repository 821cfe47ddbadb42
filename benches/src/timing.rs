//! What a stranger learns with a clock: requests whose answers tell nothing about an account, asked in turn with one
//! account and another, one after the other on one connection, and the difference with its 99 % interval.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::ensure;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::folks::{self, PASSWORD};
use crate::load::{Connection, post};
use crate::options::Options;
use crate::postgres::Postgres;
use crate::process::{Process, sqlite};
use crate::report::{Goal, Report};

/// How often answers are drawn again, to see how far what is told of them may be off.
const DRAWS: usize = 2000;

/// What is sent in a round.
type Body = Box<dyn Fn(usize) -> String>;

/// What is asked, which must take as long whoever it is asked about.
struct Question {
    what: &'static str,
    path: &'static str,
    status: u16,
    /// The first is nobody's account, which the others are compared with.
    about: Vec<(&'static str, Body)>,
}

fn about(
    name: &'static str,
    body: impl Fn(usize) -> serde_json::Value + 'static,
) -> (&'static str, Box<dyn Fn(usize) -> String>) {
    (name, Box::new(move |number| body(number).to_string()))
}

/// Nobody has this one.
fn nobody(number: usize) -> String {
    // As long as those that there are, and never asked about before.
    format!("nobody{number}@example.org")
}

/// The people are of four kinds in turn.
#[derive(Clone, Copy)]
enum Kind {
    Verified,
    Unverified,
    Disabled,
    WithSecondFactor,
}

/// The address of one of this kind.
fn one(kind: Kind, number: usize, people: usize) -> String {
    format!("person{}@example.org", (number * 4 + kind as usize) % people)
}

fn wrong(email: &str) -> serde_json::Value {
    serde_json::json!({ "email": email, "password": "incorrect horse battery staple" })
}

fn logins(people: usize, status: u16, what: &'static str) -> Question {
    let of = move |kind| move |number| wrong(&one(kind, number, people));
    Question {
        what,
        path: "/auth/login",
        status,
        about: vec![
            about("no account", |number| wrong(&nobody(number))),
            about("an account", of(Kind::Verified)),
            about("an unverified one", of(Kind::Unverified)),
            about("a disabled one", of(Kind::Disabled)),
            about("one with a second factor", of(Kind::WithSecondFactor)),
        ],
    }
}

fn mails(people: usize, what: &'static str, path: &'static str) -> Question {
    let to = move |kind| move |number| serde_json::json!({ "email": one(kind, number, people) });
    Question {
        what,
        path,
        status: 202,
        about: vec![
            about(
                "no account",
                |number| serde_json::json!({ "email": nobody(number) }),
            ),
            about("an account", to(Kind::Verified)),
            about("an unverified one", to(Kind::Unverified)),
            about("a disabled one", to(Kind::Disabled)),
        ],
    }
}

fn sign_ups(people: usize) -> Question {
    let with = |email: String| serde_json::json!({ "email": email, "password": PASSWORD });
    Question {
        what: "sign-up",
        path: "/auth/signup",
        status: 202,
        about: vec![
            about("a free address", move |number| {
                with(format!("someone{number}@example.org"))
            }),
            about("a taken one", move |number| {
                with(one(Kind::Verified, number, people))
            }),
        ],
    }
}

/// Small numbers that look random and are the same each time (xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap_or(0)
    }
}

/// Milliseconds of each answer but the first few, for each of those asked about.
async fn ask(
    address: SocketAddr,
    question: &Question,
    times: usize,
    warm_up: usize,
) -> anyhow::Result<Vec<Vec<f64>>> {
    let mut connection = Connection::open(address).await?;
    let mut took = vec![Vec::with_capacity(times); question.about.len()];
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    for number in 0..times {
        let mut turn: Vec<usize> = (0..question.about.len()).collect();
        for place in (1..turn.len()).rev() {
            // What one answer leaves to be done disturbs whichever comes next.
            turn.swap(place, chance.below(place + 1));
        }
        for place in turn {
            let (name, body) = &question.about[place];
            let request = post(question.path, &body(number));
            let began = Instant::now();
            let (status, answer) = connection.exchange(&request).await?;
            let elapsed = began.elapsed();
            ensure!(
                status == question.status,
                "{} with {name}: {status} {}",
                question.what,
                String::from_utf8_lossy(answer)
            );
            if number >= warm_up {
                took[place].push(elapsed.as_secs_f64() * 1000.0);
            }
        }
    }
    Ok(took)
}

/// The value below which this share of them lies.
fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank"
    )]
    let rank = (sorted.len() as f64 * share) as usize;
    sorted[rank.min(sorted.len() - 1)]
}

/// By how much the second takes longer, and between what that lies with a chance of 99 %: the difference of as many
/// that are drawn from them, again and again.
fn difference(one: &[f64], other: &[f64], share: f64) -> (f64, f64, f64) {
    let mut chance = Chance(0x2545_f491_4f6c_dd1d);
    let mut draw = |values: &[f64]| -> f64 {
        let drawn: Vec<f64> = (0..values.len())
            .map(|_| values[chance.below(values.len())])
            .collect();
        quantile(&drawn, share)
    };
    let mut drawn: Vec<f64> = (0..DRAWS).map(|_| draw(other) - draw(one)).collect();
    drawn.sort_by(f64::total_cmp);
    let outside = DRAWS / 200;
    (
        quantile(other, share) - quantile(one, share),
        drawn[outside],
        drawn[DRAWS - 1 - outside],
    )
}

async fn compare(
    address: SocketAddr,
    engine: &str,
    question: &Question,
    times: usize,
    report: &mut Report,
) -> anyhow::Result<()> {
    let took = ask(address, question, times, times / 10).await?;
    let section = format!("told by time: {}, {engine}", question.what);
    let nobody = &took[0];
    // Whoever has patience looks at the quickest answers, which a busy machine disturbs least.
    for (how, share) in [("middle", 0.5), ("quickest tenth", 0.1)] {
        let usual = quantile(nobody, share);
        let what = format!("{}, {how}", question.about[0].0);
        report.figure(&section, &what, "ms", &[usual], None);
        // The goal: within a millisecond, or a twentieth of what it takes.
        let allowed = (usual * 0.05).max(1.0);
        for ((name, _), took) in question.about.iter().zip(&took).skip(1) {
            let (by, from, to) = difference(nobody, took, share);
            let what = format!("{name} {by:+.3} ({from:+.3} … {to:+.3})");
            let goal = Some(Goal::AtMost(allowed, allowed));
            report.figure(&section, &what, "ms", &[from.abs().max(to.abs())], goal);
        }
    }
    Ok(())
}

/// A mail server that takes everything and keeps nothing.
async fn swallow_mail() -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(swallow(stream));
        }
    });
    Ok(port)
}

async fn swallow(stream: TcpStream) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 here\r\n").await?;
    let (mut line, mut is_data) = (String::new(), false);
    while stream.read_line(&mut line).await? > 0 {
        let word = line.trim_end().to_ascii_uppercase();
        let answer: &[u8] = match word.as_str() {
            "." => b"250 taken\r\n",
            _ if is_data => b"",
            "DATA" => b"354 go on\r\n",
            "QUIT" => b"221 bye\r\n",
            _ => b"250 ok\r\n",
        };
        is_data = word == "DATA" || is_data && word != ".";
        stream.write_all(answer).await?;
        line.clear();
    }
    Ok(())
}

/// Makes the people of their kinds, as nothing of the API makes so many so quickly.
const KINDS: &str = "
    UPDATE users SET email_verified_at = created_at WHERE NUMBER % 4 = 0;
    UPDATE users SET disabled_at = created_at WHERE NUMBER % 4 = 2;
    INSERT INTO totp (user_id, sealed, last_step, confirmed_at)
    SELECT id, BYTES, 0, created_at FROM users WHERE NUMBER % 4 = 3;";
/// The one in `person17@example.org`.
const NUMBER: &str = "CAST(substr(email_key, 7, length(email_key) - 18) AS INTEGER)";

async fn on(
    options: &Options,
    engine: &str,
    database: &str,
    sql: impl Fn(&str) -> anyhow::Result<()>,
    report: &mut Report,
) -> anyhow::Result<()> {
    let times = if options.quick { 200 } else { 600 };
    let mut house = Process::house(options, database, &[])?;
    house.answers("/health/ready").await?;
    let people = folks::gather(house.address, times).await?.len() / 4 * 4;
    house.stop().await?;
    let bytes = if engine == "SQLite" {
        "x'00'"
    } else {
        "'\\x00'::bytea"
    };
    sql(&KINDS.replace("NUMBER", NUMBER).replace("BYTES", bytes))?;

    let port = swallow_mail().await?.to_string();
    let discreet = [
        ("TOKENHOUSE_MAIL__HOST", "127.0.0.1"),
        ("TOKENHOUSE_MAIL__PORT", &port),
        ("TOKENHOUSE_MAIL__ENCRYPTION", "none"),
        ("TOKENHOUSE_MAIL__FROM", "House <house@example.org>"),
        ("TOKENHOUSE_SIGNUP__REVEAL_TAKEN", "false"),
        ("TOKENHOUSE_SIGNUP__REQUIRE_VERIFIED_EMAIL", "true"),
    ];
    let mut house = Process::house(options, database, &discreet)?;
    house.answers("/health/ready").await?;
    for question in [
        logins(people, 401, "wrong password"),
        mails(people, "forgotten password", "/auth/password/forgot"),
        mails(people, "login by mail", "/auth/magic/request"),
        sign_ups(people),
    ] {
        compare(house.address, engine, &question, times, report).await?;
    }
    house.stop().await?;

    let braked = [
        ("TOKENHOUSE_RATE_LIMIT__ACCOUNT_ENABLED", "true"),
        ("TOKENHOUSE_RATE_LIMIT__ACCOUNT_BURST", "1"),
        // Longer than this takes.
        ("TOKENHOUSE_RATE_LIMIT__ACCOUNT_INTERVAL", "1d"),
    ];
    let mut house = Process::house(options, database, &braked)?;
    house.answers("/health/ready").await?;
    // Everybody has one try.
    ask(house.address, &logins(people, 401, "the one try"), people / 4, 0).await?;
    // What comes after it is not looked at, so it is repeated.
    let times = people / 4;
    compare(
        house.address,
        engine,
        &logins(people, 429, "braked"),
        times,
        report,
    )
    .await?;
    house.stop().await
}

pub async fn measure(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let folder = tempfile::tempdir_in(&options.folder)?;
    let sql =
        |text: &str| Ok(rusqlite::Connection::open(folder.path().join("bench.db"))?.execute_batch(text)?);
    on(options, "SQLite", &sqlite(folder.path()), sql, report).await
}

pub async fn measure_postgres(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let folder = tempfile::tempdir_in("/tmp")?;
    let postgres = Postgres::start(folder.path())?;
    let sql = |text: &str| postgres.sql(text).map(drop);
    on(options, "PostgreSQL", &postgres.url("postgres"), sql, report).await
}
