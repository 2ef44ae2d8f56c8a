"""Make the .deb of the bundle: desktop entry, icons, metadata, the type of GGUF files, a manual page.

    python packaging/make_deb.py [--bundle build/dist/LocalLLM] [--target build]

Run it with the Python of `build/env` after make_bundle.py, on Debian or Ubuntu with dpkg-dev; what the
package depends on is read from the bundle's libraries.
"""

from __future__ import annotations

import argparse
import datetime
import email.utils
import gzip
import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from localllm import __version__

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "packaging"
SIZES = (16, 24, 32, 48, 64, 128, 256, 512)
OPTIONAL = "libggml-vulkan.so"  # runs where the recommended packages are
LOADED_LATER = ("libegl1", "libgl1", "libfontconfig1", "libdbus-1-3", "xkb-data")  # no library names them
MAINTAINER = "{DEBFULLNAME} <{DEBEMAIL}>".format_map(
    {"DEBFULLNAME": "The LocalLLM authors", "DEBEMAIL": "localllm@localhost", **os.environ}
)
DESCRIPTION = """\
Run language models on your own computer
 LocalLLM looks at the computer, recommends a language model that will run
 well on it and says why, and chats with it through llama.cpp. It finds and
 downloads models, converts and quantizes them, and measures their speed and
 quality, in a window or on the command line. A small model comes with it.
 .
 Models and chats lie in each person's home and stay when it is removed."""


def lay_out(bundle: Path, root: Path) -> None:
    """Put everything where it will be installed, below `root`."""
    share = root / "usr" / "share"
    shutil.copytree(bundle, root / "usr" / "lib" / "localllm", symlinks=True)
    (root / "usr" / "bin").mkdir(parents=True)
    (root / "usr" / "bin" / "localllm").symlink_to("../lib/localllm/localllm")
    _copy(HERE / "linux" / "localllm.desktop", share / "applications" / "localllm.desktop")
    _copy(HERE / "linux" / "localllm-mime.xml", share / "mime" / "packages" / "localllm.xml")
    metadata = (HERE / "linux" / "localllm.metainfo.xml").read_text(encoding="utf-8")
    today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    place = share / "metainfo" / "io.github.localllm.LocalLLM.metainfo.xml"
    place.parent.mkdir(parents=True)
    place.write_text(metadata.replace("@VERSION@", __version__).replace("@DATE@", today), encoding="utf-8")
    icons = share / "icons" / "hicolor"
    _copy(ROOT / "resources" / "icons" / "app.svg", icons / "scalable" / "apps" / "localllm.svg")
    for size in SIZES:
        picture = ROOT / "build" / "icons" / f"app-{size}.png"
        _copy(picture, icons / f"{size}x{size}" / "apps" / "localllm.png")
    documents = share / "doc" / "localllm"
    _copy(HERE / "debian.copyright", documents / "copyright")
    changes = (ROOT / "CHANGELOG.md").read_bytes()
    (documents / "CHANGELOG.md.gz").write_bytes(gzip.compress(changes, 9, mtime=0))
    now = email.utils.format_datetime(datetime.datetime.now(tz=datetime.UTC))
    lines = [f"localllm ({__version__}) unstable; urgency=medium", "", "  * See CHANGELOG.md.gz.", ""]
    entry = "\n".join([*lines, f" -- {MAINTAINER}  {now}", ""])
    (documents / "changelog.gz").write_bytes(gzip.compress(entry.encode(), 9, mtime=0))
    manual = share / "man" / "man1" / "localllm.1.gz"
    manual.parent.mkdir(parents=True)
    subprocess.run([sys.executable, str(HERE / "make_man.py"), str(manual)], check=True)


def find_dependencies(bundle: Path, work: Path) -> str:
    """Return the packages that the bundle's programs and libraries need of the system, not what it brings."""
    (work / "debian").mkdir(parents=True)
    (work / "debian" / "control").write_text("Source: localllm\n\nPackage: localllm\nArchitecture: any\n")
    binaries = [
        path for path in bundle.rglob("*") if path.name != OPTIONAL and path.is_file() and _is_elf(path)
    ]
    folders = {path.parent for path in binaries}
    command = ["dpkg-shlibdeps", "-O", "--ignore-missing-info", "--warnings=0"]
    command += [f"-l{folder}" for folder in sorted(folders)] + [f"-e{path}" for path in sorted(binaries)]
    answer = subprocess.run(command, cwd=work, check=True, capture_output=True, text=True)
    brought = _owners({path.name for path in binaries if path.parent == bundle / "_internal"})
    found = answer.stdout.strip().removeprefix("shlibs:Depends=").split(", ")
    needed = {entry.split()[0]: entry for entry in found if entry.split()[0] not in brought}
    return ", ".join(sorted(({name: name for name in LOADED_LATER} | needed).values()))


def _owners(libraries: set[str]) -> set[str]:
    """Return the packages of this system that have libraries of these names."""
    owners: set[str] = set()
    for file in Path("/var/lib/dpkg/info").glob("*.list"):  # dpkg-query takes minutes for so many names
        if any(line.rpartition("/")[2] in libraries for line in file.read_text().splitlines()):
            owners.add(file.stem.partition(":")[0])
    return owners


def write_control(root: Path, dependencies: str) -> None:
    """Describe the package."""
    installed = sum(path.lstat().st_size for path in root.rglob("*")) // 1024
    architecture = subprocess.run(
        ["dpkg", "--print-architecture"], check=True, capture_output=True, text=True
    ).stdout.strip()
    lines = [
        "Package: localllm",
        f"Version: {__version__}",
        f"Architecture: {architecture}",
        f"Maintainer: {MAINTAINER}",
        f"Installed-Size: {installed}",
        f"Depends: {dependencies}",
        "Recommends: shared-mime-info, desktop-file-utils, libvulkan1, mesa-vulkan-drivers",
        "Section: science",
        "Priority: optional",
        f"Description: {DESCRIPTION}",
    ]
    (root / "DEBIAN").mkdir()
    (root / "DEBIAN" / "control").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Make it."""
    parser = argparse.ArgumentParser(description="Make the .deb of the bundle.")
    parser.add_argument("--bundle", type=Path, default=ROOT / "build" / "dist" / "LocalLLM")
    parser.add_argument("--target", type=Path, default=ROOT / "build")
    arguments = parser.parse_args()
    bundle, target = arguments.bundle.absolute(), arguments.target.absolute()
    work = target / "deb"
    shutil.rmtree(work, ignore_errors=True)
    root = work / "root"
    lay_out(bundle, root)
    write_control(root, find_dependencies(root / "usr" / "lib" / "localllm", work))
    subprocess.run(["chmod", "-R", "u+rwX,go+rX,go-w", str(root)], check=True)
    for library in root.rglob("*.so*"):
        if not library.is_symlink():
            library.chmod(0o644)
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", str(root), str(target)], check=True)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


if __name__ == "__main__":
    main()
