-- What was preferred in a blind comparison, before it was told which answer was which.
CREATE TABLE comparison_votes (
    race_id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    voted_at REAL NOT NULL,
    model TEXT NOT NULL,
    choice TEXT NOT NULL CHECK (choice IN ('a', 'b', 'neither')),
    arm_a TEXT NOT NULL,
    arm_b TEXT NOT NULL,
    label_a TEXT NOT NULL,
    label_b TEXT NOT NULL,
    tokens_per_second_a REAL NOT NULL,
    tokens_per_second_b REAL NOT NULL
);
CREATE INDEX comparison_votes_by_time ON comparison_votes (voted_at);
