-- When a worker that has the reaction said so last: a process of a release without it does not lead
-- then, because it would go past events that start the reaction.
ALTER TABLE reactions ADD COLUMN seen_at timestamptz;
