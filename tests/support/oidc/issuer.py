"""A real OIDC issuer on this machine, which counts requests and can be made hostile."""

import base64
import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from io import BytesIO
from typing import Any, Final, Literal, Self
from urllib.parse import parse_qsl, quote, urlsplit

import oidc_provider_mock  # pyright: ignore[reportMissingTypeStubs]
from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from oidc_provider_mock import User  # pyright: ignore[reportMissingTypeStubs]
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

AUDIENCE: Final = "https://rollbook.example"
CLIENT_ID: Final = "rollbook-console"
CLIENT_SECRET: Final = "a-secret:100%"
AUTHORIZE: Final = "/oauth2/authorize"
TOKENS: Final = "/oauth2/token"
JWKS: Final = "/jwks"
DISCOVERY: Final = "/.well-known/openid-configuration"

PrivateKey = RSAKey | ECKey | OKPKey
Answer = Callable[[], Response]


class _Quiet(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing: tests count requests instead."""


class TestIssuer:
    """`oidc-provider-mock`, with `keys` beside its own; `answers` replace those at a path.

    Its own key is for RSA, and its tokens do not name it, so `keys` should be of another kind.
    """

    __test__ = False

    def __init__(self, *users: User) -> None:
        self._app = oidc_provider_mock.app(user_claims=users)
        self.keys: list[PrivateKey] = [new_key("first")]
        self.more_keys: list[dict[str, Any]] = []
        self.requests = Counter[str]()
        self.answers: dict[str, Answer] = {}
        # Of each exchange of a code: the header that names the client, and the form.
        self.exchanges: list[tuple[str | None, dict[str, str]]] = []
        self._challenges: dict[str, str] = {}
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

    @contextmanager
    def answering(self, path: str, answer: Answer) -> Generator[None]:
        """Answer like this at a path, instead of what is right."""
        self.answers[path] = answer
        try:
            yield
        finally:
            del self.answers[path]

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
            AUTHORIZE,
            query_string={**asked, "scope": "openid profile"},
            data={"sub": subject},
            **place,
        )
        code = dict(parse_qsl(urlsplit(allowed.headers["Location"]).query))["code"]
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": back}
        answer = browser.post(TOKENS, data=form, auth=(client_id, "secret"), **place)
        return answer.get_json()["id_token"]

    def asked_in(self, address: str) -> dict[str, str]:
        """The parameters with which a browser is sent here."""
        assert address.startswith(f"{self.url}{AUTHORIZE}?")
        return dict(parse_qsl(urlsplit(address).query))

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        # It is read twice: here and by the provider.
        environ["wsgi.input"] = BytesIO(request.get_data(parse_form_data=False))
        self.requests[request.path] += 1
        return self._answer_to(request)(environ, start_response)

    def _answer_to(self, request: Request) -> Response:
        if request.path == TOKENS:
            self.exchanges.append((request.headers.get("Authorization"), dict(request.form)))
        if request.path in self.answers:
            return self.answers[request.path]()
        if request.path == JWKS:
            return self._key_set()
        if request.path == TOKENS and not self._is_proved(request):
            return Response('{"error": "invalid_grant"}', status=400)
        response = Response.from_app(self._app, request.environ)
        if request.path == AUTHORIZE and response.status_code == 302:
            back = dict(parse_qsl(urlsplit(response.headers["Location"]).query))
            self._challenges[back.get("code", "")] = request.args["code_challenge"]
        return response

    def _is_proved(self, request: Request) -> bool:
        """Whether the client has its secret, and the verifier of this code, which the provider does
        not check.
        """
        pair = f"{quote(CLIENT_ID, safe='')}:{quote(CLIENT_SECRET, safe='')}".encode()
        expected = f"Basic {base64.b64encode(pair).decode()}"
        verifier = request.form.get("code_verifier", "").encode()
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier).digest()).rstrip(b"=")
        return (
            request.headers.get("Authorization") == expected
            and self._challenges.get(request.form.get("code", "")) == challenge.decode()
        )

    def _key_set(self) -> Response:
        found = json.loads(self._app.test_client().get(JWKS).data)
        found["keys"] += [key.as_dict(private=False) for key in self.keys]
        found["keys"] += self.more_keys
        return Response(json.dumps(found), content_type="application/json")


def new_key(key_id: str, kind: Literal["RSA", "EC", "OKP"] = "EC") -> PrivateKey:
    match kind:
        case "RSA":
            return RSAKey.generate_key(2048, {"kid": key_id})
        case "EC":
            return ECKey.generate_key("P-256", {"kid": key_id})
        case "OKP":
            return OKPKey.generate_key("Ed25519", {"kid": key_id})


def signed(claims: dict[str, Any], key: PrivateKey, header: Mapping[str, Any] | None = None) -> str:
    algorithm = {"RSA": "RS256", "EC": "ES256", "OKP": "Ed25519"}[key.key_type]
    given = {"alg": algorithm, "kid": key.kid, **(header or {})}
    named = {name: value for name, value in given.items() if value is not None}
    registry = JWSRegistry(algorithms=[named["alg"]], strict_check_header=False)
    return jwt.encode(named, claims, key, registry=registry)
