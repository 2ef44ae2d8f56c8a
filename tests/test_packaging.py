"""What installers are made of is valid and agrees with the program; the bundle itself is built by hand and by releases."""

import configparser
import importlib.util
import re
import struct
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml

from localllm.cli.main import _COMMANDS
from localllm.processes import CONSOLE_PROGRAM

ROOT = Path(__file__).resolve().parent.parent
PACKAGING = ROOT / "packaging"
MIME_TYPE = "application/x-gguf"
LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"


def load(name):
    """Import a script of packaging/."""
    spec = importlib.util.spec_from_file_location(f"packaging_{name}", PACKAGING / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def search_path(monkeypatch):
    """The scripts put the checkout on the path; that ends with the test."""
    monkeypatch.setattr(sys, "path", list(sys.path))


def test_the_desktop_entry_opens_models_and_speaks_spanish():
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str
    parser.read(PACKAGING / "linux" / "localllm.desktop", encoding="utf-8")
    entry = parser["Desktop Entry"]
    assert entry["Type"] == "Application"
    assert entry["Exec"] == "localllm %F"
    assert entry["Terminal"] == "false"
    assert entry["MimeType"].split(";") == [MIME_TYPE, ""]
    assert {"Name", "Icon", "Categories", "StartupWMClass"} <= set(entry)
    for key in ("GenericName", "Comment", "Keywords"):
        assert entry[f"{key}[es]"] != entry[key]
    assert entry["Icon"] == entry["StartupWMClass"] == "localllm"


def test_the_type_of_gguf_files_is_known_by_name_and_by_content():
    root = ET.parse(PACKAGING / "linux" / "localllm-mime.xml").getroot()
    kind = root.find("{*}mime-type")
    assert kind.get("type") == MIME_TYPE
    assert kind.find("{*}glob").get("pattern") == "*.gguf"
    match = kind.find("{*}magic/{*}match")
    assert (match.get("value"), match.get("offset"), match.get("type")) == ("GGUF", "0", "string")
    assert "es" in [comment.get(LANGUAGE) for comment in kind.findall("{*}comment")]


def test_the_metadata_name_the_program_and_every_text_has_its_spanish():
    root = ET.parse(PACKAGING / "linux" / "localllm.metainfo.xml").getroot()
    assert root.get("type") == "desktop-application"
    assert root.findtext("launchable") == "localllm.desktop"
    assert root.findtext("provides/mediatype") == MIME_TYPE
    assert root.findtext("project_license") == "MIT"
    for path in ("summary", "description/p", "description/ul/li"):
        texts = root.findall(path)
        spanish = [one for one in texts if one.get(LANGUAGE) == "es"]
        assert len(spanish) * 2 == len(texts) > 0
    release = root.find("releases/release")
    assert (release.get("version"), release.get("date")) == ("@VERSION@", "@DATE@"), (
        "make_deb.py fills these in"
    )


def test_the_spec_compiles_and_names_the_program_that_starts_children():
    source = (PACKAGING / "localllm.spec").read_text(encoding="utf-8")
    compile(source, "localllm.spec", "exec")
    assert f'("{CONSOLE_PROGRAM}", "{CONSOLE_PROGRAM}w")' in source
    assert MIME_TYPE in source


@pytest.mark.usefixtures("search_path")
def test_the_manual_page_has_every_command_and_its_flags():
    made = load("make_man").page()
    for name in _COMMANDS:
        assert f".SS localllm {name}\n" in made
    for words in (".SS localllm models trash empty", r"\-\-ctx\-size", r"\-\-with\-models", "LOCALLLM_HOME"):
        assert words in made
    assert not re.search(r"^['.](?!TH|SH|SS|TP|B|br)", made, re.MULTILINE), (
        "a line that man(7) takes for an order"
    )
    assert all(ord(character) < 128 for character in made.splitlines()[0])


def test_the_icons_hold_the_pictures_in_the_order_that_systems_read():
    icons = load("make_icons")
    picture = icons.draw(16)
    assert picture.startswith(b"\x89PNG")
    ico = icons.make_ico({16: picture, 256: picture})
    assert struct.unpack("<HHH", ico[:6]) == (0, 1, 2)
    width, _height, _colours, _zero, planes, bits, size, offset = struct.unpack("<BBBBHHII", ico[22:38])
    assert (width, planes, bits, size) == (0, 1, 32, len(picture)), "0 stands for 256"
    assert ico[offset : offset + size] == picture
    icns = icons.make_icns({b"icp4": picture})
    assert icns[:4] == b"icns"
    assert struct.unpack(">I", icns[4:8])[0] == len(icns) == 16 + len(picture)


def test_the_windows_installer_starts_the_window_and_keeps_what_people_made():
    script = (PACKAGING / "windows" / "localllm.iss").read_text(encoding="utf-8")
    assert "PrivilegesRequired=lowest" in script
    assert f"{CONSOLE_PROGRAM}w.exe" in script
    assert "data remove --with-models --yes" in script
    assert "MB_DEFBUTTON2" in script, "No is the answer that Enter gives"
    english = set(re.findall(r"^en\.(\w+)=", script, re.MULTILINE))
    assert english == set(re.findall(r"^es\.(\w+)=", script, re.MULTILINE))
    assert english >= set(re.findall(r"\{cm:(Associate|OnPath|Model|RemoveModels)\}", script))


def test_the_release_builds_for_three_systems_and_attaches_checksums():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())["jobs"]
    assert set(jobs) == {"linux", "windows", "macos", "publish"}
    assert set(jobs["publish"]["needs"]) == {"linux", "windows", "macos"}
    commands = {name: "\n".join(step.get("run", "") for step in job["steps"]) for name, job in jobs.items()}
    assert "sha256sum" in commands["publish"]
    for name in ("linux", "windows", "macos"):
        for script in re.findall(r"packaging[/\\][\w/\\.]+", commands[name]):
            assert (ROOT / script.replace("\\", "/")).exists(), script
        assert "build_engine.py build/engine" in commands[name]
    assert "--vulkan" in commands["linux"]
    assert "Vulkan0" in commands["linux"], (
        "that the part for graphics cards loads is seen on a software device"
    )
    assert "--vulkan" in commands["windows"]
    (engine,) = [step["env"] for step in jobs["windows"]["steps"] if step.get("name") == "Engine"]
    assert engine["CMAKE_GENERATOR"] == "Ninja"
    assert len(engine["TEMP"]) < 8, "Windows' compiler takes no path of more than 260 characters"


def test_everything_that_a_bundle_installs_is_locked():
    locks = PACKAGING / "lock"
    for name in ("installer", "build", "engine", "run", "starter", "bundle"):
        lock = (locks / f"{name}.txt").read_text()
        assert "==" in lock
        assert "--hash=sha256:" in lock
        assert f"lock {name} " in (locks / "renew.sh").read_text()


def test_the_release_engine_runs_on_every_processor():
    options = load("build_engine").OPTIONS
    for option in ("GGML_NATIVE=OFF", "GGML_BACKEND_DL=ON", "GGML_CPU_ALL_VARIANTS=ON"):
        assert f"-D{option}" in options
