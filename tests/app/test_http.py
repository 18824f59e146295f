"""General behaviour of the API: rate limits, CORS, unknown paths and methods."""

import httpx
import pytest

from tests.app.conftest import RunningApi, Serve

PAGE = "https://shop.example"


def test_answers_have_rate_limit_headers(api: RunningApi) -> None:
    person = api.person()
    for path, status in (("/api/v1/users/me", 200), ("/api/v1/nothing", 404)):
        answer = person.http.get(path)
        assert answer.status_code == status
        assert answer.headers["RateLimit-Policy"].startswith('"address";q=1000000;w=60')
        assert answer.headers["RateLimit"].startswith('"address";r=')
    assert '"account";r=' in person.http.get("/api/v1/users/me").headers["RateLimit"]
    for path in ("/health/live", "/docs", "/openapi.json"):
        assert "RateLimit" in api.anonymous.get(path).headers
    for path in ("/health/ready", "/metrics"):
        assert "RateLimit" not in api.anonymous.get(path).headers


def test_requests_per_address_are_limited(serve: Serve) -> None:
    server = serve(REQUESTS_PER_MINUTE_PER_ADDRESS="5")
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        answers = [client.get("/api/v1/users/me") for _ in range(12)]  # a window may end in between
        assert client.get("/health/ready").status_code == 200
    refused = [each for each in answers if each.status_code == 429]
    assert refused
    assert all(each.json()["type"] == "/problems/too-many-requests" for each in refused)
    assert all(1 <= int(each.headers["Retry-After"]) <= 60 for each in refused)


def test_cors_is_off_by_default(api: RunningApi) -> None:
    assert "Access-Control-Allow-Origin" not in api.anonymous.get("/health/live", headers={"Origin": PAGE}).headers


def test_cors_allows_only_the_configured_origins(serve: Serve) -> None:
    server = serve(CORS_ORIGINS=f"https://other.example {PAGE}", REQUESTS_PER_MINUTE_PER_ADDRESS="1")
    ask = {"Origin": PAGE, "Access-Control-Request-Method": "PATCH"}
    wanted = "authorization, content-type, if-match, if-none-match, idempotency-key"
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        preflight = client.options("/api/v1/users/me", headers=ask | {"Access-Control-Request-Headers": wanted})
        assert preflight.status_code == 200
        assert preflight.headers["Access-Control-Allow-Origin"] == PAGE
        assert "Access-Control-Allow-Credentials" not in preflight.headers
        stranger = client.options("/api/v1/users/me", headers=ask | {"Origin": "https://evil.example"})
        assert stranger.status_code == 400
        answers = [client.get("/api/v1/users/me", headers={"Origin": PAGE}) for _ in range(3)]
        assert {each.status_code for each in answers} == {401, 429}  # refusals can be read too
        for answer in answers:
            assert answer.headers["Access-Control-Allow-Origin"] == PAGE
            exposed = {each.strip() for each in answer.headers["Access-Control-Expose-Headers"].split(",")}
            assert exposed == {
                "ETag",
                "Idempotency-Replayed",
                "Location",
                "RateLimit",
                "RateLimit-Policy",
                "Retry-After",
                "X-Request-ID",
            }


@pytest.mark.parametrize("path", ["/", "/nothing", "/api/v1/nothing", "/api/v1/users/me/", "/api/v1//users/me"])
def test_unknown_path_is_a_problem(api: RunningApi, path: str) -> None:
    answer = api.anonymous.get(path)
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("DELETE", "/api/v1/auth/login", "POST"), ("POST", "/health/live", "GET"), ("TRACE", "/health/live", "GET")],
)
def test_method_not_allowed_is_a_problem_with_allow_header(
    api: RunningApi, method: str, path: str, allowed: str
) -> None:
    answer = api.anonymous.request(method, path)
    assert (answer.status_code, answer.json()["type"]) == (405, "/problems/method-not-allowed")
    assert answer.headers["Allow"] == allowed
    assert answer.headers["Content-Type"] == "application/problem+json"
