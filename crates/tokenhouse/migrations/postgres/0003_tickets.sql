-- One-time secrets of every purpose: links, typed codes, challenges, half-finished logins. Gone once spent.
CREATE TABLE tickets (
    digest     BYTEA  NOT NULL PRIMARY KEY,
    purpose    TEXT   NOT NULL,
    user_id    UUID   REFERENCES users (id) ON DELETE CASCADE,
    subject    TEXT   NOT NULL,
    code_mac   BYTEA,
    data       TEXT   NOT NULL,
    tries      BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX tickets_by_subject ON tickets (purpose, subject);
CREATE INDEX tickets_by_user ON tickets (user_id);
CREATE INDEX tickets_by_end ON tickets (expires_at);
