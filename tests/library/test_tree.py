"""The lookup plugin `tree`."""

from pathlib import Path

import pytest
from ansible.errors import AnsibleLookupError
from ansible.plugins.loader import lookup_loader

ROOT = Path(__file__).parents[2]
lookup_loader.add_directory(str(ROOT / "lookup_plugins"))


def tree(directory: Path, **options: bool) -> object:
    """Look one directory up."""
    return lookup_loader.get("tree").run([str(directory)], **options)[0]


def test_files_by_path_without_compiled_ones(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "b.py").write_text("b = 'ü'\n")
    (tmp_path / "a.py").touch()
    digest = tree(tmp_path, digest=True)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.txt").touch()
    (tmp_path / "a.pyc").touch()
    assert tree(tmp_path) == {"a.py": "", "in/b.py": "b = 'ü'\n"}
    assert tree(tmp_path, digest=True) == digest
    (tmp_path / "a.py").rename(tmp_path / "c.py")
    assert tree(tmp_path, digest=True) != digest


def test_missing_empty_or_binary_directory_is_an_error(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(AnsibleLookupError, match=f"{directory} is missing or empty"):
            tree(directory)
    (tmp_path / "image.png").write_bytes(b"\x89PNG")
    with pytest.raises(AnsibleLookupError, match="not a text file"):
        tree(tmp_path)
    assert tree(tmp_path, digest=True)
