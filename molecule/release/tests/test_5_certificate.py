"""A host with a domain: HTTPS with the right chain, HTTP redirected, and a certificate that is renewed in time."""

import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from checkout import Checkout
from converged import DIRECTORY, PROXY, address, all_healthy, inspect, wait_until
from testinfra.host import Host

from bench import rude_clients
from bench.clients import WellBehaved, beside
from bench.rude_clients import Target

DOMAIN = "api.example.test"
LIFETIME = 2  # minutes
ROOT_CERTIFICATE = f"{DIRECTORY}/proxy/data/caddy/pki/authorities/local/root.crt"
SETTINGS = (
    f"stack_proxy_domain={DOMAIN} stack_proxy_internal_authority=true stack_proxy_internal_lifetime_minutes={LIFETIME}"
)


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory, host: Host) -> "Callable[[], ssl.SSLContext]":
    """Trusts the host's own authority and nobody else."""

    def context() -> ssl.SSLContext:
        path = tmp_path_factory.mktemp("authority") / "root.crt"
        path.write_text(host.check_output(f"cat {ROOT_CERTIFICATE}"))
        context = ssl.create_default_context(cafile=str(path))
        context.set_alpn_protocols(["h2", "http/1.1"])
        return context

    return context


def shown(context: ssl.SSLContext) -> tuple[dict[str, object], str | None]:
    """The certificate that the host shows for the domain, once it is trusted, and the protocol agreed on."""
    with (
        socket.create_connection((address(), 443), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=DOMAIN) as secured,
    ):
        return dict(secured.getpeercert() or {}), secured.selected_alpn_protocol()


def test_https_with_the_right_chain(
    host: Host, tmp_path: Path, checkout: Callable[[str], Checkout], trust: Callable[[], ssl.SSLContext]
) -> None:
    code, said = checkout("domain").play("site.yml", "--extra-vars", SETTINGS)
    assert code == 0, said
    wait_until(lambda: all_healthy(host), 60, "every container healthy")
    wait_until(lambda: host.file(ROOT_CERTIFICATE).exists, 30, "an authority on the host")
    certificate, protocol = shown(trust())
    assert certificate["subjectAltName"] == (("DNS", DOMAIN),)
    assert protocol == "h2"
    (tmp_path / "root.crt").write_text(host.check_output(f"cat {ROOT_CERTIFICATE}"))
    health = (
        f"curl --silent --show-error --include --cacert {ROOT_CERTIFICATE}"
        f" --resolve {DOMAIN}:443:127.0.0.1 https://{DOMAIN}/health"
    )
    answer = host.check_output(health)
    assert answer.startswith("HTTP/2 200")
    assert "strict-transport-security: max-age=31536000" in answer
    assert 'alt-svc: h3=":443"' in answer
    assert host.check_output(health.replace("curl", "curl --http3-only", 1)).startswith("HTTP/3 200")


def test_http_leads_to_https() -> None:
    headers = {"Host": DOMAIN}
    answer = httpx.get(f"http://{address()}/docs", headers=headers, trust_env=False, follow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (308, f"https://{DOMAIN}/docs")


@pytest.mark.parametrize("kind", sorted(rude_clients.TLS))
def test_clients_that_misbehave_over_tls_do_nothing_to_the_others(kind: str) -> None:
    target = Target(address(), 443, DOMAIN)
    row = beside(kind, target, WellBehaved(target), seconds=4)
    print(f"\n{kind}: {dict(row.outcomes)}; others: {len(row.measured.seconds)} requests, p99 {row.measured.p99:.2f} s")
    assert row.outcomes, "the clients that misbehave have done nothing"
    assert not row.measured.failures


def test_a_certificate_is_renewed_before_it_ends(trust: Callable[[], ssl.SSLContext]) -> None:
    context = trust()
    first, _ = shown(context)
    wait_until(lambda: shown(context)[0]["serialNumber"] != first["serialNumber"], LIFETIME * 60, "another certificate")
    second, _ = shown(context)
    ends = ssl.cert_time_to_seconds(str(first["notAfter"]))
    assert ssl.cert_time_to_seconds(str(second["notBefore"])) < ends


def own_certificate(host: Host, directory: Path, name: str) -> tuple[Path, Path]:
    """Make a certificate and its key on the host, which has the program for it, and bring them here."""
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30"
        f" -subj /CN={name} -addext subjectAltName=DNS:{DOMAIN} -keyout /root/{name}.key -out /root/{name}.pem"
    )
    host.check_output(command)
    certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
    for path in (certificate, key):
        path.write_text(host.check_output(f"cat /root/{path.name}") + "\n")
    return certificate, key


def with_certificate(certificate: Path, key: Path) -> str:
    return (
        f"stack_proxy_domain={DOMAIN} stack_proxy_certificate={certificate} stack_proxy_certificate_key={key}"
        " monitor_certificate_name="
    )


@pytest.mark.long
def test_a_certificate_of_your_own(host: Host, tmp_path: Path, checkout: Callable[[str], Checkout]) -> None:
    own, other = own_certificate(host, tmp_path, "own"), own_certificate(host, tmp_path, "other")
    code, said = checkout("own").play("playbooks/deploy.yml", "--extra-vars", with_certificate(*own))
    assert code == 0, said
    wait_until(lambda: all_healthy(host), 60, "every container healthy")
    trust = ssl.create_default_context(cafile=str(own[0]))
    certificate, _ = shown(trust)
    assert certificate["subject"] == ((("commonName", "own"),),)
    proxy = inspect(host, PROXY)["State"]["StartedAt"]
    code, said = checkout("mixed").play("playbooks/deploy.yml", "--extra-vars", with_certificate(own[0], other[1]))
    assert code != 0
    assert "the proxy does not accept its configuration" in said
    assert "private key does not match public key" in said
    assert inspect(host, PROXY)["State"]["StartedAt"] == proxy
    certificate, _ = shown(trust)
    assert certificate["subject"] == ((("commonName", "own"),),)


def test_back_to_plain_http(host: Host, checkout: Callable[[str], Checkout]) -> None:
    code, said = checkout("plain").play("site.yml")
    assert code == 0, said
    assert not host.file(f"{DIRECTORY}/proxy/config/certificate-key.pem").exists
    assert httpx.get(f"http://{address()}/health", trust_env=False).status_code == 200
