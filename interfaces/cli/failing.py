"""How a command ends that cannot do its work: in one line, with the exit code for it."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import typer

from infrastructure.embedded.errors import EmbeddedServerError
from interfaces.cli.errors import CommandFailed
from interfaces.settings import WrongSetting

FAILED: Final = 1
USAGE: Final = 2


@contextmanager
def failing(*expected: type[Exception]) -> Generator[None]:
    """Say in one line what went wrong, and end with the exit code for it."""
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
