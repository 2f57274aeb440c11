"""Builds a mail as the mail server gets it: headers, a text part and an HTML part."""

import unicodedata
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from typing import Final

import idna

from application.reactions.mail import Mail
from application.reactions.sender import Sender
from infrastructure.mail.templates import MailText

# Control characters, and halves of surrogate pairs, which have no form in UTF-8.
_REMOVED: Final = frozenset({"Cc", "Cs"})


def mailbox(address: str) -> str:
    """The address as mail servers know it: the domain in IDNA form.

    It is ASCII, unless the part before the @ is not: then a server needs SMTPUTF8 (RFC 6531).
    """
    local, _, domain = address.rpartition("@")
    try:
        return f"{local}@{idna.encode(domain, uts46=True).decode('ascii')}"
    except idna.IDNAError:
        return address


def compose(mail: Mail, says: MailText, sender: Sender, to: str, at: datetime) -> bytes:
    """The mail as sent, 7-bit apart from headers with an address that needs SMTPUTF8.

    `Message-ID` holds the event's id and the template's name, so a repeated mail has the same one
    and another mail about the event has not. `Auto-Submitted` (RFC 3834) tells mail programs not to
    answer. No value can add a header: a subject is one line. Raises `ValueError` for an address
    that no header can hold.
    """
    message = EmailMessage(policy=SMTP if to.isascii() else SMTPUTF8)
    message["From"] = _header(sender.address, sender.name)
    message["To"] = _header(to)
    message["Subject"] = _line(says.subject)
    message["Date"] = at
    message["Message-ID"] = f"<{mail.event_id}.{mail.template}@{sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(_lines(says.text), charset="utf-8", cte="quoted-printable")
    if says.html is not None:
        message.add_alternative(
            _lines(says.html), subtype="html", charset="utf-8", cte="quoted-printable"
        )
    # Some mailboxes take a Message-ID on a line of its own for an empty one.
    head, end, body = message.as_bytes().partition(b"\r\n\r\n")
    return head.replace(b"\r\nMessage-ID:\r\n ", b"\r\nMessage-ID: ") + end + body


def _header(address: str, name: str = "") -> Address:
    # Address itself parses a whole address, and then refuses what SMTPUTF8 allows.
    local, _, domain = address.rpartition("@")
    return Address(_line(name), local, domain)


def _line(text: str) -> str:
    # The standard library would decode an encoded word (RFC 2047) in a value, which may hold a line
    # break, and write it as a header.
    return _printable(" ".join(text.split())).replace("=?", "= ?")


def _lines(text: str) -> str:
    return "".join(f"{_printable(line)}\n" for line in text.splitlines())


def _printable(text: str) -> str:
    return "".join(each for each in text if unicodedata.category(each) not in _REMOVED)
