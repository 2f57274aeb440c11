"""Builds a mail as the mail server gets it: headers, a text part and an HTML part."""

import unicodedata
from datetime import datetime
from email.header import Header
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, quote
from typing import Final

import idna

from application.reactions.mail import Mail
from application.reactions.sender import Sender
from infrastructure.mail.templates import MailText

# Control characters, and halves of surrogate pairs, which have no form in UTF-8.
_REMOVED: Final = frozenset({"Cc", "Cs"})
# A longer line is folded (RFC 5322, section 2.1.1), which only encoded words survive in all cases.
_MAX_LINE: Final = 76
# The standard library and mailboxes decode an encoded word (RFC 2047) wherever they find one.
_ENCODED_WORD: Final = "=?"
# What ends an address in a header or in a command of SMTP.
_NEVER_IN_ADDRESSES: Final = frozenset(' <>,;:"\\()[]')


def mailbox(address: str) -> str:
    """The address as mail servers know it: the domain in IDNA form.

    It is ASCII, unless the part before the @ is not: then a server needs SMTPUTF8 (RFC 6531).
    Raises `ValueError` for an address that no header can hold.
    """
    local, at, domain = address.rpartition("@")
    if not (local and at and domain and address.isprintable()):
        raise ValueError
    if not _NEVER_IN_ADDRESSES.isdisjoint(address):
        raise ValueError
    try:
        return f"{local}@{idna.encode(domain, uts46=True).decode('ascii')}"
    except idna.IDNAError:
        return address


def compose(mail: Mail, says: MailText, sender: Sender, to: str, at: datetime) -> bytes:
    """The mail as sent, in 7 bits, except for a `to` that needs SMTPUTF8.

    `Message-ID` holds the event's id and the template's name, so a repeated mail has the same one
    and another mail about the event has not. `Auto-Submitted` (RFC 3834) tells mail programs not to
    answer. No value can add a header or be taken for one.

    The headers are written here, because the standard library loses the quotes of long names, and
    decodes encoded words in values into line breaks.
    """
    headers = {
        "From": _from(sender),
        "To": to,
        "Subject": _encoded("Subject", _line(says.subject)),
        "Date": format_datetime(at),
        "Message-ID": f"<{mail.event_id}.{mail.template}@{sender.domain}>",
        "Auto-Submitted": "auto-generated",
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return head.encode() + _content(says)


def _content(says: MailText) -> bytes:
    content = EmailMessage(policy=SMTP)
    content.set_content(_lines(says.text), charset="utf-8", cte="quoted-printable")
    if says.html is not None:
        html = _lines(says.html)
        content.add_alternative(html, subtype="html", charset="utf-8", cte="quoted-printable")
    return content.as_bytes()


def _from(sender: Sender) -> str:
    name = _line(sender.name)
    if not name:
        return sender.address
    encoded = _encoded("From", name)
    return f"{encoded if encoded != name else _quoted(name)} <{sender.address}>"


def _quoted(name: str) -> str:
    return f'"{quote(name)}"'


def _encoded(header: str, text: str) -> str:
    """The text itself, or encoded words on as many lines as they need."""
    is_short = len(header) + len(": ") + len(text) <= _MAX_LINE
    if text.isascii() and is_short and _ENCODED_WORD not in text:
        return text
    return Header(text, "utf-8", header_name=header).encode(linesep="\r\n")


def _line(text: str) -> str:
    return _printable(" ".join(text.split()))


def _lines(text: str) -> str:
    return "".join(f"{_printable(line)}\n" for line in text.splitlines())


def _printable(text: str) -> str:
    return "".join(each for each in text if unicodedata.category(each) not in _REMOVED)
