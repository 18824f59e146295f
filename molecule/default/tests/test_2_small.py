"""What a small server has little of."""

from testinfra.host import Host


def test_the_host_has_the_tmp_and_the_umask_of_a_small_server(host: Host) -> None:
    """All scenarios converge on such a host: what needs more of it fails there, as it would on a server."""
    assert host.check_output("findmnt --noheadings --output FSTYPE,SIZE /tmp").split() == ["tmpfs", "232M"]
    assert host.check_output("/usr/local/bin/python3-umask-077 -c 'import os; print(os.umask(0))'") == str(0o077)
