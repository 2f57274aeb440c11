"""A real OIDC issuer for tests."""

import warnings

from authlib.deprecate import AuthlibDeprecationWarning

# The issuer imports a module of authlib that has a successor.
warnings.simplefilter("ignore", AuthlibDeprecationWarning)
