"""After a reboot of the host everything is as before, without a hand."""

import subprocess

import httpx
from converged import HOST, MONITOR, address, all_healthy, new_user, wait_until
from testinfra.host import Host


def test_everything_comes_back(host: Host, world: httpx.Client) -> None:
    user = new_user()
    assert world.post("/api/v1/auth/register", json=user).status_code == 201
    subprocess.run(["docker", "restart", HOST], check=True, capture_output=True)
    took = wait_until(lambda: all_healthy(host), 120, "every container healthy after the reboot")
    print(f"\nhost restarted: everything healthy after {took:.1f} s")
    wait_until(lambda: host.service(MONITOR).is_running, 30, "the monitor running")
    login = httpx.post(
        f"http://{address()}/api/v1/auth/login",
        json={"email": user["email"], "password": user["password"]},
        trust_env=False,
    )
    assert login.status_code == 200
