"""The files of the repository."""

import subprocess
from pathlib import Path

from tests.support.servers.rollbook import ROOT


def repository_files(*patterns: str) -> list[Path]:
    """The files that match any pattern (all without one), except those that git ignores."""
    command = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *patterns)
    names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    paths = [ROOT / name for name in names.decode().split("\0") if name]
    # Git still lists a file that was deleted and not committed.
    return [path for path in paths if path.is_file()]
