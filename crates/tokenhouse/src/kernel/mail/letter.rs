//! A mail as it is read.

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use crate::base::mail::Message;
use crate::kernel::house::Tokenhouse;

/// A template and what it is filled with.
pub(super) struct Letter<'a> {
    pub(super) kind: &'a str,
    pub(super) language: &'a str,
    pub(super) data: &'a Value,
}

/// An instant as mails write it.
pub(super) fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

impl Letter<'_> {
    pub(super) fn write(
        &self,
        _house: &Tokenhouse,
        id: Uuid,
        to: &str,
        at: Timestamp,
    ) -> Result<Message, String> {
        let _ = self.language;
        Ok(Message {
            id,
            kind: self.kind.to_owned(),
            to: to.to_owned(),
            subject: self.kind.to_owned(),
            text: self.data.to_string(),
            html: String::new(),
            at,
        })
    }
}
