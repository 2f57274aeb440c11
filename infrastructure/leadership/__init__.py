"""Who leads a follower: one session in the database, by an advisory lock."""

from infrastructure.leadership.session import LeadingSession, lock_key

__all__ = ["LeadingSession", "lock_key"]
