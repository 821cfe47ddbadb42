-- Which node does a job that one node is enough for, and until when nobody else may take it.
CREATE TABLE leases (
    job        TEXT   NOT NULL PRIMARY KEY,
    node       BLOB   NOT NULL,
    held_until BIGINT NOT NULL
) WITHOUT ROWID;
