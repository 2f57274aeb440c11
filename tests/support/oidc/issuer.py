"""A real OIDC issuer on this machine, which counts requests and can be made hostile."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Any, Final, Self
from urllib.parse import parse_qs, urlsplit

import oidc_provider_mock  # pyright: ignore[reportMissingTypeStubs]
from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from oidc_provider_mock import User  # pyright: ignore[reportMissingTypeStubs]
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

AUDIENCE: Final = "https://rollbook.example"
CLIENT_ID: Final = "rollbook-console"
JWKS: Final = "/jwks"
DISCOVERY: Final = "/.well-known/openid-configuration"

PrivateKey = RSAKey | ECKey | OKPKey
Answer = Callable[[], Response]


class _Quiet(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing: tests count requests instead."""


class TestIssuer:
    """`oidc-provider-mock`, with `keys` beside its own; `answers` replace those at a path."""

    __test__ = False

    def __init__(self, *users: User) -> None:
        self._app = oidc_provider_mock.app(user_claims=users)
        self.keys: list[PrivateKey] = [new_key("first")]
        self.more_keys: list[dict[str, Any]] = []
        self.requests = Counter[str]()
        self.answers: dict[str, Answer] = {}
        self._server: BaseWSGIServer | None = None
        self._port = 0

    @classmethod
    @contextmanager
    def running(cls, *users: User) -> Generator[Self]:
        issuer = cls(*users)
        issuer.start()
        try:
            yield issuer
        finally:
            issuer.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Also after a stop, at the same address."""
        self._server = make_server(
            "127.0.0.1", self._port, self._answer, threaded=True, request_handler=_Quiet
        )
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Those of a good access token; None leaves a claim out."""
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "ada",
            "iat": now,
            "exp": now + 300,
            **changed,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def token(
        self,
        key: PrivateKey | None = None,
        header: Mapping[str, Any] | None = None,
        **changed: Any,
    ) -> str:
        """An access token that the first key signed."""
        return signed(self.claims(**changed), key or self.keys[0], header)

    def token_of_unknown_key(self, number: int = 1) -> str:
        return self.token(header={"kid": f"unknown {number}"})

    def id_token(self, subject: str, client_id: str) -> str:
        """As the provider itself signs it, at the end of the code flow."""
        browser, back = self._app.test_client(), "http://127.0.0.1/back"
        asked = {"response_type": "code", "client_id": client_id, "redirect_uri": back}
        place = {"base_url": self.url}
        allowed = browser.post(
            "/oauth2/authorize",
            query_string={**asked, "scope": "openid profile"},
            data={"sub": subject},
            **place,
        )
        code = parse_qs(urlsplit(allowed.headers["Location"]).query)["code"][0]
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": back}
        answer = browser.post("/oauth2/token", data=form, auth=(client_id, "secret"), **place)
        return answer.get_json()["id_token"]

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = Request(environ).path
        self.requests[path] += 1
        if path in self.answers:
            return self.answers[path]()(environ, start_response)
        if path == JWKS:
            return self._key_set()(environ, start_response)
        return self._app.wsgi_app(environ, start_response)

    def _key_set(self) -> Response:
        found = json.loads(self._app.test_client().get(JWKS).data)
        found["keys"] += [key.as_dict(private=False) for key in self.keys]
        found["keys"] += self.more_keys
        return Response(json.dumps(found), content_type="application/json")


def new_key(key_id: str | None, kind: str = "RSA") -> PrivateKey:
    parameters: Any = {} if key_id is None else {"kid": key_id}
    match kind:
        case "RSA":
            return RSAKey.generate_key(2048, parameters)
        case "EC":
            return ECKey.generate_key("P-256", parameters)
        case _:
            return OKPKey.generate_key("Ed25519", parameters)


def signed(claims: dict[str, Any], key: PrivateKey, header: Mapping[str, Any] | None = None) -> str:
    algorithm = {"RSA": "RS256", "EC": "ES256", "OKP": "Ed25519"}[key.key_type]
    given = {"alg": algorithm, "kid": key.kid, **(header or {})}
    named = {name: value for name, value in given.items() if value is not None}
    registry = JWSRegistry(algorithms=[named["alg"]], strict_check_header=False)
    return jwt.encode(named, claims, key, registry=registry)
