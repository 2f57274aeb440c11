"""The commands under `rollbook export`, each a few lines around its own module."""

from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from interfaces.cli.errors import failing

export = typer.Typer(
    help="Export all matching users or audit items to a file.", no_args_is_help=True
)

_HERE: Final = Path(".rollbook")
_LIST: Final = "A comma-separated list."

Format = Annotated[Literal["csv", "ndjson"], typer.Option("--format", help="Format of the file.")]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="The file; default: standard output.", dir_okay=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON lines; needs --output.")]
DataDir = Annotated[Path, typer.Option(help="Directory of the local instance.", file_okay=False)]
Several = Annotated[str | None, typer.Option(help=_LIST)]


@export.command()
def users(
    q: Annotated[str | None, typer.Option(help="Word prefixes in name or e-mail address.")] = None,
    email: Several = None,
    external_id: Several = None,
    ids: Several = None,
    role: Several = None,
    status: Annotated[
        str | None, typer.Option(help="A comma-separated list; default: active,suspended.")
    ] = None,
    sort: Annotated[str | None, typer.Option(help="Such as name, or -created_at.")] = None,
    format: Format = "csv",  # noqa: A002 (the name of the option)
    output: Output = None,
    json: Json = False,
    data_dir: DataDir = _HERE,
) -> None:
    """Export the users that match all of the filters, as they are now."""
    filters = {
        "q": q,
        "email": email,
        "external_id": external_id,
        "ids": ids,
        "role": role,
        "status": status,
        "sort": sort,
    }
    _run("users", format, filters, output, json=json, data_dir=data_dir)


@export.command()
def audit(
    actor: Several = None,
    on_behalf_of: Several = None,
    user: Annotated[str | None, typer.Option(help="An id, or a current e-mail address.")] = None,
    types: Annotated[str | None, typer.Option(help="Such as user.renamed,user.deleted.")] = None,
    correlation_id: Several = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--from", help="Recorded at this time or later, such as 2026-03-01T00:00:00Z."
        ),
    ] = None,
    to: Annotated[str | None, typer.Option(help="Recorded before this time.")] = None,
    format: Format = "csv",  # noqa: A002 (the name of the option)
    output: Output = None,
    json: Json = False,
    data_dir: DataDir = _HERE,
) -> None:
    """Export who changed what, the newest first."""
    filters = {
        "actor": actor,
        "on_behalf_of": on_behalf_of,
        "user": user,
        "types": types,
        "correlation_id": correlation_id,
        "from": since,
        "to": to,
    }
    _run("audit", format, filters, output, json=json, data_dir=data_dir)


def _run(
    what: str,
    form: str,
    filters: dict[str, str | None],
    output: Path | None,
    *,
    json: bool,
    data_dir: Path,
) -> None:
    from interfaces.cli.export.run import export_file

    if json and output is None:
        raise typer.BadParameter("--json needs --output: standard output is the file")
    given = {name: value for name, value in filters.items() if value is not None}
    request: dict[str, Any] = {"what": what, "format": form, "filters": given}
    with failing():
        raise typer.Exit(export_file(data_dir, request, output, json=json))
