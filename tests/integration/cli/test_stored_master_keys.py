"""The master key file of a local Rollbook: a new key comes first, no key is ever removed."""

import base64
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infrastructure.keys import MasterKeys
from interfaces.cli.target.data_directory import DataDirectory, MasterKeyUnreadable


@pytest.fixture
def directory(tmp_path: Path) -> DataDirectory:
    return DataDirectory(tmp_path)


def test_the_first_key_is_made_once(directory: DataDirectory) -> None:
    made = directory.master_key()
    assert directory.master_key() == directory.stored_master_key() == made
    assert len(MasterKeys.parse(made).ids) == 1


def test_a_new_key_comes_before_the_old_ones(directory: DataDirectory) -> None:
    first = directory.master_key()
    second = directory.add_master_key()
    third = directory.add_master_key()
    assert second is not None
    assert third is not None
    assert second.split(",")[1:] == [first]
    assert third.split(",")[1:] == second.split(",")
    assert directory.master_key() == third
    assert directory.master_key_file.stat().st_mode & 0o777 == 0o600


def test_no_key_is_added_where_there_is_none_yet(directory: DataDirectory) -> None:
    assert directory.add_master_key() is None
    assert DataDirectory(directory.path / "nowhere").add_master_key() is None
    assert not directory.master_key_file.exists()


def test_keys_that_are_added_at_once_are_all_kept(directory: DataDirectory) -> None:
    first = directory.master_key()
    with ThreadPoolExecutor(16) as threads:
        adding = [threads.submit(directory.add_master_key) for _ in range(16)]
    added = [each.result() for each in adding]
    stored = directory.master_key().split(",")
    assert len(set(stored)) == 17
    assert stored[-1] == first
    assert {keys.split(",")[0] for keys in added if keys is not None} == set(stored[:-1])


def test_keys_with_spaces_around_them_are_accepted(directory: DataDirectory) -> None:
    one, two = (base64.b64encode(bytes([n]) * 32).decode() for n in range(2))
    directory.master_key_file.write_text(f"{one},\n {two}\n\n")
    assert directory.master_key() == f"{one},{two}"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"secret", "must be a comma-separated list of keys of 32 bytes in base64, newest first"),
        (b"\xff\xfe", "is not text"),
        (b"YWJj", "must be a comma-separated list of keys of 32 bytes in base64, newest first"),
    ],
)
def test_a_file_without_valid_keys_is_named_and_not_changed(
    directory: DataDirectory, content: bytes, reason: str
) -> None:
    directory.master_key_file.write_bytes(content)
    for use in (directory.master_key, directory.add_master_key):
        with pytest.raises(MasterKeyUnreadable) as refused:
            use()
        assert str(refused.value) == f"{directory.master_key_file}: {reason}"
    assert directory.master_key_file.read_bytes() == content
