"""Opens the parts of tokens: their commands, and the source of the callers that present them."""

from application.access.tokens import TokenService
from application.access.tokens_credentials import TokenCredentials
from infrastructure.identity.token_uses import PostgresTokenUses
from interfaces.composition.event_store import EventStore


def token_service(store: EventStore) -> TokenService:
    return TokenService(store.log, store.tokens, PostgresTokenUses(store.database), store.keys)


def token_credentials(store: EventStore) -> TokenCredentials:
    """The source of the callers that present tokens."""
    uses = PostgresTokenUses(store.database)
    return TokenCredentials(store.keys, store.tokens, uses, token_service(store))
