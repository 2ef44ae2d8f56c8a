"""The lock files hold what pyproject.toml asks for, with hashes, and name no host."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

CHECKOUT = Path(__file__).resolve().parents[2]
LOCKS = CHECKOUT / "packaging" / "lock"
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
WANTED = {"run": PROJECT["project"]["dependencies"]} | PROJECT["dependency-groups"]


def locked(name: str) -> dict[str, list[str]]:
    """Return the versions of each package in a lock."""
    pins = re.findall(
        r"^([A-Za-z0-9._-]+)==([^\s;]+)", (LOCKS / f"{name}.txt").read_text(encoding="utf-8"), re.MULTILINE
    )
    versions: dict[str, list[str]] = {}
    for package, version in pins:
        versions.setdefault(package.lower(), []).append(version)
    return versions


@pytest.mark.parametrize("name", sorted(WANTED))
def test_a_lock_holds_what_is_asked_for(name: str) -> None:
    pins = locked(name)
    for requirement in map(Requirement, WANTED[name]):
        versions = pins.get(requirement.name.lower().replace("_", "-"), [])
        assert versions, f"{requirement.name} is not in {name}.txt: run packaging/lock/renew.sh"
        assert all(requirement.specifier.contains(version) for version in versions)


def test_development_sees_the_packages_that_run() -> None:
    run, development = locked("run"), locked("dev")
    assert {name: development[name] for name in run if name in development} == {
        name: versions for name, versions in run.items() if name in development
    }


@pytest.mark.parametrize("path", sorted(LOCKS.glob("*.txt")), ids=lambda path: path.stem)
def test_every_locked_package_has_a_version_and_hashes(path: Path) -> None:
    entries = path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    packages = [entry for entry in entries if entry and not entry.lstrip().startswith("#")]
    assert packages
    assert all("==" in package.split()[0] and "--hash=sha256:" in package for package in packages)


@pytest.mark.parametrize("path", sorted(LOCKS.glob("*.txt")), ids=lambda path: path.stem)
def test_locks_name_no_host(path: Path) -> None:
    assert not re.search(r"://|--(extra-)?index|--find-links", path.read_text(encoding="utf-8"))
