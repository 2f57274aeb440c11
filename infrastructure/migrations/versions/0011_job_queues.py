"""One queue for each class of jobs, and an index of finished jobs."""

from infrastructure.migrations.statements import run_files

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    run_files("0011_job_queues.sql")
