"""Tokens that the issuer never signed like this: by hand, because no library makes them."""

import base64
import hashlib
import hmac
import json
from typing import Any, Final

from joserfc.jws import JWSRegistry

from tests.support.oidc.issuer import PrivateKey, TestIssuer, new_key, signed

_NESTED_HEAD: Final = b'{"a":' + b"[" * 2900


def forgeries(issuer: TestIssuer) -> dict[str, str]:
    """Each with what is wrong with it."""
    good, claims, ours = issuer.token(), issuer.claims(), new_key("first")
    elsewhere = {"kid": "elsewhere", "jku": issuer.url + "/jwks", "x5u": issuer.url + "/x5u"}
    head, payload, signature = good.split(".")
    return {
        "signed by another key with the known id": signed(claims, ours),
        "signed by another key without an id": signed(claims, ours, {"kid": None}),
        "signed by the key that it brings": signed(
            claims, ours, {"jwk": ours.as_dict(private=False), "kid": "ours"}
        ),
        "signed by a key at an address that it brings": signed(claims, ours, elsewhere),
        "without a signature": f"{encoded({'alg': 'none'})}.{encoded(claims)}.",
        "alg none with another spelling": f"{encoded({'alg': 'nOnE'})}.{encoded(claims)}.",
        "a signature cut off": f"{head}.{payload}.",
        "a signature cut short": good[:-10],
        "other claims under a signature": f"{head}.{encoded({**claims, 'sub': 'eve'})}.{signature}",
        "another header over a signature": f"{encoded({'alg': 'RS384'})}.{payload}.{signature}",
        "the public key as a shared secret (PEM)": _with_secret(claims, _pem(issuer.keys[0])),
        "the public key as a shared secret (JWK)": _with_secret(
            claims, json.dumps(issuer.keys[0].as_dict(private=False)).encode()
        ),
        "for another audience": issuer.token(aud="https://elsewhere.example"),
        "for other audiences": issuer.token(aud=["https://elsewhere.example", "console"]),
        "for no audience": issuer.token(aud=None),
        "of another issuer": issuer.token(iss="https://elsewhere.example"),
        "of nearly the same issuer": issuer.token(iss=issuer.url + "/"),
        "of no issuer": issuer.token(iss=None),
        "expired": issuer.token(exp=claims["iat"] - 31),
        "without an end": issuer.token(exp=None),
        "with an end that is no number": issuer.token(exp="9999999999"),
        "with an end that is true": issuer.token(exp=True),
        "with an end beyond all calendars": issuer.token(exp=10**18),
        "not valid yet": issuer.token(nbf=claims["iat"] + 120),
        "issued in the future": issuer.token(iat=claims["iat"] + 120),
        "of nobody": issuer.token(sub=None),
        "of an empty subject": issuer.token(sub=""),
        "of a subject with a space": issuer.token(sub="ada lovelace"),
        "of a subject beyond ASCII": issuer.token(sub="adá"),
        "of a subject that is too long": issuer.token(sub="a" * 129),
        "of a subject that is a number": issuer.token(sub=7),
        "of another kind": issuer.token(header={"typ": "secevent+jwt"}),
        "of a kind that is no text": raw_signed(issuer.keys[0], {"typ": 7}, claims),
        "with an extension that is not known": raw_signed(
            issuer.keys[0], {"crit": ["b64"], "b64": True}, claims
        ),
        "with an unknown key": issuer.token(header={"kid": "unknown"}),
        "claims that are a list": raw_signed(issuer.keys[0], {}, [claims]),
        "claims that are no JSON": f"{head}.{_text(b'{]')}.{signature}",
        "claims nested without end": f"{head}.{_text(b'[' * 5000)}.{signature}",
        "a header nested without end": f"{_text(_NESTED_HEAD)}.{payload}.{signature}",
        "a header with an invalid byte": f"{_text(bytes([123, 34, 255]))}.{payload}.{signature}",
        "base64 with padding": f"{head}=.{payload}.{signature}",
        "larger than 8 KiB": issuer.token(groups=["reader"] * 1000),
        "five parts": f"{head}.{payload}.{signature}.{payload}.{signature}",
        "two parts": f"{head}.{payload}",
    }


def raw_signed(key: PrivateKey, header: dict[str, Any], claims: object) -> str:
    """A signature that is right, over what a library would refuse to sign."""
    head = encoded({"alg": "RS256", "kid": key.kid, **header})
    signing_input = f"{head}.{encoded(claims)}"
    signature = JWSRegistry.algorithms["RS256"].sign(signing_input.encode(), key)
    return f"{signing_input}.{_text(signature)}"


def encoded(value: object) -> str:
    return _text(json.dumps(value).encode())


def _with_secret(claims: dict[str, Any], secret: bytes) -> str:
    signing_input = f"{encoded({'alg': 'HS256', 'kid': 'first'})}.{encoded(claims)}"
    digest = hmac.new(secret, signing_input.encode(), hashlib.sha256).digest()
    return f"{signing_input}.{_text(digest)}"


def _pem(key: PrivateKey) -> bytes:
    return key.as_pem(private=False)


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
