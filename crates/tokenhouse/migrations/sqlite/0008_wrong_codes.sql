-- Typed codes of a second factor since the last one that was right, counted before they are looked at. Nothing after a
-- right one.
CREATE TABLE wrong_codes (
    user_id  BLOB   NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    in_a_row BIGINT NOT NULL
) WITHOUT ROWID;
