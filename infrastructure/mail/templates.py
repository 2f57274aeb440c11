"""The templates of mails: those of Rollbook, each replaced by the operator's file of that name.

All are read, checked and tried when a process starts, so that no mail finds a broken one.
"""

import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Self

from jinja2 import FunctionLoader, StrictUndefined, TemplateSyntaxError, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from msgspec import Struct

from infrastructure.mail.samples import COMMON, SAMPLES

# Each mail has these three files.
_SUBJECT: Final = ".subject.txt"
_TEXT: Final = ".txt"
_HTML: Final = ".html"
_OWN: Final = Path(__file__).parent / "default_templates"
_SUFFIXES: Final = (".html", ".txt")


class WrongTemplate(Exception):
    """A template cannot be used; the message is one line that names file, line and reason."""

    def __init__(self, path: Path, line: int | None, reason: str) -> None:
        self.path = path
        self.line = line
        self.reason = reason
        super().__init__(path, line, reason)

    def __str__(self) -> str:
        place = f", line {self.line}" if self.line else ""
        return f"{self.path}{place}: {' '.join(self.reason.split())}"


class MailText(Struct, frozen=True):
    """What a mail says; `html` is None if the mail has no HTML part."""

    subject: str
    text: str
    html: str | None


class Templates:
    """The templates as they were when they were read; a changed file counts after a restart.

    Values are escaped in HTML. A template runs in a sandbox, and a value is never read as a
    template. A file whose name begins with `_` is a part that others include.
    """

    def __init__(self, files: Mapping[str, tuple[Path, str]]) -> None:
        self._files = files
        self._environment = ImmutableSandboxedEnvironment(
            loader=FunctionLoader(self._load),
            autoescape=_is_html,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )

    @classmethod
    def read(cls, folder: Path | None = None) -> Self:
        """Read and check all templates; `folder` is the operator's. Raises `WrongTemplate`."""
        files = dict(_read(_OWN))
        if folder is not None:
            files |= _read(folder)
        templates = cls(files)
        templates._check()
        return templates

    @property
    def unused(self) -> list[Path]:
        """Files of the operator that no mail uses: their names may be misspelt."""
        known = {mail + suffix for mail in SAMPLES for suffix in (_SUBJECT, _TEXT, _HTML)}
        return [
            path
            for name, (path, _) in self._files.items()
            if name not in known and not name.startswith("_")
        ]

    def render(self, mail: str, values: Mapping[str, str]) -> MailText:
        """The text of a mail. Raises `WrongTemplate` if a template does not accept these values."""
        return MailText(
            subject=self._render(mail + _SUBJECT, values),
            text=self._render(mail + _TEXT, values),
            html=self._render(mail + _HTML, values) or None,
        )

    def _render(self, name: str, values: Mapping[str, str]) -> str:
        try:
            return self._environment.get_template(name).render(values).strip()
        except TemplateSyntaxError as error:
            raise self._syntax_error(name, error) from None
        except Exception as error:
            # A template may fail in any way. Messages of errors may repeat a value.
            path, line = self._place(name, error)
            raise WrongTemplate(path, line, f"fails with {type(error).__name__}") from None

    def _check(self) -> None:
        for name, (path, source) in self._files.items():
            try:
                tree = self._environment.parse(source, name)
                self._environment.compile(source, name)
                unknown = meta.find_undeclared_variables(tree) - set(self._environment.globals)
            except TemplateSyntaxError as error:
                raise self._syntax_error(name, error) from None
            self._check_names(name, path, tree, unknown)
        for mail, values in SAMPLES.items():
            tried = self.render(mail, {**COMMON, **values})
            for suffix, text in ((_SUBJECT, tried.subject), (_TEXT, tried.text)):
                if not text:
                    raise WrongTemplate(self._files[mail + suffix][0], None, "is empty")

    def _check_names(
        self, name: str, path: Path, tree: nodes.Template, undeclared: set[str]
    ) -> None:
        """Also in branches that a trial does not reach."""
        for each in tree.find_all((nodes.Filter, nodes.Test)):
            known = self._environment.filters if isinstance(each, nodes.Filter) else None
            if each.name not in (self._environment.tests if known is None else known):
                kind = "test" if known is None else "filter"
                raise WrongTemplate(path, each.lineno, f"there is no {kind} {each.name}")
        mail = name.removesuffix(_SUBJECT).removesuffix(_TEXT).removesuffix(_HTML)
        if mail not in SAMPLES:
            # The template that includes it may give it other values.
            return
        allowed = {*COMMON, *SAMPLES[mail]}
        for each in tree.find_all(nodes.Name):
            if each.ctx == "load" and each.name in undeclared - allowed:
                names = ", ".join(sorted(allowed))
                raise WrongTemplate(
                    path, each.lineno, f"there is no value {each.name}; there are {names}"
                )

    def _load(self, name: str) -> tuple[str, str, None] | None:
        if name not in self._files:
            return None
        path, source = self._files[name]
        return source, str(path), None

    def _syntax_error(self, name: str, error: TemplateSyntaxError) -> WrongTemplate:
        path, _ = self._files.get(error.name or name, self._files[name])
        return WrongTemplate(path, error.lineno, error.message or "cannot be read")

    def _place(self, name: str, error: Exception) -> tuple[Path, int | None]:
        """The innermost template of the traceback, and the line in it."""
        paths = {str(path): path for path, _ in self._files.values()}
        places = [
            (paths[frame.f_code.co_filename], line)
            for frame, line in traceback.walk_tb(error.__traceback__)
            if frame.f_code.co_filename in paths
        ]
        return places[-1] if places else (self._files[name][0], None)


def _is_html(name: str | None) -> bool:
    return name is not None and name.endswith(_HTML)


def _read(folder: Path) -> Iterator[tuple[str, tuple[Path, str]]]:
    for path in sorted(folder.iterdir()):
        if path.suffix in _SUFFIXES and not path.name.startswith("."):
            try:
                yield path.name, (path, path.read_text("utf-8-sig"))
            except UnicodeDecodeError:
                raise WrongTemplate(path, None, "is not in UTF-8") from None
            except OSError as error:
                raise WrongTemplate(path, None, error.strerror or "cannot be read") from None
