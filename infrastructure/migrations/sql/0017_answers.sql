-- The answers to administrative commands; null for commands to users, whose answers the log has.
ALTER TABLE receipts ADD COLUMN answer text;
