-- Typed codes of a second factor since the last one that was right, counted before they are looked at. Nothing after a
-- right one.
CREATE TABLE wrong_codes (
    user_id  UUID   NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    in_a_row BIGINT NOT NULL
);

-- What every key but the signing keys is derived from, and what seals those: once for each master key that may open it.
CREATE TABLE key_slots (
    name       TEXT   NOT NULL PRIMARY KEY,
    sealed     BYTEA  NOT NULL,
    created_at BIGINT NOT NULL
);
