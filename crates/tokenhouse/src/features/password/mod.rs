//! Passwords: sign up with one, log in with one, change it.

pub mod common;
mod import;
mod opening;
mod pages;
pub mod policy;
#[cfg(test)]
mod policy_tests;
mod resemblance;
mod reset;
mod reset_pages;
pub(crate) mod routes;
mod sql;

use jiff::Timestamp;
use serde_json::{Map, Value};

pub use self::import::{ImportOutcome, UserImport, UserToImport};
use self::opening::{Begun, Door};
pub use self::opening::{CreatingUser, OpeningAccount};
use self::policy::PasswordPolicy;
use crate::base::error::{Code, Error, FieldError};
use crate::base::hashing::HashingError;
use crate::base::http::Origin;
use crate::base::id::{SessionId, UserId};
use crate::base::secret::Secret;
use crate::base::settings::SignupMode;
use crate::kernel::Feature;
use crate::kernel::account::{self, NewUser, User};
use crate::kernel::event::{self, Event};
use crate::kernel::house::Tokenhouse;
use crate::kernel::login::{Proof, Step};
use crate::kernel::notice::{Notice, security_notice};
use crate::kernel::session;

/// The feature, for the list.
pub(super) const FEATURE: Feature = Feature {
    name: "password",
    enabled: |settings| settings.features.password,
    routes: routes::routes,
    factor: None,
    way_in: Some(|_, on, user| Box::pin(async move { Ok(sql::changed_at(on, user.id).await?.is_some()) })),
    sweep: None,
    prove: Some(|house, user, password, origin| {
        Box::pin(async move { house.prove_password_again(user, password, origin).await.map(drop) })
    }),
    disown: Some(|tx, user, _| Box::pin(async move { Ok(sql::delete(tx, user).await.map(drop)?) })),
    vouch: Some(|tx, user, method| {
        Box::pin(async move {
            if method == METHOD {
                sql::vouch(tx, user).await?;
            }
            Ok(())
        })
    }),
    pages: pages::PAGES,
};

const METHOD: &str = "password";

/// Somebody who wants an account.
#[derive(Clone, Debug, Default)]
pub struct Signup {
    /// Where mail arrives.
    pub email: Option<String>,
    /// What they want to be called.
    pub username: Option<String>,
    /// How they will log in.
    pub password: Secret,
    /// What the application keeps with the account.
    pub profile: Map<String, Value>,
    /// What the link of an invitation holds. The account is then of the invited address, which needs no further proof.
    pub invitation: Option<Secret>,
}

/// Somebody who wants to be let in.
#[derive(Clone, Debug, Default)]
pub struct Login {
    /// Their e-mail address or their username.
    pub identifier: String,
    /// Their password.
    pub password: Secret,
    /// The scope they ask for; without, they get what the settings grant.
    pub scope: Option<String>,
}

/// What became of a sign-up.
#[derive(Debug)]
pub enum SignedUp {
    /// The account is open, and its user logged in, unless the settings demand a second factor first.
    In(Step),
    /// Perhaps the account was opened, perhaps a name was taken: the settings say not to tell. Or it was, and its address
    /// is to be verified before it is logged in to.
    Untold,
}

impl Tokenhouse {
    /// Opens an account and logs its user in.
    ///
    /// # Errors
    /// `signup_closed`; `invalid_fields` with every fault; `email_taken`, `username_taken`; `overloaded`.
    pub async fn sign_up(&self, signup: Signup, origin: &Origin) -> Result<SignedUp, Error> {
        let settings = &self.0.settings.signup;
        match settings.mode {
            SignupMode::Closed => {
                return Err(Error::new(
                    Code::SignupClosed,
                    "accounts are opened by whoever runs this service",
                ));
            }
            SignupMode::Invitation if signup.invitation.is_none() => {
                return Err(Error::new(
                    Code::SignupClosed,
                    "accounts are opened by invitation only",
                ));
            }
            SignupMode::Invitation | SignupMode::Open => {}
        }
        match self.begin_account(signup, Door::Ours, origin).await? {
            Begun::Opening(account) if settings.reveal_taken && self.may_enter(account.user()) => {
                Ok(SignedUp::In(account.log_in().await?))
            }
            Begun::Opening(account) => account.commit().await.map(|_| SignedUp::Untold),
            Begun::Taken(taken) if settings.reveal_taken => Err(taken.tell().await?),
            Begun::Taken(taken) => taken.hush(self, origin).await.map(|()| SignedUp::Untold),
        }
    }

    /// Opens an account without logging anybody in: for operators and tests. `hash` is a PHC string or one of the
    /// foreign forms of [`foreign`](crate::base::hashing::foreign); without one the user has no password. Many at once are for
    /// [`import_users`](Self::import_users), rows of the application's own beside it for
    /// [`creating_user`](Self::creating_user).
    ///
    /// # Errors
    /// `email_taken`, `username_taken`; `invalid_fields` where the hash cannot be read, or there is no name.
    pub async fn create_user(&self, new: &NewUser, hash: Option<&str>) -> Result<User, Error> {
        self.creating_user(new, hash).await?.commit().await
    }

    /// Opens an account as a sign-up would, by the same rules, without logging anybody in: for operators, also
    /// where strangers may not sign up.
    ///
    /// # Errors
    /// `invalid_fields` with every fault; `email_taken`, `username_taken`; `overloaded`.
    pub async fn create_user_with_password(
        &self,
        signup: Signup,
        is_superuser: bool,
        roles: Vec<String>,
    ) -> Result<User, Error> {
        let (new, password) = self.check_signup(signup, Door::Another)?;
        let hash = self.hash(password).await?;
        let new = NewUser {
            is_superuser,
            roles,
            ..new
        };
        self.create_user(&new, Some(&hash)).await
    }

    /// Checks a password against the rules for new ones and hashes it.
    ///
    /// # Errors
    /// `invalid_fields` naming `field`; `overloaded`.
    pub async fn hash_new_password(
        &self,
        field: &str,
        password: &Secret,
        about: &User,
    ) -> Result<String, Error> {
        let names = [about.email.as_deref(), about.username.as_deref()];
        let names: Vec<&str> = names.into_iter().flatten().collect();
        let accepted = self
            .password_policy()
            .check(password, &names)
            .map_err(|faults| Error::invalid_fields(password_faults(field, faults)))?;
        self.hash(accepted).await
    }

    /// Logs a user in with e-mail address or username, and password, or as far as the password goes: see [`Step`].
    ///
    /// # Errors
    /// `invalid_credentials`, the same in the same time for an unknown user; `account_locked`,
    /// `account_disabled` (only after the right password), `overloaded`.
    pub async fn log_in_with_password(&self, login: Login, origin: &Origin) -> Result<Step, Error> {
        let scope = self.grant_scope(login.scope.as_deref().filter(|scope| !scope.is_empty()))?;
        let proof = self.prove(&login.identifier, login.password, origin).await?;
        let tx = self.0.store.write().await?;
        self.log_in(tx, proof, scope, origin).await
    }

    /// Shows that somebody knows the password of an account. Counts the try first, checks then, and does the
    /// same work for an account that does not exist.
    async fn prove(&self, identifier: &str, password: Secret, origin: &Origin) -> Result<Proof, Error> {
        // First, so that a password nobody will look at is not counted as a try.
        self.0
            .hashing
            .has_room()
            .map_err(|error| self.hashing_error(error))?;
        let known = sql::by_name(&mut self.0.store.read().await?, identifier).await?;
        let name = account::key(identifier);
        let owner = known.as_ref().map(|known| known.user.id);
        let counted = self.brake(owner, &name, origin).await?;
        let stored = known.as_ref().and_then(|known| known.hash.clone());
        let (verdict, upgraded) = self
            .0
            .hashing
            .verify_and_upgrade(password, stored)
            .await
            .or_else(|error| match error {
                // What is longer than any password can be is nobody's.
                HashingError::TooLong => Ok((crate::base::hashing::Verdict::Wrong, None)),
                error => Err(self.hashing_error(error)),
            })?;
        let (true, Some(known)) = (verdict.is_right(), known) else {
            self.count_wrong_password(owner, origin);
            return Err(Error::new(
                Code::InvalidCredentials,
                "the name or the password is not right",
            ));
        };
        if let (Some(new), Some(old)) = (upgraded, &known.hash) {
            sql::upgrade(&mut self.0.store.single(), known.user.id, &new, old).await?;
        }
        Ok(Proof {
            user: known.user,
            method: METHOD,
            at: self.0.clock.now(),
            counted,
            shows_two: false,
            by_mail: known.by_mail,
        })
    }

    /// Changes a user's password, or sets the first of a user who has none; every session but `keep` is over.
    ///
    /// # Errors
    /// `fresh_proof_required` where the account has a second factor or no password, and `keep` was not proven for a
    /// while; `invalid_credentials` where the current one is wrong; `invalid_fields`; `account_locked`; `overloaded`.
    pub async fn change_password(
        &self,
        user: &User,
        current: Option<Secret>,
        new: &Secret,
        keep: Option<SessionId>,
        origin: &Origin,
    ) -> Result<(), Error> {
        let Some(current) = current else {
            return self.set_first_password(user, new, keep, origin).await;
        };
        if let Some(session) = keep {
            self.require_fresh_where_two_steps(user, session).await?;
        }
        let proof = self.prove_password_again(user, current, origin).await?;
        let hash = self.hash_new_password("new_password", new, user).await?;
        self.store_password(&proof.user, &hash, keep, origin).await
    }

    async fn set_first_password(
        &self,
        user: &User,
        new: &Secret,
        keep: Option<SessionId>,
        origin: &Origin,
    ) -> Result<(), Error> {
        let has_one = self.password_changed_at(user.id).await?.is_some();
        let Some(session) = keep.filter(|_| !has_one) else {
            return Err(Error::invalid_fields(vec![FieldError::new(
                "current_password",
                "missing",
                "is required",
            )]));
        };
        self.require_fresh(session).await?;
        let hash = self.hash_new_password("new_password", new, user).await?;
        // Whoever sets one at the same moment changes the epoch, and one of the two is refused.
        self.store_password(user, &hash, keep, origin).await
    }

    /// Sets a user's password without asking for the old one: for operators. Every session is over.
    ///
    /// # Errors
    /// `invalid_fields`; `overloaded`.
    pub async fn set_password(&self, user: &User, new: &Secret) -> Result<(), Error> {
        let hash = self.hash_new_password("password", new, user).await?;
        self.store_password(user, &hash, None, &Origin::default()).await
    }

    /// Proves again who the user of this session is, with the password.
    ///
    /// # Errors
    /// `invalid_credentials`; `fresh_proof_required` where the account has a second factor, which then must be shown;
    /// `account_locked`; `overloaded`.
    pub async fn prove_again_with_password(
        &self,
        user: &User,
        session: SessionId,
        password: Secret,
        origin: &Origin,
    ) -> Result<(), Error> {
        let proof = self.prove_password_again(user, password, origin).await?;
        let tx = self.0.store.write().await?;
        self.proven_by_first(tx, &proof.user, session, proof.method, origin)
            .await
    }

    /// A fresh proof of the user who is logged in.
    async fn prove_password_again(
        &self,
        user: &User,
        password: Secret,
        origin: &Origin,
    ) -> Result<Proof, Error> {
        let name = user
            .email
            .as_deref()
            .or(user.username.as_deref())
            .unwrap_or_default();
        let proof = self.prove(name, password, origin).await?;
        // The name may have gone to somebody else since the token was verified.
        if proof.user.id != user.id {
            return Err(Error::new(
                Code::InvalidCredentials,
                "the account changed; log in again",
            ));
        }
        if let Some(counted) = &proof.counted {
            counted.release(&mut self.0.store.single()).await?;
        }
        Ok(proof)
    }

    async fn store_password(
        &self,
        user: &User,
        hash: &str,
        keep: Option<SessionId>,
        origin: &Origin,
    ) -> Result<(), Error> {
        let now = self.0.clock.now();
        let mut tx = self.0.store.write().await?;
        if !account::bump_epoch(&mut tx, user, now).await? {
            return Err(Error::new(
                Code::InvalidCredentials,
                "the account was changed at the same moment; try again",
            ));
        }
        sql::replace(&mut tx, user.id, hash, false, now).await?;
        let ended = session::end_all(&mut tx, self, user.id, keep, now).await?;
        security_notice(&mut tx, self, user, Notice::PasswordChanged, origin, now).await?;
        let event = Event::new("password.changed", now)
            .of_user(user.id)
            .seen_from(origin);
        event::write(&mut tx, &self.0.entropy, event).await?;
        tx.commit().await?;
        self.remember_revoked(&ended);
        Ok(())
    }

    /// When the password was last changed, if the user has one.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn password_changed_at(&self, user: UserId) -> Result<Option<Timestamp>, Error> {
        Ok(sql::changed_at(&mut self.0.store.read().await?, user).await?)
    }

    fn check_signup(&self, signup: Signup, door: Door) -> Result<(NewUser, Secret), Error> {
        let mut faults = Vec::new();
        let new = self.check_new_user(
            signup.email.as_deref(),
            signup.username.as_deref(),
            signup.profile,
            &mut faults,
        );
        if let (Door::Ours, None, Some(email)) = (door, &signup.invitation, &new.email)
            && let Err(fault) = self.check_domain("email", email)
        {
            faults.push(fault);
        }
        let names: Vec<&str> = [signup.email.as_deref(), signup.username.as_deref()]
            .into_iter()
            .flatten()
            .collect();
        match self.password_policy().check(&signup.password, &names) {
            Ok(password) if faults.is_empty() => return Ok((new, password)),
            Ok(_) => {}
            Err(found) => faults.extend(password_faults("password", found)),
        }
        Err(Error::invalid_fields(faults))
    }

    fn password_policy(&self) -> PasswordPolicy {
        let mut policy = PasswordPolicy::of(&self.0.settings.passwords);
        policy.custom.clone_from(&self.0.hooks.password_rule);
        policy.forbidden_words.extend(self.words_of_the_service());
        policy
    }

    /// What whoever guesses at an account here tries: the service's name, and those in its host, but the last
    /// (`com`), which names nothing.
    fn words_of_the_service(&self) -> Vec<String> {
        let settings = &self.0.settings;
        let name = &settings.branding.name;
        let mut words = vec![name.clone(), name.split_whitespace().collect()];
        if let Some(host) = url::Url::parse(&settings.public_url)
            .ok()
            .as_ref()
            .and_then(url::Url::domain)
        {
            words.push(host.to_owned());
            words.extend(host.rsplit('.').skip(1).map(str::to_owned));
            if let Some((_, above)) = host.split_once('.') {
                words.push(above.to_owned());
            }
        }
        words
    }

    async fn hash(&self, password: Secret) -> Result<String, Error> {
        self.0
            .hashing
            .hash(password)
            .await
            .map_err(|error| self.hashing_error(error))
    }

    fn hashing_error(&self, error: HashingError) -> Error {
        match error {
            HashingError::Overloaded { retry_after } => {
                self.0.metrics.logins.shed.inc();
                Error::new(Code::Overloaded, "too many logins are waiting; try again shortly")
                    .retry_after(retry_after)
            }
            other => Error::internal(other),
        }
    }
}

fn password_faults(field: &str, faults: Vec<policy::PasswordFault>) -> Vec<FieldError> {
    faults
        .into_iter()
        .map(|fault| FieldError::new(field, fault.code(), fault.to_string()))
        .collect()
}
