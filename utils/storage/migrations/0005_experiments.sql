-- Experiments on drafting; the newest row is the present one. `percent` is NULL where none runs.
-- `settings` is what the environment said when it was last taken over.
CREATE TABLE experiments (
    id INTEGER PRIMARY KEY,
    salt TEXT NOT NULL,
    percent INTEGER CHECK (percent BETWEEN 0 AND 100),
    is_stopped INTEGER NOT NULL,
    began_at REAL NOT NULL,
    settings TEXT NOT NULL
);

-- What the answers of an experiment measured. `browser` is a pseudonym, and no text is kept.
CREATE TABLE experiment_answers (
    answer_id TEXT NOT NULL PRIMARY KEY,
    experiment INTEGER NOT NULL REFERENCES experiments (id),
    browser TEXT NOT NULL,
    arm TEXT NOT NULL CHECK (arm IN ('standard', 'speculative')),
    ended_at REAL NOT NULL,
    model TEXT NOT NULL,
    state TEXT NOT NULL,
    fell_back INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    tokens_per_second REAL NOT NULL,
    ttft_s REAL NOT NULL,
    answer_s REAL NOT NULL
) WITHOUT ROWID;

CREATE INDEX experiment_answers_by_experiment ON experiment_answers (experiment, ended_at);

-- What users think of an answer: thumbs 0 or 1, its speed 1 to 5.
CREATE TABLE answer_ratings (
    answer_id TEXT NOT NULL PRIMARY KEY,
    thumb INTEGER CHECK (thumb IN (0, 1)),
    speed INTEGER CHECK (speed BETWEEN 1 AND 5),
    rated_at REAL NOT NULL
) WITHOUT ROWID;
