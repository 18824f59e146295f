"""What is spared when room has to be made; that the rest goes is seen on a real full disk (molecule/faults)."""

from pathlib import Path

from cleaning_service_monitor import cleanup


def test_images_of_kept_releases_are_spared(tmp_path: Path) -> None:
    assert cleanup._of_releases(tmp_path / "releases") == set()
    for name, tag in (("20261125T090000Z", "1"), ("20261125T090001Z", "2")):
        release = tmp_path / "releases" / name
        release.mkdir(parents=True)
        (release / "docker-compose.stable.yml").write_text(
            f"services:\n  api:\n    image: cleaning-service/api:{tag}\n  proxy:\n    image: cleaning-service/proxy:1\n"
        )
    assert cleanup._of_releases(tmp_path / "releases") == {
        "cleaning-service/api:1",
        "cleaning-service/api:2",
        "cleaning-service/proxy:1",
    }
