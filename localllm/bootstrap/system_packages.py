"""What set-up needs of the system itself: what is missing, and the command that installs it here."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from localllm.bootstrap.messages import SetupFailed, say

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from localllm.bootstrap.show import Display

FAMILIES = ("apt-get", "dnf", "pacman", "zypper")
_INSTALL = {
    "apt-get": "apt-get install -y",
    "dnf": "dnf install -y",
    "pacman": "pacman -S --needed",
    "zypper": "zypper install -y",
}
_DISTRIBUTIONS = {
    "apt-get": "debian ubuntu linuxmint raspbian pop",
    "dnf": "fedora rhel centos rocky almalinux amzn",
    "pacman": "arch manjaro endeavouros cachyos",
    "zypper": "suse opensuse opensuse-leap opensuse-tumbleweed sles",
}
_COMPILER = {
    "apt-get": "build-essential",
    "dnf": "gcc gcc-c++ make",
    "pacman": "base-devel",
    "zypper": "gcc gcc-c++ make",
}
_FONTS = {
    "apt-get": "fonts-dejavu-core",
    "dnf": "dejavu-sans-fonts",
    "pacman": "ttf-dejavu",
    "zypper": "dejavu-fonts",
}
_XCODE = "xcode-select --install"
_VISUAL_STUDIO = (
    "winget install --id Microsoft.VisualStudio.2022.BuildTools --override"
    ' "--passive --wait --add Microsoft.VisualStudio.Workload.VCTools --includeRecommended"'
)

# What Qt's libraries and window plugins are linked to (readelf -d, PySide6-Essentials 6.11), and its package.
# library              apt-get               dnf                  pacman               zypper
_QT = """
libEGL.so.1            libegl1               libglvnd-egl         libglvnd             Mesa-libEGL1
libGL.so.1             libgl1                libglvnd-glx         libglvnd             Mesa-libGL1
libX11.so.6            libx11-6              libX11               libx11               libX11-6
libdbus-1.so.3         libdbus-1-3           dbus-libs            dbus                 libdbus-1-3
libfontconfig.so.1     libfontconfig1        fontconfig           fontconfig           fontconfig
libfreetype.so.6       libfreetype6          freetype             freetype2            libfreetype6
libglib-2.0.so.0       libglib2.0-0          glib2                glib2                libglib-2_0-0
libgssapi_krb5.so.2    libgssapi-krb5-2      krb5-libs            krb5                 krb5
libxkbcommon.so.0      libxkbcommon0         libxkbcommon         libxkbcommon         libxkbcommon0
"""
_X11 = """
libX11-xcb.so.1        libx11-xcb1           libX11-xcb           libx11               libX11-xcb1
libxcb.so.1            libxcb1               libxcb               libxcb               libxcb1
libxcb-cursor.so.0     libxcb-cursor0        xcb-util-cursor      xcb-util-cursor      libxcb-cursor0
libxcb-icccm.so.4      libxcb-icccm4         xcb-util-wm          xcb-util-wm          libxcb-icccm4
libxcb-image.so.0      libxcb-image0         xcb-util-image       xcb-util-image       libxcb-image0
libxcb-keysyms.so.1    libxcb-keysyms1       xcb-util-keysyms     xcb-util-keysyms     libxcb-keysyms1
libxcb-randr.so.0      libxcb-randr0         libxcb               libxcb               libxcb-randr0
libxcb-render.so.0     libxcb-render0        libxcb               libxcb               libxcb-render0
libxcb-render-util.so.0 libxcb-render-util0  xcb-util-renderutil  xcb-util-renderutil  libxcb-render-util0
libxcb-shape.so.0      libxcb-shape0         libxcb               libxcb               libxcb-shape0
libxcb-shm.so.0        libxcb-shm0           libxcb               libxcb               libxcb-shm0
libxcb-sync.so.1       libxcb-sync1          libxcb               libxcb               libxcb-sync1
libxcb-util.so.1       libxcb-util1          xcb-util             xcb-util             libxcb-util1
libxcb-xfixes.so.0     libxcb-xfixes0        libxcb               libxcb               libxcb-xfixes0
libxcb-xkb.so.1        libxcb-xkb1           libxcb               libxcb               libxcb-xkb1
libxkbcommon-x11.so.0  libxkbcommon-x11-0    libxkbcommon-x11     libxkbcommon-x11     libxkbcommon-x11-0
"""
_WAYLAND = """
libwayland-client.so.0 libwayland-client0    libwayland-client    wayland              libwayland-client0
libwayland-cursor.so.0 libwayland-cursor0    libwayland-cursor    wayland              libwayland-cursor0
libwayland-egl.so.1    libwayland-egl1       libwayland-egl       wayland              libwayland-egl1
"""


def require_venv(display: Display) -> None:
    """See that this Python can make environments (Debian packs that apart), or raise SetupFailed."""
    if importlib.util.find_spec("ensurepip") and importlib.util.find_spec("venv"):
        return
    package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
    _obtain(display, say("Python's `venv` module is missing."), dict.fromkeys(FAMILIES, package))


def require_compiler(display: Display) -> None:
    """See that there is a C and C++ compiler; install it or raise SetupFailed."""
    if has_compiler():
        return
    missing = say("A C/C++ compiler is missing, which the engine is built with.")
    if sys.platform in {"darwin", "win32"}:
        raise SetupFailed(remedy(missing, _XCODE if sys.platform == "darwin" else _VISUAL_STUDIO))
    _obtain(display, missing, _COMPILER)


def has_compiler() -> bool:
    """Return whether a C and C++ compiler is installed."""
    if sys.platform == "darwin":  # /usr/bin/cc is always there, and only offers to install the real one
        return (
            subprocess.run(["/usr/bin/xcode-select", "-p"], capture_output=True, check=False).returncode == 0
        )
    if sys.platform == "win32" and _visual_studio():
        return True
    return all(any(map(shutil.which, names)) for names in _compilers())


def require_qt_libraries(display: Display, *, offscreen: bool = False) -> None:
    """See that Qt's system libraries load; install them or raise SetupFailed.

    Args:
        display: Where to show the installation.
        offscreen: Leave out what only a window on a real screen needs.
    """
    if not sys.platform.startswith("linux"):
        return
    table = _QT
    if not offscreen:
        table += _WAYLAND if os.environ.get("WAYLAND_DISPLAY") else _X11
    missing = missing_libraries(table, _loads)
    if missing:
        names = ", ".join(missing)
        packages = {
            family: " ".join(dict.fromkeys(row[family] for row in missing.values())) for family in FAMILIES
        }
        _obtain(display, say("Libraries that the window needs are missing ({names}).", names=names), packages)
    if not any(Path("/usr/share/fonts").rglob("*.[to]t[fc]")) and not shutil.which("fc-list"):
        _obtain(display, say("There is no font on this system."), _FONTS)


def add_test_tools(display: Display) -> None:
    """Install Xvfb and xdotool where that needs no one's permission; without them, some tests skip."""
    tools = {"Xvfb": "xvfb", "xdotool": "xdotool"}
    absent = [package for program, package in tools.items() if not shutil.which(program)]
    rows = missing_libraries(_X11, _loads).values() if sys.platform.startswith("linux") else ()
    absent += [row["apt-get"] for row in rows]
    if absent and _may_install(this_family()):
        _install_with_apt(display, absent)
    elif absent:
        display.note(say("Tests of the real window are skipped: {names} missing.", names=", ".join(absent)))


def missing_libraries(table: str, loads: Callable[[str], bool]) -> dict[str, dict[str, str]]:
    """Return the libraries of a table that do not load, with the package of each family that holds them."""
    rows = [line.split() for line in table.splitlines() if line]
    return {name: dict(zip(FAMILIES, packages, strict=True)) for name, *packages in rows if not loads(name)}


def family_of(os_release: str) -> str | None:
    """Return the package tool of the distribution that this /etc/os-release describes, or None."""
    found = re.findall(r'^ID(?:_LIKE)?="?([^"\n]*)"?', os_release, re.MULTILINE)
    names = " ".join(found).lower().split()
    return next(
        (tool for name in names for tool, known in _DISTRIBUTIONS.items() if name in known.split()), None
    )


def this_family() -> str | None:
    """Return the package tool of this computer's distribution, or None."""
    try:
        return family_of(Path("/etc/os-release").read_text(encoding="utf-8"))
    except OSError:
        return None


def install_command(family: str, packages: str, *, root: bool) -> str:
    """Return the command that a person types to install packages."""
    return ("" if root else "sudo ") + f"{_INSTALL[family]} {packages}"


def remedy(missing: str, command: str | None) -> str:
    """Return the sentence that says what is missing and how to get it."""
    if command is None:
        return say(
            "{missing} Install it with the package tool of this system and start again.", missing=missing
        )
    return say("{missing} Install it with `{command}` and start again.", missing=missing, command=command)


def _obtain(display: Display, missing: str, packages: Mapping[str, str]) -> None:
    family = this_family()
    if _may_install(family):
        display.note(missing)
        _install_with_apt(display, packages["apt-get"].split())
        return
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    command = install_command(family, packages[family], root=root) if family else None
    raise SetupFailed(remedy(missing, command))


def _may_install(family: str | None) -> bool:
    return family == "apt-get" and os.geteuid() == 0 and Path("/usr/bin/apt-get").exists()


def _install_with_apt(display: Display, packages: Sequence[str]) -> None:
    display.note(say("Installing {names} with apt-get.", names=" ".join(packages)))
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        done = subprocess.run(
            ["/usr/bin/apt-get", "-q", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        if done.returncode != 0 and arguments[0] == "install":
            reason = (done.stdout.strip().splitlines() or [""])[-1]
            raise SetupFailed(
                say("apt-get could not install {names}: {reason}", names=" ".join(packages), reason=reason)
            )


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _compilers() -> tuple[tuple[str, ...], tuple[str, ...]]:
    return (
        (os.environ.get("CC", "cc").split()[0], "cc", "gcc", "clang", "cl"),
        (os.environ.get("CXX", "c++").split()[0], "c++", "g++", "clang++", "cl"),
    )


def _visual_studio() -> bool:
    finder = Path(
        os.environ.get("PROGRAMFILES(X86)", r"C:\Program Files (x86)"),
        "Microsoft Visual Studio",
        "Installer",
        "vswhere.exe",
    )
    if not finder.is_file():
        return False
    asked = [
        str(finder),
        "-products",
        "*",
        "-requires",
        "Microsoft.VisualStudio.Component.VC.Tools.x86.x64",
        "-property",
        "installationPath",
    ]
    return bool(subprocess.run(asked, capture_output=True, check=False).stdout.strip())
