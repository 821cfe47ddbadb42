//! Sessions: one login on one device, one row however long it lives.
//!
//! A refresh is one guarded `UPDATE` of that row's generation. A token one generation behind, within the
//! grace, gets the current token again, since the answer was lost or two tabs raced; anything older, or one
//! behind after the grace, means that somebody holds a copy, and ends the session. Ending a session also
//! kills its access tokens: its id goes into the set that every verification asks.

pub(crate) mod browser;
mod extract;
pub(crate) mod feed;
mod refresh_token;
pub(crate) mod revocation;
pub(crate) mod routes;
mod sql;

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

pub use self::extract::{AccessToken, BearerToken, CurrentUser, MaybeUser};
pub use self::refresh_token::{PREFIX, Presented, RefreshTokens};
use super::account::User;
use super::event::{self, Event};
use super::house::Tokenhouse;
use super::login::Complete;
use super::token::{TokenSet, all_dead};
use crate::base::clock::{after, before};
use crate::base::error::{Code, Error};
use crate::base::http::Origin;
use crate::base::id::{SessionId, UserId};
use crate::base::secret::Secret;
use crate::base::store::{Executor, Tx};

/// How far ahead of this one the clock of whoever opened a session may be.
const FROM_AHEAD: Duration = Duration::from_secs(86_400);

/// One login on one device.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// The `sid` of its access tokens.
    pub id: SessionId,
    /// Whose it is.
    pub user_id: UserId,
    /// The OAuth client it was opened for, if any.
    pub client_id: Option<String>,
    /// What its tokens may be used for.
    pub scope: String,
    /// How the user proved who they are: `password`, or with a second factor `password+totp`.
    pub method: String,
    /// How often it was refreshed.
    pub generation: i64,
    /// When the user logged in.
    pub created_at: Timestamp,
    /// When it was last refreshed.
    pub rotated_at: Timestamp,
    /// When it is over however often it is refreshed.
    pub expires_at: Timestamp,
    /// When it was ended.
    pub revoked_at: Option<Timestamp>,
    /// Where the user logged in from.
    pub address: Option<String>,
    /// What they logged in with.
    pub user_agent: Option<String>,
    /// When the user last proved who they are: at the login, or since.
    pub proved_at: Timestamp,
    /// What the application added to its tokens when it was opened.
    pub claims: Map<String, Value>,
}

/// What a presented refresh token turned out to be.
#[derive(Debug)]
pub enum Rotation {
    /// The current one: it has been used up, and this session has a new one. With the user, if still there.
    Fresh(Session, Option<User>),
    /// The one before, within the grace: nothing was written.
    Replayed(Session, Option<User>),
    /// One that had been used up long ago; the session is over now.
    Reused(Session),
    /// Genuine, but its session has expired.
    Expired,
    /// Not ours, or its session is over.
    Unknown,
}

/// Where a session was opened from.
pub(crate) struct Seen {
    pub(crate) network: Option<String>,
    pub(crate) user_agent: Option<String>,
}

/// A step: where the user's other sessions were opened from, the newest first.
pub(crate) async fn seen_before(tx: &mut Tx, session: &Session) -> Result<Vec<Seen>, Error> {
    Ok(sql::seen_before(tx, session.user_id, session.id).await?)
}

/// A session that has been ended, and when the last of its access tokens will have expired everywhere.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    id: SessionId,
    forget_at: Timestamp,
}

/// A step: opens a session for somebody who has proven everything that was asked.
pub(crate) async fn open(
    tx: &mut Tx,
    house: &Tokenhouse,
    login: &Complete,
    scope: String,
    origin: &Origin,
) -> Result<(Session, Vec<Ended>), Error> {
    let (user, now) = (login.user(), login.at());
    let settings = &house.0.settings.sessions;
    let session = Session {
        id: SessionId(house.0.entropy.uuid_v7(now)?),
        user_id: user.id,
        client_id: None,
        scope,
        method: login.method().to_owned(),
        generation: 0,
        created_at: now,
        rotated_at: now,
        expires_at: after(now, *settings.absolute_lifetime),
        revoked_at: None,
        address: origin.address.map(|address| address.to_string()),
        user_agent: origin.user_agent.clone(),
        proved_at: now,
        claims: login.claims().clone(),
    };
    let others = settings.max_per_user.max(1) - 1;
    let mut ended = Vec::new();
    for (id,) in sql::beyond(tx, user.id, others, house.idle_since(now), now).await? {
        ended.extend(end(tx, house, SessionId(id), user.id, now).await?);
    }
    sql::insert(tx, &session, origin.network().map(|network| network.to_string())).await?;
    Ok((session, ended))
}

/// A step: notes that the user of this session has just proven again who they are.
pub(crate) async fn prove(tx: &mut Tx, id: SessionId, user: UserId, now: Timestamp) -> Result<bool, Error> {
    Ok(sql::prove(tx, id, user, now).await? == 1)
}

/// A step: ends one session of the user, if it is not over.
pub(crate) async fn end(
    tx: &mut Tx,
    house: &Tokenhouse,
    id: SessionId,
    user: UserId,
    now: Timestamp,
) -> Result<Option<Ended>, Error> {
    let Some((rotated_at,)) = sql::end(tx, id, user, now).await? else {
        return Ok(None);
    };
    let ended = house.ended(id, rotated_at, now);
    sql::revoke(tx, &ended, now).await?;
    Ok(Some(ended))
}

/// A step: ends all sessions of the user, but perhaps one.
pub(crate) async fn end_all(
    tx: &mut Tx,
    house: &Tokenhouse,
    user: UserId,
    except: Option<SessionId>,
    now: Timestamp,
) -> Result<Vec<Ended>, Error> {
    let except = except.unwrap_or(SessionId(uuid::Uuid::nil()));
    let ended: Vec<_> = sql::end_all(tx, user, except, now)
        .await?
        .into_iter()
        .map(|(id, rotated_at)| house.ended(SessionId(id), rotated_at, now))
        .collect();
    for session in &ended {
        sql::revoke(tx, session, now).await?;
    }
    Ok(ended)
}

/// Every session of the user that is remembered, over or not, the last first.
pub(crate) async fn every_one_of(on: &mut impl Executor, user: UserId) -> Result<Vec<Session>, Error> {
    Ok(sql::all(on, user).await?)
}

impl Tokenhouse {
    /// Uses a refresh token up and gives the session's next tokens (RFC 6749 §6).
    ///
    /// # Errors
    /// `refresh_invalid`, `refresh_expired`, `refresh_reused`.
    pub async fn refresh(&self, token: &Secret, origin: &Origin) -> Result<(User, TokenSet), Error> {
        let now = self.0.clock.now();
        let (session, user) = match self.rotate(token, origin, now).await? {
            Rotation::Fresh(session, user) => {
                self.0.metrics.refreshes.fresh.inc();
                (session, user)
            }
            Rotation::Replayed(session, user) => {
                self.0.metrics.refreshes.replayed.inc();
                (session, user)
            }
            Rotation::Reused(session) => {
                self.0.metrics.refreshes.reused.inc();
                tracing::warn!(session = %session.id, "a used refresh token came back; its session was ended");
                return Err(Error::new(
                    Code::RefreshReused,
                    "this refresh token had been used before, so its session was ended; log in again",
                ));
            }
            Rotation::Expired => {
                self.0.metrics.refreshes.refused.inc();
                return Err(Error::new(
                    Code::RefreshExpired,
                    "the session has expired; log in again",
                ));
            }
            Rotation::Unknown => {
                self.0.metrics.refreshes.refused.inc();
                return Err(unknown());
            }
        };
        // Disabling or deleting a user ends the sessions too, so this only closes the gap between the two statements.
        let user = user.filter(|user| user.is_active).ok_or_else(unknown)?;
        let tokens = self.mint(&user, &session, now)?;
        Ok((user, tokens))
    }

    async fn rotate(&self, token: &Secret, origin: &Origin, now: Timestamp) -> Result<Rotation, Error> {
        let Some(presented) = self.0.refresh_tokens.read(token.expose()) else {
            return Ok(Rotation::Unknown);
        };
        if presented.session.made_at() > after(now, FROM_AHEAD) {
            return Err(of_another_time());
        }
        let idle_since = self.idle_since(now);
        let store = &self.0.store;
        let rotated = sql::rotate(store, presented.session, presented.generation, idle_since, now).await?;
        if let Some((session, user)) = rotated {
            let user = match user {
                None => self.user(session.user_id).await?,
                known => known,
            };
            return Ok(Rotation::Fresh(session, user));
        }
        let Some(session) = sql::by_id(&mut self.0.store.read().await?, presented.session).await? else {
            return Ok(Rotation::Unknown);
        };
        if session.revoked_at.is_some() {
            return Ok(Rotation::Unknown);
        }
        if session.expires_at <= now || session.rotated_at <= idle_since {
            return Ok(Rotation::Expired);
        }
        let grace = self.0.settings.sessions.refresh_grace.signed();
        // A clock that was set back must not lengthen it.
        let age = now.duration_since(session.rotated_at).abs();
        match session.generation.saturating_sub(presented.generation) {
            // It became current between the two statements, which only a clock set back can do.
            ..=0 => Ok(Rotation::Unknown),
            // Without any grace not even the same instant forgives.
            1 if !grace.is_zero() && age <= grace => {
                let user = self.user(session.user_id).await?;
                Ok(Rotation::Replayed(session, user))
            }
            _ => {
                self.end_reused(&session, origin, now).await?;
                Ok(Rotation::Reused(session))
            }
        }
    }

    async fn end_reused(&self, session: &Session, origin: &Origin, now: Timestamp) -> Result<(), Error> {
        let mut tx = self.0.store.write().await?;
        let ended = end(&mut tx, self, session.id, session.user_id, now).await?;
        if ended.is_some() {
            let event = Event::new("session.refresh_reused", now)
                .of_user(session.user_id)
                .in_session(session.id);
            event::write(&mut tx, &self.0.entropy, event.seen_from(origin)).await?;
        }
        tx.commit().await?;
        self.remember_revoked(ended.as_slice());
        Ok(())
    }

    /// Ends one session of the user; its access tokens are refused from now on. Gives whether it was not over yet.
    ///
    /// # Errors
    /// When the database cannot be reached; the same for all below.
    pub async fn end_session(&self, user: UserId, id: SessionId, origin: &Origin) -> Result<bool, Error> {
        let now = self.0.clock.now();
        let mut tx = self.0.store.write().await?;
        let ended = end(&mut tx, self, id, user, now).await?;
        if ended.is_some() {
            let event = Event::new("session.ended", now)
                .of_user(user)
                .in_session(id)
                .seen_from(origin);
            event::write(&mut tx, &self.0.entropy, event).await?;
        }
        tx.commit().await?;
        self.remember_revoked(ended.as_slice());
        Ok(ended.is_some())
    }

    /// The session with this id, over or not.
    ///
    /// # Errors
    /// As [`end_session`](Self::end_session).
    pub async fn session(&self, id: SessionId) -> Result<Option<Session>, Error> {
        Ok(sql::by_id(&mut self.0.store.read().await?, id).await?)
    }

    /// Refuses a session whose user has not proven for a while who they are: before anything is changed that somebody is
    /// logged in with.
    ///
    /// # Errors
    /// `fresh_proof_required`; `token_revoked` where the session is over.
    pub async fn require_fresh(&self, id: SessionId) -> Result<Session, Error> {
        let now = self.0.clock.now();
        let session = self
            .session(id)
            .await?
            .filter(|session| session.revoked_at.is_none() && session.expires_at > now)
            .ok_or_else(|| Error::new(Code::TokenRevoked, "the session of this access token is over"))?;
        let fresh = *self.0.settings.second_factors.fresh_proof;
        if session.proved_at > before(now, fresh) {
            return Ok(session);
        }
        let max_age = [("max_age".to_owned(), fresh.as_secs().into())]
            .into_iter()
            .collect();
        Err(Error::new(
            Code::FreshProofRequired,
            "prove again who you are, then repeat the request",
        )
        .with_members(max_age))
    }

    /// Logs out: ends the session that an access token belongs to.
    ///
    /// # Errors
    /// As [`end_session`](Self::end_session).
    pub async fn log_out(&self, token: &AccessToken, origin: &Origin) -> Result<(), Error> {
        if let Some(session) = self.session(token.session_id()?).await? {
            self.end_session(session.user_id, session.id, origin).await?;
        }
        Ok(())
    }

    /// Ends the session that a refresh token belongs to, however old the token is.
    ///
    /// # Errors
    /// `refresh_invalid` when this house did not make it.
    pub async fn end_session_of(&self, token: &Secret, origin: &Origin) -> Result<(), Error> {
        let presented = self.0.refresh_tokens.read(token.expose()).ok_or_else(unknown)?;
        if let Some(session) = self.session(presented.session).await? {
            self.end_session(session.user_id, session.id, origin).await?;
        }
        Ok(())
    }

    /// Ends every session of the user, but perhaps one; gives how many.
    ///
    /// # Errors
    /// As [`end_session`](Self::end_session).
    pub async fn end_all_sessions(
        &self,
        user: UserId,
        except: Option<SessionId>,
        origin: &Origin,
    ) -> Result<usize, Error> {
        let now = self.0.clock.now();
        let mut tx = self.0.store.write().await?;
        let ended = end_all(&mut tx, self, user, except, now).await?;
        let event = Event::new("session.all_ended", now)
            .of_user(user)
            .seen_from(origin);
        event::write(&mut tx, &self.0.entropy, event).await?;
        tx.commit().await?;
        self.remember_revoked(&ended);
        Ok(ended.len())
    }

    /// The sessions of the user that are not over, the last used first.
    ///
    /// # Errors
    /// As [`end_session`](Self::end_session).
    pub async fn sessions(&self, user: UserId) -> Result<Vec<Session>, Error> {
        let now = self.0.clock.now();
        Ok(sql::live(&mut self.0.store.read().await?, user, self.idle_since(now), now).await?)
    }

    /// Whether the user has logged in from this network before.
    pub(crate) async fn knows_network(&self, user: UserId, origin: &Origin) -> Result<bool, Error> {
        match origin.network() {
            Some(network) => {
                Ok(sql::known_network(&mut self.0.store.read().await?, user, &network.to_string()).await?)
            }
            None => Ok(false),
        }
    }

    /// Removes sessions and revocations that have nothing to tell any more, page by page.
    pub(crate) async fn sweep_sessions(&self, now: Timestamp) -> Result<(), Error> {
        while sql::sweep_revocations(&mut self.0.store.single(), now).await? > 0 {}
        let mut next = Some(SessionId(uuid::Uuid::nil()));
        while let Some(after) = next {
            let mut tx = self.0.store.write().await?;
            next = sql::sweep_page(&mut tx, after, self.idle_since(now), now).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Its last access token was minted by now; or later, if the clock has been set back since.
    fn ended(&self, id: SessionId, rotated_at: Timestamp, now: Timestamp) -> Ended {
        Ended {
            id,
            forget_at: all_dead(&self.0.settings, now.max(rotated_at)),
        }
    }

    fn idle_since(&self, now: Timestamp) -> Timestamp {
        before(now, *self.0.settings.sessions.idle_lifetime)
    }
}

/// Either the clock was wrong when the session was opened, and then it must not live until that time has come; or it
/// is wrong now, and then nobody may be logged out for it.
fn of_another_time() -> Error {
    tracing::error!("a session is of a time that is yet to come: the clock of this machine is wrong, or was");
    Error::new(
        Code::Unavailable,
        "the session is of a time that is yet to come; try again later, or log in again",
    )
    .retry_after(Duration::from_secs(60))
}

fn unknown() -> Error {
    Error::new(
        Code::RefreshInvalid,
        "the refresh token is not valid, or its session is over; log in again",
    )
}
