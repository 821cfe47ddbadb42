-- Mail that is to go out, written in the transaction of what it tells. What it says (links, codes) is sealed under the
-- master key, and gone once it was delivered. `due_at` is also the lease of whoever is sending it.
CREATE TABLE outbox (
    id         BLOB    NOT NULL PRIMARY KEY,
    kind       TEXT    NOT NULL,
    address    TEXT    NOT NULL,
    sealed     BLOB,
    state      TEXT    NOT NULL CHECK (state IN ('waiting', 'sent', 'dead')),
    attempts   BIGINT  NOT NULL,
    created_at BIGINT  NOT NULL,
    due_at     BIGINT  NOT NULL,
    give_up_at BIGINT  NOT NULL,
    ended_at   BIGINT,
    error      TEXT
) WITHOUT ROWID;

CREATE INDEX outbox_due ON outbox (due_at) WHERE state = 'waiting';
CREATE INDEX outbox_ended ON outbox (ended_at) WHERE state <> 'waiting';
CREATE INDEX outbox_dead ON outbox (id) WHERE state = 'dead';
