-- Which node does a job that one node is enough for, and until when nobody else may take it.
CREATE TABLE leases (
    job        TEXT   NOT NULL PRIMARY KEY,
    node       UUID   NOT NULL,
    held_until BIGINT NOT NULL
);
