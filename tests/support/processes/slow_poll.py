"""Runs a command of Rollbook whose followers poll once a minute, so that only bells wake them.

Run as `python -P -m tests.support.processes.slow_poll projector`.
"""

from typing import Final

from application.log import follower

SECONDS: Final = 60.0


def main() -> None:
    # Before the roles import it.
    setattr(follower, "POLL_SECONDS", SECONDS)  # noqa: B010
    from interfaces.cli.main import app

    app()


if __name__ == "__main__":
    main()
