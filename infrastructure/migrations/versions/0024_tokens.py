"""The last uses of tokens, and an index of the claims of their secrets."""

from alembic import op

from infrastructure.migrations.statements import run, run_files

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    run_files("0024_tokens.sql")
    # Writers go on while the claims are read, which may be millions. Outside a transaction, so this
    # may end half-way: it then begins again.
    with op.get_context().autocommit_block():
        run("DROP INDEX CONCURRENTLY IF EXISTS claims_tokens")
        # The tokens that are not revoked, in the order of their ids: a list must not read all claims.
        run(
            "CREATE INDEX CONCURRENTLY claims_tokens ON claims (stream_id)"
            " WHERE scope IN ('token-0', 'token-1')"
        )
