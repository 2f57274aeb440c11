"""Leadership of followers: one database session of the process holds their advisory locks."""

from infrastructure.leadership.session import (
    FROZEN_MILLISECONDS,
    IS_LED,
    Lead,
    LeadingSession,
    lock_key,
)

__all__ = ["FROZEN_MILLISECONDS", "IS_LED", "Lead", "LeadingSession", "lock_key"]
