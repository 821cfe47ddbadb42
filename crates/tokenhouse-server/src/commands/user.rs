//! `tokenhouse user`: accounts, for whoever runs the house. A running server follows within a second.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use clap::{Args, Subcommand};
use tokenhouse::{Invitation, Origin, Secret, Signup, Tokenhouse, User, UserId};

use super::{load, print_json, with_house};
use crate::config::Places;
use crate::failure::Failure;

/// Create, show and change accounts.
///
/// NAME is an id, an e-mail address or a username. Passwords are asked for, or read as one line from standard input
/// when that is not a terminal; never given as an argument, which other users of the machine could see.
#[derive(Args)]
pub(crate) struct Users {
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Subcommand)]
enum UserCommand {
    /// Open an account
    Create(Create),
    /// Send somebody a mail by which they can open an account
    Invite(Invite),
    /// List accounts in the order of their sign-up
    List(List),
    /// Show one account
    Show(Show),
    /// Refuse logins and end every session at once
    Disable(Named),
    /// Allow logins again
    Enable(Named),
    /// Send a mail with which the user chooses a new password, which so nobody else knows
    Reset(Named),
    /// Set a new password and end every session; better is `reset`
    SetPassword(Named),
    /// Say what an account may do, in the place of what it might before
    ///
    /// Where that demands a second factor and the account has none, every session of it ends.
    SetRights(Rights),
    /// Look at codes of the second factor again, after a hundred wrong ones
    AllowCodes(Named),
    /// Take every second factor away, of somebody who lost them all, and end every session
    RemoveFactors(Named),
    /// Delete an account and everything that belongs to it
    Delete(Delete),
}

#[derive(Args)]
struct Create {
    /// Where mail arrives
    #[arg(long)]
    email: Option<String>,
    /// What the user is called
    #[arg(long)]
    username: Option<String>,
    /// A role; may be given several times
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// Whether the account may do everything
    #[arg(long)]
    superuser: bool,
    /// Print the account as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Invite {
    /// Where the invitation goes; the account will be of this address
    email: String,
    /// A role the account will have; may be given several times
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// Whether the account may do everything
    #[arg(long)]
    superuser: bool,
    /// The language of the mail, such as `de`
    #[arg(long)]
    language: Option<String>,
}

#[derive(Args)]
struct List {
    /// Begin after the account with this id, the last of the page before
    #[arg(long, value_name = "ID")]
    after: Option<UserId>,
    /// So many at most
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Show {
    /// Id, e-mail address or username
    name: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Named {
    /// Id, e-mail address or username
    name: String,
}

#[derive(Args)]
struct Rights {
    /// Id, e-mail address or username
    name: String,
    /// A role; may be given several times. Without any the account has none
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// Whether the account may do everything
    #[arg(long)]
    superuser: bool,
}

#[derive(Args)]
struct Delete {
    /// Id, e-mail address or username
    name: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Users {
    pub(crate) fn run(self, places: &Places) -> Result<(), Failure> {
        let config = load(places)?;
        with_house(&config, |house| async move {
            match self.command {
                UserCommand::Create(command) => command.run(&house).await,
                UserCommand::Invite(command) => command.run(&house).await,
                UserCommand::List(command) => command.run(&house).await,
                UserCommand::Show(Show { name, json }) => print(&find(&house, &name).await?, json),
                UserCommand::Disable(Named { name }) => set_active(&house, &name, false).await,
                UserCommand::Enable(Named { name }) => set_active(&house, &name, true).await,
                UserCommand::Reset(Named { name }) => reset(&house, &name).await,
                UserCommand::SetRights(command) => command.run(&house).await,
                UserCommand::AllowCodes(Named { name }) => allow_codes(&house, &name).await,
                UserCommand::SetPassword(Named { name }) => set_password(&house, &name).await,
                UserCommand::RemoveFactors(Named { name }) => remove_factors(&house, &name).await,
                UserCommand::Delete(command) => command.run(&house).await,
            }
        })
    }
}

impl Create {
    async fn run(self, house: &Tokenhouse) -> Result<(), Failure> {
        let password = read_new_password()?;
        let signup = Signup {
            email: self.email,
            username: self.username,
            password,
            ..Signup::default()
        };
        let user = house
            .create_user_with_password(signup, self.superuser, self.roles)
            .await?;
        if self.json {
            return print(&user, true);
        }
        println!("{} is open: {}", called(&user), user.id);
        Ok(())
    }
}

impl Invite {
    async fn run(self, house: &Tokenhouse) -> Result<(), Failure> {
        let invitation = Invitation {
            email: self.email,
            roles: self.roles,
            is_superuser: self.superuser,
            language: self.language,
        };
        house.invite(&invitation).await?;
        println!(
            "{} is invited: the running server sends the mail",
            invitation.email
        );
        Ok(())
    }
}

impl List {
    async fn run(self, house: &Tokenhouse) -> Result<(), Failure> {
        let users = house.users(self.after, self.limit).await?;
        if self.json {
            return print_json(&users);
        }
        for user in &users {
            println!(
                "{}  {:<32}  {:<20}  {}",
                user.id,
                user.email.as_deref().unwrap_or("-"),
                user.username.as_deref().unwrap_or("-"),
                standing(user),
            );
        }
        if let Some(last) = users.last().filter(|_| users.len() == self.limit as usize) {
            eprintln!("for the next page: --after {}", last.id);
        }
        Ok(())
    }
}

impl Rights {
    async fn run(self, house: &Tokenhouse) -> Result<(), Failure> {
        let user = find(house, &self.name).await?;
        let user = house
            .set_user_rights(user.id, self.superuser, &self.roles)
            .await?;
        println!("{} is {}", called(&user), standing(&user));
        Ok(())
    }
}

impl Delete {
    async fn run(self, house: &Tokenhouse) -> Result<(), Failure> {
        let user = find(house, &self.name).await?;
        if !self.yes && !agreed(&format!("Delete {} ({}) for ever?", called(&user), user.id))? {
            return Err(Failure::new("nothing was deleted"));
        }
        house.delete_user(user.id, &Origin::default()).await?;
        println!("{} is deleted", called(&user));
        Ok(())
    }
}

async fn find(house: &Tokenhouse, name: &str) -> Result<User, Failure> {
    let found = match name.parse::<UserId>() {
        Ok(id) => house.user(id).await?,
        Err(_) => house.user_by_name(name).await?,
    };
    found.ok_or_else(|| {
        Failure::new(format!(
            "there is no user `{name}`: give the id, the e-mail address or the username (`tokenhouse user list`)"
        ))
    })
}

async fn set_active(house: &Tokenhouse, name: &str, active: bool) -> Result<(), Failure> {
    let user = find(house, name).await?;
    let user = house.set_user_active(user.id, active).await?;
    println!("{} is {}", called(&user), standing(&user));
    Ok(())
}

async fn set_password(house: &Tokenhouse, name: &str) -> Result<(), Failure> {
    let user = find(house, name).await?;
    house.set_password(&user, &read_new_password()?).await?;
    println!("{} has a new password; every session is over", called(&user));
    Ok(())
}

async fn reset(house: &Tokenhouse, name: &str) -> Result<(), Failure> {
    let user = find(house, name).await?;
    house.send_password_reset(&user).await?;
    println!(
        "{} gets a mail to choose a new password: the running server sends it",
        called(&user)
    );
    Ok(())
}

async fn allow_codes(house: &Tokenhouse, name: &str) -> Result<(), Failure> {
    let user = find(house, name).await?;
    house.allow_codes(&user).await?;
    println!("codes of {} are looked at again", called(&user));
    Ok(())
}

async fn remove_factors(house: &Tokenhouse, name: &str) -> Result<(), Failure> {
    let user = find(house, name).await?;
    house.remove_factors(&user).await?;
    println!(
        "{} has no second factor any more; every session is over, the password is as it was",
        called(&user)
    );
    Ok(())
}

fn called(user: &User) -> &str {
    let name = user.email.as_deref().or(user.username.as_deref());
    name.unwrap_or("the user")
}

fn standing(user: &User) -> String {
    let mut words = vec![if user.is_active { "active" } else { "disabled" }];
    if user.is_superuser {
        words.push("superuser");
    }
    words.extend(user.roles.iter().map(String::as_str));
    words.join(",")
}

fn print(user: &User, json: bool) -> Result<(), Failure> {
    if json {
        return print_json(user);
    }
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    println!("id          {}", user.id);
    println!(
        "e-mail      {}{}",
        or_none(user.email.clone()),
        if user.email_verified { " (verified)" } else { "" }
    );
    println!("username    {}", or_none(user.username.clone()));
    println!("standing    {}", standing(user));
    println!("signed up   {}", user.created_at);
    println!("changed     {}", user.updated_at);
    println!(
        "last login  {}",
        or_none(user.last_login_at.map(|instant| instant.to_string()))
    );
    println!("profile     {}", serde_json::Value::Object(user.profile.clone()));
    Ok(())
}

/// Asks twice without showing what is typed, or reads one line of what is not a terminal.
fn read_new_password() -> Result<Secret, Failure> {
    if !io::stdin().is_terminal() {
        let mut line = String::new();
        io::stdin()
            .lock()
            .read_line(&mut line)
            .map_err(|error| Failure::new(format!("the password cannot be read: {error}")))?;
        let length = line.trim_end_matches(['\n', '\r']).len();
        line.truncate(length);
        if line.is_empty() {
            return Err(Failure::new(
                "there is no password: write it as one line to standard input",
            ));
        }
        return Ok(Secret::from(line));
    }
    let ask = |prompt| rpassword::prompt_password(prompt).map(Secret::from);
    let password = ask("New password: ")?;
    if ask("Again: ")?.expose() != password.expose() {
        return Err(Failure::new("the two are not the same; nothing was changed"));
    }
    Ok(password)
}

pub(super) fn agreed(question: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage("nobody can be asked here: add --yes"));
    }
    eprint!("{question} [y/N] ");
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
