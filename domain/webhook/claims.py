"""The place that a webhook holds: one of a fixed number, so there are never more webhooks."""

from typing import Final

SCOPE: Final = "webhook"
MAX_WEBHOOKS: Final = 100
PLACES: Final = tuple(str(number) for number in range(1, MAX_WEBHOOKS + 1))
"""The values of the scope. A webhook takes a free one when it is created, and releases it when it
is deleted. So the holders of these claims are the living webhooks.
"""
