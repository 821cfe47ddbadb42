-- One password hash per user who has a password: a PHC string, or a foreign one until the next login.
CREATE TABLE passwords (
    user_id    UUID   NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    hash       TEXT   NOT NULL,
    changed_at BIGINT NOT NULL
);
