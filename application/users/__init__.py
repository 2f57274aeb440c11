"""Commands on users: deciding, recording, replaying, and users as they were."""
