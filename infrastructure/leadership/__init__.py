"""Leadership of a follower: one database session holds its advisory lock."""

from infrastructure.leadership.session import LeadingSession, lock_key

__all__ = ["LeadingSession", "lock_key"]
