"""What ends a command with one line instead of a traceback."""


class CommandFailed(Exception):
    """The command cannot go on; the message is one line for people."""
