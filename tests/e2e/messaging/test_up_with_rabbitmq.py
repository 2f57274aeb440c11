"""`rollbook up` with a RabbitMQ: it also runs a relay."""

from pathlib import Path

from tests.support.servers.prepared_data import prepared
from tests.support.servers.rollbook import RunningRollbook


def test_split_with_a_rabbitmq_runs_a_relay(tmp_path: Path, amqp_url: str) -> None:
    with RunningRollbook(
        prepared(tmp_path / "data"), "--split", ROLLBOOK_AMQP_URL=amqp_url
    ) as rollbook:
        parts = rollbook.children()
        assert set(parts) == {"postgres", "valkey", "projector", "relay", "worker", "api"}
        secrets = [rollbook.master_key, rollbook.token, amqp_url]
        for process in parts.values():
            command = Path(f"/proc/{process}/cmdline").read_text()
            assert not any(secret in command for secret in secrets)
