-- What a person likes to find again: one JSON text a name.
CREATE TABLE preferences (
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (owner, name)
) WITHOUT ROWID;
