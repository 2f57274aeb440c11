"""Templates: the operator's files replace those of Rollbook, and a broken one is found at the start."""

from collections.abc import Callable
from pathlib import Path

import pytest

from infrastructure.mail.samples import COMMON, SAMPLES
from infrastructure.mail.templates import Templates, WrongTemplate

Write = Callable[[str, str], Path]
VALUES = {**COMMON, **SAMPLES["welcome"]}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize("mail", SAMPLES)
def test_the_templates_of_rollbook_use_each_value(mail: str) -> None:
    values = {name: f"<{name}>" for name in (*COMMON, *SAMPLES[mail])}
    says = Templates.read().render(mail, values)
    assert {name for name, value in values.items() if value in says.text} | {"user"} == set(values)
    assert "<sender>" in says.subject
    assert says.html is not None
    assert "&lt;sender&gt;" in says.html
    assert "<sender>" not in says.html


def test_each_file_is_replaced_by_itself(write: Write, tmp_path: Path) -> None:
    write("welcome.subject.txt", "Willkommen, {{ name }}\n")
    write("welcome.html", "<p>{{ name }}: {{ link }}{% include '_foot.html' %}</p>")
    write("_foot.html", "<i>{{ sender }}</i>")
    says = Templates.read(tmp_path).render("welcome", {**VALUES, "name": "A & B"})
    assert says.subject == "Willkommen, A & B"
    assert says.html == f"<p>A &amp; B: {VALUES['link']}<i>Example</i></p>"
    assert says.text == Templates.read().render("welcome", {**VALUES, "name": "A & B"}).text


def test_an_empty_html_template_leaves_a_mail_of_text(write: Write, tmp_path: Path) -> None:
    write("welcome.html", "\n")
    assert Templates.read(tmp_path).render("welcome", VALUES).html is None


def test_a_file_that_changes_after_the_start_changes_no_mail(write: Write, tmp_path: Path) -> None:
    path = write("welcome.txt", "first")
    templates = Templates.read(tmp_path)
    path.write_text("{{ broken")
    assert templates.render("welcome", VALUES).text == "first"
    path.unlink()
    assert templates.render("welcome", VALUES).text == "first"


@pytest.mark.parametrize(
    ("name", "text", "line", "reason"),
    [
        ("welcome.txt", "one\ntwo {{ name\n", 2, "unexpected end of template"),
        ("welcome.txt", "one\n\n{% if name %}", 3, "Unexpected end of template"),
        ("welcome.html", "{{ nmae }}", 1, "there is no value nmae; there are link, name"),
        ("welcome.txt", "\n{% if 0 %}\n{{ nmae }}{% endif %}", 3, "there is no value nmae"),
        ("welcome.txt", "{{ name|shout }}", 1, "shout"),
        ("welcome.txt", "\n{% if 0 %}{{ name|shout }}{% endif %}", 2, "there is no filter shout"),
        ("welcome.txt", "{% if 0 %}{{ name is loud }}{% endif %}", 1, "there is no test loud"),
        ("welcome.txt", "a\n{{ name.first }}", 2, "fails with UndefinedError"),
        ("welcome.txt", "a\n{% include 'none.txt' %}", 2, "fails with TemplateNotFound"),
        ("welcome.txt", "{{ ''.__class__.__mro__ }}", 1, "fails with SecurityError"),
        ("welcome.txt", "{{ 1 / 0 }}", 1, "fails with ZeroDivisionError"),
        ("welcome.txt", "", None, "is empty"),
        ("welcome.subject.txt", "{# nothing #}", None, "is empty"),
        ("email-change-notice.txt", "{{ name }}", 1, "there is no value name"),
        ("_part.txt", "{% for", 1, "unexpected 'end of template'"),
    ],
)
def test_a_broken_template_is_named_with_its_line(
    write: Write, tmp_path: Path, name: str, text: str, line: int | None, reason: str
) -> None:
    path = write(name, text)
    with pytest.raises(WrongTemplate) as wrong:
        Templates.read(tmp_path)
    message = str(wrong.value)
    assert message.startswith(f"{path}, line {line}: " if line else f"{path}: ")
    assert reason in message
    assert "\n" not in message


def test_an_error_in_an_included_part_is_named_there(write: Write, tmp_path: Path) -> None:
    write("welcome.txt", "a\n\n{% include '_part.txt' %}")
    part = write("_part.txt", "\n{{ name.first }}")
    with pytest.raises(WrongTemplate) as wrong:
        Templates.read(tmp_path)
    assert str(wrong.value).startswith(f"{part}, line 2: ")


def test_a_template_that_does_not_accept_one_persons_values_says_so_without_them(
    write: Write, tmp_path: Path
) -> None:
    path = write("welcome.txt", "Hello\n{{ name.split()[1] }}")
    templates = Templates.read(tmp_path)
    with pytest.raises(WrongTemplate) as wrong:
        templates.render("welcome", {**VALUES, "name": "Plato"})
    assert str(wrong.value) == f"{path}, line 2: fails with UndefinedError"


def test_other_encodings_and_unreadable_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "welcome.txt"
    path.write_bytes("Grüße".encode("latin-1"))
    with pytest.raises(WrongTemplate, match=r"welcome\.txt: is not in UTF-8"):
        Templates.read(tmp_path)
    path.unlink()
    path.mkdir()
    with pytest.raises(WrongTemplate, match=r"welcome\.txt: Is a directory"):
        Templates.read(tmp_path)


def test_a_misspelt_file_is_found(write: Write, tmp_path: Path) -> None:
    path = write("wellcome.html", "x")
    write("_foot.html", "x")
    write("welcome.txt", "x")
    (tmp_path / "README.md").write_text("x")
    assert Templates.read(tmp_path).unused == [path]


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "welcome.txt").write_bytes(b"\xef\xbb\xbfHello")
    assert Templates.read(tmp_path).render("welcome", VALUES).text == "Hello"
