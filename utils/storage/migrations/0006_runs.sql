-- Which run of the app wrote an answer last: one that goes on may still be writing it.
ALTER TABLE answers ADD COLUMN run TEXT NOT NULL DEFAULT '';
