-- Whether the password was chosen by a mail, and has not yet been shown together with a second factor: it then shows no more
-- than that somebody reads the mail.
ALTER TABLE passwords ADD COLUMN by_mail BOOLEAN NOT NULL DEFAULT FALSE;
