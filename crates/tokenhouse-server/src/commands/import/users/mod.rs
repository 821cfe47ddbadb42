//! Users out of another system's file, with the passwords they know there.

mod fields;
mod formats;
mod origins;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, ValueEnum};
use tokenhouse::base::file::NewFile;
use tokenhouse::{ImportOutcome, Tokenhouse, UserImport, UserToImport};
use tokio::sync::mpsc;

use self::fields::{Mapping, Others};
use self::formats::Format;
use self::origins::Origin;
use crate::commands::progress::Steps;
use crate::commands::{load, with_house};
use crate::config::Places;
use crate::failure::Failure;

/// Lines of one commit; while it lasts, other writers of an SQLite house wait, some hundredths of a second.
const BATCH: usize = 1000;
/// So many refusals are told on the terminal too.
const TOLD: u64 = 10;

/// Bring users along from another system, with the password hashes it had.
///
/// The fields are email, username, password_hash, salt, email_verified, created_at, roles, profile, id, is_active and
/// is_superuser; all may be missing but one of the two names. A line that cannot be imported is written to the file of
/// rejects with its number and the reason, and so is one whose name is taken. Interrupted, the same command goes on:
/// whoever is there already is left as they are.
#[derive(Args)]
pub(crate) struct Users {
    /// The file; `-` is standard input
    file: PathBuf,
    /// How it is written; without, by its first character and its ending
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The system it comes from, which decides what its fields mean
    #[arg(long, value_enum, default_value_t = Origin::Fields)]
    from: Origin,
    /// A field's name there and here, or `-` to leave it out: `hashed_password=password_hash`; may be given several times
    #[arg(long = "map", value_name = "THERE=HERE")]
    maps: Vec<String>,
    /// What to do with fields that have no meaning here; without, such a line is refused where no system is named
    #[arg(long, value_enum)]
    others: Option<Others>,
    /// Where to write what was not imported, as CSV; without, the name of the file with `.rejects.csv`
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// Only find out what would become of each line; writes rejects only where --rejects says
    #[arg(long)]
    dry_run: bool,
}

/// A line that was read, and what it is.
struct Line {
    number: u64,
    user: Result<UserToImport, String>,
}

impl Line {
    /// What to call it by.
    fn name(&self) -> String {
        let user = self.user.as_ref().ok();
        let name = user.and_then(|user| user.email.clone().or_else(|| user.username.clone()));
        name.unwrap_or_default()
    }
}

#[derive(Default)]
struct Counts {
    imported: u64,
    taken: u64,
    refused: u64,
}

impl Counts {
    fn read(&self) -> u64 {
        self.imported + self.taken + self.refused
    }
}

impl Users {
    pub(crate) fn run(self, places: &Places) -> Result<(), Failure> {
        let config = load(places)?;
        let mapping = Mapping::new(self.from, &self.maps, self.others)?;
        let from_standard_input = self.file.as_os_str() == "-";
        let rejects = match self.rejects.clone() {
            Some(path) => Some(path),
            None if self.dry_run => None,
            None if from_standard_input => Some(PathBuf::from("users.rejects.csv")),
            None => {
                let mut name = self.file.as_os_str().to_owned();
                name.push(".rejects.csv");
                Some(PathBuf::from(name))
            }
        };
        let rejects = Rejects::new(rejects)?;
        let format = self.format.or(self.from.format());
        let reader = formats::open(&self.file)?;
        with_house(&config, |house| async move {
            let (lines, mut batches) = mpsc::channel(4);
            // What is read and understood is ahead of what is written.
            let reading = tokio::task::spawn_blocking(move || read(reader, format, &mapping, &lines));
            let begun = Instant::now();
            let (counts, rejects) = write(&house, self.dry_run, &mut batches, rejects).await?;
            reading
                .await
                .map_err(|_| Failure::new("the file could not be read to its end"))??;
            self.tell(&counts, rejects, begun)
        })
    }

    fn tell(&self, counts: &Counts, rejects: Rejects, begun: Instant) -> Result<(), Failure> {
        let would = if self.dry_run { "would be " } else { "" };
        println!(
            "{} users {would}imported, {} there already, {} refused, in {:.1} s",
            counts.imported,
            counts.taken,
            counts.refused,
            begun.elapsed().as_secs_f64()
        );
        if let Some(path) = rejects.finish()? {
            println!("what was not imported, and why: {}", path.display());
        }
        match counts.refused {
            0 => Ok(()),
            1 => Err(Failure::new("one line was refused")),
            many => Err(Failure::new(format!("{many} lines were refused"))),
        }
    }
}

fn read(
    reader: Box<dyn std::io::BufRead + Send>,
    format: Option<Format>,
    mapping: &Mapping,
    batches: &mpsc::Sender<Vec<Line>>,
) -> Result<(), Failure> {
    let mut batch = Vec::with_capacity(BATCH);
    formats::read(reader, format, mapping, |number, record| {
        let user = record.and_then(|record| mapping.user(record));
        batch.push(Line { number, user });
        if batch.len() < BATCH {
            return true;
        }
        let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
        batches.blocking_send(full).is_ok()
    })?;
    // Whoever wrote has said why, where it takes no more.
    let _ = batches.blocking_send(batch);
    Ok(())
}

async fn write(
    house: &Tokenhouse,
    dry_run: bool,
    batches: &mut mpsc::Receiver<Vec<Line>>,
    mut rejects: Rejects,
) -> Result<(Counts, Rejects), Failure> {
    let import = house.import_users();
    let mut import = if dry_run { import.dry_run() } else { import };
    let mut counts = Counts::default();
    let mut steps = Steps::new("importing", None);
    while let Some(lines) = batches.recv().await {
        write_batch(&mut import, lines, &mut counts, &mut rejects).await?;
        steps.to(counts.read(), None, "");
    }
    Ok((counts, rejects))
}

async fn write_batch(
    import: &mut UserImport,
    lines: Vec<Line>,
    counts: &mut Counts,
    rejects: &mut Rejects,
) -> Result<(), Failure> {
    let mut of_users = Vec::with_capacity(lines.len());
    let mut users = Vec::with_capacity(lines.len());
    for line in lines {
        let name = line.name();
        match line.user {
            Ok(user) => {
                of_users.push((line.number, name));
                users.push(user);
            }
            Err(reason) => {
                counts.refused += 1;
                rejects.note(line.number, &name, &reason)?;
            }
        }
    }
    let outcomes = import.batch(users).await?;
    for ((number, name), outcome) in of_users.into_iter().zip(outcomes) {
        match outcome {
            ImportOutcome::Imported(_) => counts.imported += 1,
            ImportOutcome::Taken => {
                counts.taken += 1;
                rejects.write(
                    number,
                    &name,
                    "there already: the e-mail address, the username or the id",
                )?;
            }
            ImportOutcome::Refused(reason) => {
                counts.refused += 1;
                rejects.note(number, &name, &reason)?;
            }
        }
    }
    Ok(())
}

fn shown(c: char) -> impl Iterator<Item = char> {
    let steers = c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let escaped = steers.then(|| c.escape_default());
    let plain = escaped.is_none().then_some(c);
    escaped.into_iter().flatten().chain(plain)
}

/// What a spreadsheet would take for a formula becomes a text there.
fn no_formula(text: &str) -> std::borrow::Cow<'_, str> {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{text}").into()
    } else {
        text.into()
    }
}

/// The file of what was not imported; there is none where everything was.
struct Rejects {
    path: Option<PathBuf>,
    file: Option<csv::Writer<NewFile>>,
    told: u64,
}

impl Rejects {
    fn new(path: Option<PathBuf>) -> Result<Self, Failure> {
        if let Some(path) = path.as_deref().filter(|path| path.exists()) {
            return Err(Failure::usage(format!(
                "{} is there already: move it away, or say --rejects",
                path.display()
            )));
        }
        Ok(Self {
            path,
            file: None,
            told: 0,
        })
    }

    /// Writes a line of the file, and tells the first few at once.
    fn note(&mut self, number: u64, name: &str, reason: &str) -> Result<(), Failure> {
        self.told += 1;
        if self.told <= TOLD {
            // The file is another's: nothing of it steers the terminal.
            let reason: String = reason.chars().flat_map(shown).collect();
            eprintln!("line {number}: {reason}");
        } else if self.told == TOLD + 1 {
            eprintln!("… and more");
        }
        self.write(number, name, reason)
    }

    fn write(&mut self, number: u64, name: &str, reason: &str) -> Result<(), Failure> {
        let Some(path) = &self.path else { return Ok(()) };
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let mut file = csv::Writer::from_writer(NewFile::create(path)?);
                file.write_record(["line", "name", "reason"])
                    .map_err(|error| unwritten(path, &error))?;
                self.file.insert(file)
            }
        };
        let (name, reason) = (no_formula(name), no_formula(reason));
        file.write_record([number.to_string().as_str(), name.as_ref(), reason.as_ref()])
            .map_err(|error| unwritten(path, &error))
    }

    fn finish(self) -> Result<Option<PathBuf>, Failure> {
        let (Some(path), Some(file)) = (self.path, self.file) else {
            return Ok(None);
        };
        let mut file = file
            .into_inner()
            .map_err(|error| Failure::new(format!("{} cannot be written: {error}", path.display())))?;
        file.flush()?;
        file.finish()?;
        Ok(Some(path))
    }
}

fn unwritten(path: &Path, error: &csv::Error) -> Failure {
    Failure::new(format!("{} cannot be written: {error}", path.display()))
}

impl ValueEnum for Format {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Csv, Self::Json, Self::Jsonl]
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        let (name, help) = match self {
            Self::Csv => (
                "csv",
                "lines of fields between commas, the first with their names",
            ),
            Self::Json => ("json", "one array of objects, or an object whose `users` is one"),
            Self::Jsonl => ("jsonl", "an object a line"),
        };
        Some(clap::builder::PossibleValue::new(name).help(help))
    }
}
