-- The secret shared with an authenticator app, sealed under the master key, and the last time step whose code was used.
CREATE TABLE totp (
    user_id      BLOB    NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    sealed       BLOB    NOT NULL,
    last_step    BIGINT  NOT NULL,
    confirmed_at BIGINT  NOT NULL
) WITHOUT ROWID;

-- A secret that was shown but not confirmed yet; it counts for nothing, and leaves the one above as it is.
CREATE TABLE totp_enrolments (
    user_id    BLOB    NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    sealed     BLOB    NOT NULL,
    expires_at BIGINT  NOT NULL
) WITHOUT ROWID;

CREATE INDEX totp_enrolments_by_time ON totp_enrolments (expires_at);

-- Ten codes for the day the second factor is lost, each a MAC under a key that is not in here.
CREATE TABLE recovery_codes (
    user_id    BLOB    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    digest     BLOB    NOT NULL,
    created_at BIGINT  NOT NULL,
    used_at    BIGINT,
    PRIMARY KEY (user_id, digest)
) WITHOUT ROWID;
