"""docs/mail.md: its template and its code work as printed, and its tables name what there is."""

import re
from pathlib import Path
from uuid import uuid4

import pytest

from application.reactions.mail import Mail
from application.reactions.reaction import ReactionContext
from application.reactions.registry import REACTIONS
from infrastructure.mail.samples import COMMON, SAMPLES
from infrastructure.mail.templates import Templates
from tests.support.documents import listing
from tests.support.doubles.mailer import KeepingMailer
from tests.support.servers.rollbook import ROOT

PAGE = (ROOT / "docs/mail.md").read_text()


def rows(after: str) -> dict[str, str]:
    """The first two cells of each row of the table after a piece of text, without marks."""
    table = PAGE.partition(after)[2].partition("\n\n")[0]
    cells = (line.strip("| ").split(" | ") for line in table.splitlines()[1:])
    return {name.strip("`"): text for name, text, *_ in cells}


def test_the_printed_template_replaces_that_of_rollbook(tmp_path: Path) -> None:
    (tmp_path / "welcome.txt").write_text(listing("mail.md", "jinja"))
    (tmp_path / "_footer.txt").write_text("Impressum: {{ sender }}")
    says = Templates.read(tmp_path).render("welcome", {**COMMON, **SAMPLES["welcome"]})
    assert says.text.startswith("Grüezi Grace Hopper,\n\nwillkommen bei Example.")
    assert says.text.endswith("\nImpressum: Example")


@pytest.mark.parametrize("mail", SAMPLES)
def test_the_page_names_each_value_of_each_mail(mail: str) -> None:
    values = rows("| mail | values |\n")[mail]
    assert set(re.findall(r"`(\w+)`", values)) == SAMPLES[mail].keys()


def test_the_page_names_each_reaction_that_sends_a_mail() -> None:
    sending = {each.name for each in REACTIONS if each.needs_mail}
    assert rows("| reaction | when | to | what it says |\n").keys() == sending


async def test_the_printed_code_sends_a_mail() -> None:
    lines = "".join(f"    {line}\n" for line in listing("mail.md", "python").splitlines())
    names = {"Mail": Mail, "address": "grace@example.com", "name": "Grace"}
    exec(f"async def run(recorded, context):\n{lines}", names)  # the page is ours
    mailer = KeepingMailer()

    class Recorded:
        event_id = uuid4()

    context = ReactionContext(reaction="r", attempt=1, mail=mailer, options={})
    await names["run"](Recorded, context)  # type: ignore[operator]
    assert [mail.template for mail in mailer.mails] == ["goodbye"]
