"""Errors that end a command with one line instead of a traceback."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import typer

from infrastructure.embedded.errors import EmbeddedServerError
from interfaces.settings import WrongSetting

FAILED: Final = 1
USAGE: Final = 2


@contextmanager
def failing(*expected: type[Exception]) -> Generator[None]:
    """Print the error as one line, and end with its exit code."""
    try:
        yield
    except WrongSetting as error:
        typer.echo(f"rollbook: {error}", err=True)
        raise typer.Exit(USAGE) from None
    except (CommandFailed, EmbeddedServerError, *expected) as error:
        if isinstance(error, CommandFailed) and error.names_setting:
            raise typer.Exit(USAGE) from None
        typer.echo(f"rollbook: {error}", err=True)
        raise typer.Exit(FAILED) from None


class CommandFailed(Exception):
    """The command cannot continue; the message is one line for people.

    `names_setting`: a setting was wrong, and the process that found it has printed the line.
    """

    names_setting: bool = False
