"""Master keys, data keys and what they seal."""

from infrastructure.keys.keyring import MasterKeyRing, PersonCipher
from infrastructure.keys.master import InvalidMasterKey, MasterKeys
from infrastructure.keys.token_sealer import AesTokenSealer

__all__ = ["AesTokenSealer", "InvalidMasterKey", "MasterKeyRing", "MasterKeys", "PersonCipher"]
