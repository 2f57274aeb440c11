"""What ends a command with one line instead of a traceback."""


class CommandFailed(Exception):
    """The command cannot go on; the message is one line for people.

    `names_setting`: it was a wrong setting, and the process that found it has said so in that line.
    """

    names_setting: bool = False
