-- The name under which an account is known to authenticators: random, and nothing of the account can be read off it.
CREATE TABLE passkey_handles (
    user_id BLOB    NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    handle  BLOB    NOT NULL UNIQUE
) WITHOUT ROWID;

-- Public keys that authenticators made for an account.
CREATE TABLE passkeys (
    id              BLOB    NOT NULL PRIMARY KEY,
    user_id         BLOB    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    credential_id   BLOB    NOT NULL UNIQUE,
    public_key      BLOB    NOT NULL,
    sign_count      BIGINT  NOT NULL,
    user_verified   BOOLEAN NOT NULL,
    discoverable    BOOLEAN NOT NULL,
    backup_eligible BOOLEAN NOT NULL,
    backed_up       BOOLEAN NOT NULL,
    transports      TEXT    NOT NULL,
    aaguid          BLOB    NOT NULL,
    name            TEXT    NOT NULL,
    created_at      BIGINT  NOT NULL,
    last_used_at    BIGINT
) WITHOUT ROWID;

CREATE INDEX passkeys_by_user ON passkeys (user_id);
