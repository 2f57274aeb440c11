"""Master keys, data keys and what they seal."""

from infrastructure.keys.box import TokenBox
from infrastructure.keys.keyring import MasterKeyRing, PersonCipher
from infrastructure.keys.master import InvalidMasterKey, MasterKeys

__all__ = ["InvalidMasterKey", "MasterKeyRing", "MasterKeys", "PersonCipher", "TokenBox"]
