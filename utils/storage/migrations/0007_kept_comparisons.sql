-- Comparisons as they are listed; `record` is all of one but its vote, which has a table already.
-- `run` is the run of the app that wrote it last. Times are seconds since the epoch.
CREATE TABLE comparisons (
    id TEXT NOT NULL PRIMARY KEY,
    owner TEXT NOT NULL,
    started_at REAL NOT NULL,
    state TEXT NOT NULL,
    run TEXT NOT NULL,
    question TEXT NOT NULL,
    is_blind INTEGER NOT NULL,
    label_a TEXT NOT NULL,
    label_b TEXT NOT NULL,
    tokens_per_second_a REAL NOT NULL,
    tokens_per_second_b REAL NOT NULL,
    deleted_at REAL,
    record TEXT NOT NULL
);
CREATE INDEX comparisons_by_owner ON comparisons (owner, started_at);
