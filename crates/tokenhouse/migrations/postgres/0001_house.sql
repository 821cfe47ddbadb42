-- What every feature meets in. Ids are UUIDs (native), times microseconds since 1970 UTC, JSON is text.

CREATE TABLE users (
    id                UUID    NOT NULL PRIMARY KEY,
    email             TEXT,
    email_key         TEXT    UNIQUE,
    email_verified_at BIGINT,
    username          TEXT,
    username_key      TEXT    UNIQUE,
    is_superuser      BOOLEAN NOT NULL,
    roles             TEXT    NOT NULL,
    profile           TEXT    NOT NULL,
    disabled_at       BIGINT,
    created_at        BIGINT  NOT NULL,
    updated_at        BIGINT  NOT NULL,
    last_login_at     BIGINT,
    epoch             BIGINT  NOT NULL,
    CHECK (email_key IS NOT NULL OR username_key IS NOT NULL)
);

-- One login on one device. The refresh token is derived from id and generation, and lies nowhere.
CREATE TABLE sessions (
    id         UUID   NOT NULL PRIMARY KEY,
    user_id    UUID   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    client_id  TEXT,
    scope      TEXT   NOT NULL,
    method     TEXT   NOT NULL,
    generation BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    rotated_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT,
    address    TEXT,
    network    TEXT,
    user_agent TEXT,
    proved_at  BIGINT NOT NULL DEFAULT 0,
    claims     TEXT
) WITH (fillfactor = 80);

CREATE INDEX sessions_live ON sessions (user_id) WHERE revoked_at IS NULL;
CREATE INDEX sessions_by_network ON sessions (user_id, network);

-- Ids (of sessions or of single tokens) whose access tokens are refused although not yet expired.
CREATE TABLE revocations (
    id         UUID   NOT NULL PRIMARY KEY,
    revoked_at BIGINT NOT NULL,
    forget_at  BIGINT NOT NULL
);

CREATE INDEX revocations_by_time ON revocations (revoked_at);
CREATE INDEX revocations_by_end ON revocations (forget_at);

-- Signing keys; the private half is sealed under the master key, which is never in here.
CREATE TABLE signing_keys (
    kid          TEXT   NOT NULL PRIMARY KEY,
    algorithm    TEXT   NOT NULL,
    state        TEXT   NOT NULL CHECK (state IN ('next', 'active', 'retired')),
    sealed       BYTEA  NOT NULL,
    public_jwk   TEXT,
    created_at   BIGINT NOT NULL,
    activated_at BIGINT,
    retired_at   BIGINT,
    expires_at   BIGINT
);

CREATE UNIQUE INDEX signing_keys_one_active ON signing_keys (state) WHERE state = 'active';
CREATE UNIQUE INDEX signing_keys_one_next ON signing_keys (state) WHERE state = 'next';

-- What happened, written in the transaction of the change itself. No foreign key: it outlives the account.
CREATE TABLE events (
    id         UUID   NOT NULL PRIMARY KEY,
    at         BIGINT NOT NULL,
    kind       TEXT   NOT NULL,
    user_id    UUID,
    session_id UUID,
    address    TEXT,
    data       TEXT   NOT NULL
);

CREATE INDEX events_by_user ON events (user_id, id);
CREATE INDEX events_by_time ON events (at);

-- When an account may next be tried with a password; the key is a digest, for accounts that exist and for those that do not.
CREATE TABLE brakes (
    id         BYTEA  NOT NULL PRIMARY KEY,
    theoretical_arrival BIGINT NOT NULL
);

CREATE INDEX brakes_by_time ON brakes (theoretical_arrival);
