"""Runs a command of Rollbook whose followers poll once a minute, so that only bells wake them.

Run as `python -P -m tests.benchmarks.slow_poll projector`.
"""

from typing import Final

from application.log import follower

SECONDS: Final = 60.0


def main() -> None:
    # Before the roles import it.
    vars(follower)["POLL_SECONDS"] = SECONDS
    from interfaces.cli.main import app  # noqa: PLC0415

    app()


if __name__ == "__main__":
    main()
