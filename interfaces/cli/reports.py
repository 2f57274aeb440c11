"""What commands show while they work."""

from typing import Self

from rich.progress import Progress


class Report:
    """Shown from when it is entered until it is left; a bar, if it has one, is gone then."""

    bar: Progress | None = None

    def __enter__(self) -> Self:
        if self.bar is not None:
            self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.stop()
