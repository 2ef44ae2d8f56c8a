"""Missing pieces of the system: the sentence with the command of each distribution."""

import sys
from pathlib import Path

import pytest

from localllm.bootstrap import system_packages
from localllm.bootstrap.messages import SetupFailed
from localllm.bootstrap.show import Display
from localllm.bootstrap.system_packages import FAMILIES, family_of, install_command, missing_libraries, remedy

DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n'
UBUNTU = 'NAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian\n'
MINT = 'NAME="Linux Mint"\nID=linuxmint\nID_LIKE="ubuntu debian"\n'
FEDORA = "NAME=Fedora Linux\nID=fedora\n"
ROCKY = 'ID="rocky"\nID_LIKE="rhel centos fedora"\n'
ARCH = "NAME=Arch\nID=arch\n"
TUMBLEWEED = 'ID="opensuse-tumbleweed"\nID_LIKE="opensuse suse"\n'
UNKNOWN = "ID=plan9\n"


@pytest.mark.parametrize(
    ("os_release", "expected"),
    [
        (DEBIAN, "apt-get"),
        (UBUNTU, "apt-get"),
        (MINT, "apt-get"),
        (FEDORA, "dnf"),
        (ROCKY, "dnf"),
        (ARCH, "pacman"),
        (TUMBLEWEED, "zypper"),
        (UNKNOWN, None),
        ("", None),
    ],
)
def test_family_of_a_distribution(os_release: str, expected: str | None) -> None:
    assert family_of(os_release) == expected


@pytest.fixture
def somebody(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An ordinary user of a Debian on which nothing is installed."""
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setattr(system_packages, "this_family", lambda: "apt-get")
    monkeypatch.setattr(system_packages.os, "geteuid", lambda: 1000, raising=False)
    monkeypatch.setattr(system_packages, "_loads", lambda _library: False)
    monkeypatch.setattr(system_packages, "has_compiler", lambda: False)
    return monkeypatch


def test_missing_compiler(somebody: pytest.MonkeyPatch) -> None:
    somebody.setattr(sys, "platform", "linux")
    with pytest.raises(SetupFailed) as caught:
        system_packages.require_compiler(Display())
    assert "`sudo apt-get install -y build-essential`" in str(caught.value)


@pytest.mark.parametrize(
    ("platform", "command"), [("darwin", "xcode-select --install"), ("win32", "winget install")]
)
def test_missing_compiler_elsewhere(somebody: pytest.MonkeyPatch, platform: str, command: str) -> None:
    somebody.setattr(sys, "platform", platform)
    with pytest.raises(SetupFailed, match=command):
        system_packages.require_compiler(Display())


def test_missing_venv_module(somebody: pytest.MonkeyPatch) -> None:
    somebody.setattr(system_packages.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(SetupFailed, match=rf"sudo apt-get install -y python3\.{sys.version_info[1]}-venv"):
        system_packages.require_venv(Display())


@pytest.mark.parametrize("family", FAMILIES)
def test_missing_qt_libraries_name_the_packages_of_the_distribution(
    somebody: pytest.MonkeyPatch, family: str
) -> None:
    somebody.setattr(sys, "platform", "linux")
    somebody.setattr(system_packages, "this_family", lambda: family)
    somebody.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(SetupFailed) as caught:
        system_packages.require_qt_libraries(Display())
    sentence = str(caught.value)
    cursor = {
        "apt-get": "libxcb-cursor0",
        "dnf": "xcb-util-cursor",
        "pacman": "xcb-util-cursor",
        "zypper": "libxcb-cursor0",
    }
    assert cursor[family] in sentence
    assert f"sudo {family}" in sentence
    packages = sentence.split("`")[1].split()
    assert len(packages) == len(set(packages))


def test_offscreen_needs_no_screen_libraries(somebody: pytest.MonkeyPatch) -> None:
    somebody.setattr(sys, "platform", "linux")
    with pytest.raises(SetupFailed) as caught:
        system_packages.require_qt_libraries(Display(), offscreen=True)
    assert "libegl1" in str(caught.value)
    assert "xcb" not in str(caught.value)


def test_an_unknown_distribution_gets_the_names(somebody: pytest.MonkeyPatch) -> None:
    somebody.setattr(sys, "platform", "linux")
    somebody.setattr(system_packages, "this_family", lambda: None)
    with pytest.raises(SetupFailed, match=r"libEGL\.so\.1.*package tool of this system"):
        system_packages.require_qt_libraries(Display())


def test_root_on_debian_installs_them(somebody: pytest.MonkeyPatch) -> None:
    installed: list[str] = []
    somebody.setattr(sys, "platform", "linux")
    somebody.setattr(system_packages.os, "geteuid", lambda: 0, raising=False)
    somebody.setattr(system_packages, "_may_install", lambda _family: True)
    somebody.setattr(
        system_packages, "_install_with_apt", lambda _display, packages: installed.extend(packages)
    )
    system_packages.require_compiler(Display())
    system_packages.require_qt_libraries(Display())
    assert installed[0] == "build-essential"
    assert "libxkbcommon-x11-0" in installed


def test_root_needs_no_sudo() -> None:
    assert install_command("pacman", "base-devel", root=True) == "pacman -S --needed base-devel"
    assert install_command("dnf", "gcc", root=False) == "sudo dnf install -y gcc"


def test_every_row_has_a_package_for_every_family() -> None:
    table = system_packages._QT + system_packages._X11 + system_packages._WAYLAND
    rows = missing_libraries(table, lambda _library: False)
    assert len(rows) > 25
    assert all(set(row) == set(FAMILIES) for row in rows.values())


def test_only_what_does_not_load_is_missing() -> None:
    rows = missing_libraries(system_packages._QT, lambda library: library != "libEGL.so.1")
    assert list(rows) == ["libEGL.so.1"]


def test_remedy_is_spanish_where_the_system_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "es_ES.UTF-8")
    assert (
        remedy("Falta algo.", "apt-get install x")
        == "Falta algo. Instálelo con `apt-get install x` y vuelva a iniciar."
    )


@pytest.mark.skipif(not Path("/etc/debian_version").exists(), reason="asks Debian's own records")
def test_the_table_is_right_about_what_is_installed_here() -> None:
    records = Path("/var/lib/dpkg/info")
    table = system_packages._QT + system_packages._X11 + system_packages._WAYLAND
    rows = missing_libraries(table, lambda _library: False)
    wrong = []
    for library, row in rows.items():
        lists = [*records.glob(f"{row['apt-get']}.list"), *records.glob(f"{row['apt-get']}:*.list")]
        if lists and f"/{library}" not in lists[0].read_text():
            wrong.append(library)
    assert wrong == []
