-- The name under which an account is known to authenticators: random, and nothing of the account can be read off it.
CREATE TABLE passkey_handles (
    user_id UUID    NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    handle  BYTEA   NOT NULL UNIQUE
);

-- Public keys that authenticators made for an account.
CREATE TABLE passkeys (
    id              UUID    NOT NULL PRIMARY KEY,
    user_id         UUID    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    credential_id   BYTEA   NOT NULL UNIQUE,
    public_key      BYTEA   NOT NULL,
    sign_count      BIGINT  NOT NULL,
    user_verified   BOOLEAN NOT NULL,
    discoverable    BOOLEAN NOT NULL,
    backup_eligible BOOLEAN NOT NULL,
    backed_up       BOOLEAN NOT NULL,
    transports      TEXT    NOT NULL,
    aaguid          UUID    NOT NULL,
    name            TEXT    NOT NULL,
    created_at      BIGINT  NOT NULL,
    last_used_at    BIGINT
);

CREATE INDEX passkeys_by_user ON passkeys (user_id);
