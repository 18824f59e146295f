"""Access tokens: only ours, only fresh ones."""

import time

import jwt
import pytest

from app.kit import tokens
from app.kit.tokens import InvalidToken, Tokens
from app.settings import Settings

KEY = "s" * 32


@pytest.fixture
def ours() -> Tokens:
    """What the API uses."""
    return Tokens(Settings(secret_key=KEY, canary_token="c" * 32))


def claims(**changes: object) -> dict[str, object]:
    now = int(time.time())
    return {"iss": tokens.ISSUER, "sub": "ann", "sid": "s1", "iat": now, "exp": now + 60} | changes


def test_it_names_its_bearer(ours: Tokens) -> None:
    assert ours.read(ours.issue("ann", "s1"))[:2] == ("ann", "s1")
    assert ours.read(jwt.encode(claims(), KEY, "HS256"))[:2] == ("ann", "s1")


@pytest.mark.parametrize(
    "token",
    [
        jwt.encode(claims(exp=int(time.time()) - 60), KEY, "HS256"),
        jwt.encode(claims(iat=int(time.time()) + 3600), KEY, "HS256"),
        jwt.encode(claims(iss="somebody else"), KEY, "HS256"),
        jwt.encode({name: value for name, value in claims().items() if name != "exp"}, KEY, "HS256"),
        jwt.encode(claims(), "another key of more than 32 characters", "HS256"),
        jwt.encode(claims(), "", "none"),
        jwt.encode({name: value for name, value in claims().items() if name != "sid"}, KEY, "HS256"),
        "",
    ],
    ids=["expired", "from the future", "issuer", "no expiry", "key", "unsigned", "no session", "empty"],
)
def test_anything_else_is_refused(ours: Tokens, token: str) -> None:
    with pytest.raises(InvalidToken):
        ours.read(token)


def test_cached_token_expires(ours: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    token = ours.issue("ann", "s1")
    expires_at = ours.read(token).expires_at
    assert expires_at == pytest.approx(time.time() + 15 * 60, abs=2)
    monkeypatch.setattr("app.kit.tokens.time.time", lambda: expires_at + tokens.LEEWAY - 1)
    assert ours.read(token).account_id == "ann"
    for later in (0, 3600):
        monkeypatch.setattr("app.kit.tokens.time.time", lambda later=later: expires_at + tokens.LEEWAY + later)
        with pytest.raises(InvalidToken):
            ours.read(token)
