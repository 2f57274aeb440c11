"""Leadership of followers: one database session of the process holds their advisory locks."""

from infrastructure.leadership.session import FROZEN_MILLISECONDS, Lead, LeadingSession, lock_key

__all__ = ["FROZEN_MILLISECONDS", "Lead", "LeadingSession", "lock_key"]
