//! Telling people by mail what happened to their account: when, where, and what to do if it was not them. Every part of
//! the house that changes how somebody can get in calls [`security_notice`] in the transaction of the change.

use std::time::Duration;

use jiff::Timestamp;

use super::account::{Email, User};
use super::brake::{self, BrakeKey, Pace};
use super::house::Tokenhouse;
use super::mail::{self, Content, Facts, Mail};
use super::session::{self, Seen, Session};
use crate::base::error::Error;
use crate::base::http::Origin;
use crate::base::store::Tx;

/// Notices of one kind about one account: so many at once and then one a minute, so that nobody's mailbox is filled by
/// somebody who has got into the account. Each kind by itself, so that whoever does one thing thirty times is not silent
/// about another; and asking for mails does not count here at all.
const PACE: Pace = Pace {
    burst: 30,
    interval: Duration::from_secs(60),
};
/// Logins cost the least to repeat, and say the least.
const LOGINS: Pace = Pace {
    burst: 10,
    interval: Duration::from_secs(600),
};

/// What somebody is told of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Notice<'a> {
    /// A login from a device or network that the account was not used from before.
    NewDevice,
    /// The password was changed, or chosen anew.
    PasswordChanged,
    /// The first second factor was added; where the mail may carry one, with a link that takes it back.
    FirstFactor {
        /// Its name, as below.
        factor: &'a str,
        /// The page of the link, and until when it works.
        undo: (&'a str, Timestamp),
    },
    /// A second factor was added; its name is a text `mail.factor.<name>`: `totp`, `passkey`.
    FactorAdded(&'a str),
    /// A second factor was removed.
    FactorRemoved(&'a str),
    /// Whoever reads the mail took the account over, and what let anybody in before is gone.
    Claimed,
    /// A recovery code stood in for a second factor; so many are left.
    RecoveryCodeUsed(i64),
    /// There are new recovery codes, and the old ones are void.
    RecoveryCodes,
    /// The right password, after several that were wrong.
    AfterWrongPasswords,
    /// The username was changed.
    UsernameChanged,
    /// Somebody who got past the first step types codes that are wrong.
    WrongCodes,
    /// So many were wrong that none is looked at any more.
    CodesStopped,
    /// The account is gone.
    AccountDeleted,
}

impl Notice<'_> {
    fn pace(self) -> Pace {
        match self {
            Self::NewDevice => LOGINS,
            _ => PACE,
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::NewDevice => "new_device",
            Self::PasswordChanged => "password_changed",
            Self::FirstFactor { .. } => "first_factor",
            Self::FactorAdded(_) => "factor_added",
            Self::FactorRemoved(_) => "factor_removed",
            Self::Claimed => "claimed",
            Self::RecoveryCodeUsed(_) => "recovery_code_used",
            Self::RecoveryCodes => "recovery_codes",
            Self::AfterWrongPasswords => "after_wrong_passwords",
            Self::UsernameChanged => "username_changed",
            Self::WrongCodes => "wrong_codes",
            Self::CodesStopped => "codes_stopped",
            Self::AccountDeleted => "account_deleted",
        }
    }
}

/// A step: tells the user of a login from a network or with a device that the account was not used from before, as far
/// as its sessions are remembered: not for ever, so that a login after a long while is told too. The first login of all is
/// no news.
pub(crate) async fn tell_of_login(
    tx: &mut Tx,
    house: &Tokenhouse,
    user: &User,
    session: &Session,
    is_first: bool,
    origin: &Origin,
) -> Result<(), Error> {
    if is_first || !house.sends_mail() || !house.0.settings.mail.new_device {
        return Ok(());
    }
    let earlier = session::seen_before(tx, session).await?;
    let network = origin.network().map(|network| network.to_string());
    let device = device(origin.user_agent.as_deref());
    let is_known = |one: &Seen| one.network == network && self::device(one.user_agent.as_deref()) == device;
    if earlier.iter().any(is_known) {
        return Ok(());
    }
    security_notice(tx, house, user, Notice::NewDevice, origin, session.created_at).await
}

/// A device is the same after its browser was updated: only the numbers are others.
fn device(user_agent: Option<&str>) -> String {
    user_agent
        .unwrap_or_default()
        .chars()
        .filter(|c| !c.is_ascii_digit() && *c != '.')
        .collect()
}

/// A step: tells `user` by mail, where they have an address and the house sends mail.
pub(crate) async fn security_notice(
    tx: &mut Tx,
    house: &Tokenhouse,
    user: &User,
    notice: Notice<'_>,
    origin: &Origin,
    now: Timestamp,
) -> Result<(), Error> {
    let Some(email) = user.email.as_deref().and_then(|text| Email::parse(text).ok()) else {
        return Ok(());
    };
    if !house.sends_mail() {
        return Ok(());
    }
    let key = BrakeKey::of(&[b"notice", notice.kind().as_bytes(), user.id.0.as_bytes()]);
    if !brake::admit(tx, &key, notice.pace(), now).await? {
        tracing::warn!(user = %user.id, kind = notice.kind(), "so much happened to an account that its user is not told of it all");
        return Ok(());
    }
    let places = match notice {
        Notice::FirstFactor { factor, .. } | Notice::FactorAdded(factor) | Notice::FactorRemoved(factor) => {
            vec![("factor".to_owned(), factor.to_owned())]
        }
        Notice::RecoveryCodeUsed(left) => vec![("left".to_owned(), left.to_string())],
        _ => Vec::new(),
    };
    let (link, expires_at) = match notice {
        Notice::FirstFactor {
            undo: (link, until), ..
        } => (Some(link.to_owned()), Some(until)),
        _ => (None, None),
    };
    let mail = Mail {
        to: email.as_str(),
        kind: notice.kind(),
        language: house.language_for(Some(user), origin).tag(),
        content: Content {
            link,
            expires_at,
            places,
            facts: Some(Facts::of(origin, now)),
            ..Content::default()
        },
        decoy: false,
    };
    mail::enqueue(tx, house, mail, now).await
}
