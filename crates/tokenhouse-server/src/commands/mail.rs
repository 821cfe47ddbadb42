//! `tokenhouse mail`: whether mail goes out, for whoever runs the house.

use clap::{Args, Subcommand, ValueEnum};
use tokenhouse::{MailState, Tokenhouse, Uuid};

use super::{load, print_json, with_house};
use crate::config::Places;
use crate::failure::Failure;

/// Try out mail, and see what could not be sent.
#[derive(Args)]
pub(crate) struct Mails {
    #[command(subcommand)]
    command: MailCommand,
}

#[derive(Subcommand)]
enum MailCommand {
    /// Send a mail at once, and say what the server says
    Test(Test),
    /// List the mails that were given up; not what they say
    List(List),
    /// Try mails again that were given up; the running server sends them
    Retry(Retry),
}

#[derive(Args)]
struct Test {
    /// Where the mail goes
    address: String,
}

#[derive(Args)]
struct List {
    /// Which ones
    #[arg(long, value_enum, default_value_t = Which::Dead)]
    state: Which,
    /// So many at most, the newest first
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Which {
    /// Given up
    Dead,
    /// To be sent
    Waiting,
    /// Sent
    Sent,
    /// All of them
    All,
}

#[derive(Args)]
struct Retry {
    /// The id of one mail
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    id: Option<Uuid>,
    /// All that were given up
    #[arg(long)]
    all: bool,
}

impl Mails {
    pub(crate) fn run(self, places: &Places) -> Result<(), Failure> {
        let config = load(places)?;
        if matches!(self.command, MailCommand::Test(_)) && config.settings.mail.host.is_none() {
            return Err(Failure::usage(config.told(
                "mail.host",
                "is not set, so there is no server to send mail by; `tokenhouse dev` shows mail at /dev/mail",
            )));
        }
        with_house(&config, |house| async move {
            match self.command {
                MailCommand::Test(command) => command.run(&house).await,
                MailCommand::List(command) => command.run(&house).await,
                MailCommand::Retry(command) => command.run(&house).await,
            }
        })
    }
}

impl Test {
    async fn run(self, house: &Tokenhouse) -> Result<(), Failure> {
        match house.test_mail(&self.address).await? {
            Ok(()) => {
                println!("the server has taken the mail to {}", self.address);
                Ok(())
            }
            Err(undelivered) => Err(Failure::new(undelivered.to_string())),
        }
    }
}

impl List {
    async fn run(self, house: &Tokenhouse) -> Result<(), Failure> {
        let state = match self.state {
            Which::Dead => Some(MailState::Dead),
            Which::Waiting => Some(MailState::Waiting),
            Which::Sent => Some(MailState::Sent),
            Which::All => None,
        };
        let mails = house.mails(state, self.limit).await?;
        if self.json {
            return print_json(&mails);
        }
        for mail in &mails {
            println!(
                "{}  {:<8} {:<17} {:<32} {} tries  {}",
                mail.id,
                mail.state.as_str(),
                mail.kind,
                mail.address,
                mail.attempts,
                mail.error.as_deref().unwrap_or("")
            );
        }
        Ok(())
    }
}

impl Retry {
    async fn run(self, house: &Tokenhouse) -> Result<(), Failure> {
        let Some(id) = self.id else {
            let count = house.retry_mails().await?;
            println!("{count} to be tried again");
            return Ok(());
        };
        if house.retry_mail(id).await? {
            println!("to be tried again");
            return Ok(());
        }
        Err(Failure::new(format!(
            "no mail {id} was given up; `tokenhouse mail list` shows those that were"
        )))
    }
}
