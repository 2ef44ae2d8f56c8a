import itertools
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localllm.core.hub.names import MAX_PART, checked_files, name_problem, safe_target
from localllm.core.hub.records import RemoteFile
from localllm.errors import HubError

UP = [f"{up}/{rest}" for up in ("..", "../..", "a/..", "a/../..", "./..") for rest in ("evil", "a/evil")]
ABSOLUTE = ["/etc/passwd", "//server/share/x", "\\\\server\\share\\x", "\\windows\\x", "C:\\x", "c:/x", "C:x", "\\\\?\\C:\\x", "\\\\.\\pipe\\x", "file:///x", "~\\x", "a\\b", "a\\..\\b", "..\\x", "//./x", "/", "//"]  # fmt: skip
STREAMS = ["m.gguf:ads", "m.gguf::$DATA", "a:b/c", ":x", "x:", "a/b:c", "$MFT:x"]
DEVICES = [f"{name}{rest}" for name in ("con", "PRN", "aux", "NuL", "com1", "LPT9", "COM¹", "lpt²", "com0", "CONIN$", "conout$", "CLOCK$") for rest in ("", ".gguf", ".tar.gz", "/x.gguf")]  # fmt: skip
ENDINGS = ["x.", "x ", " x", "x./y", "x /y", "x...", ". ", " ", ".. ", "x\u00a0", "\u3000x", "a/ /b"]
PARTS = ["", ".", "..", "a//b", "a/./b", "./a", "a/", "/a", "a/.", "..."]
SIGNS = [f"a{sign}b.gguf" for sign in '<>"|?*']
INVISIBLE = [
    f"a{sign}b.gguf"
    for sign in "\0\1\n\r\t\x1b\x7f\x85\u200b\u202e\u2066\ufeff\u2028\u2029\ud800\ue000\u00ad"
]
LONG = ["x" * 201, "é" * 101, "/".join(["x"] * 17), "/".join(["x" * 190] * 5), "x" * 5000 + ".gguf"]
SHORT = ["PROGRA~1", "MODEL~1.GGU", "a/LONGFI~2.gg", "~1"]
HOSTILE = UP + ABSOLUTE + STREAMS + DEVICES + ENDINGS + PARTS + SIGNS + INVISIBLE + LONG + SHORT
GOOD = ["m.gguf", "Q4_K_M/m-00001-of-00002.gguf", "README.md", ".gitattributes", "modèle.gguf", "模型.gguf", "a b.gguf", "console.gguf", "com10.gguf", "nullable", "auxiliary/x", "x" * MAX_PART, "a~b.gguf", "$x%y#z'.gguf", "-rf"]  # fmt: skip


def test_there_are_enough_hostile_names():
    assert len(set(HOSTILE)) >= 120


@pytest.mark.parametrize("name", HOSTILE, ids=[f"{n}" for n in range(len(HOSTILE))])
def test_a_hostile_name_has_a_reason_and_no_target(name, tmp_path):
    assert name_problem(name) is not None
    with pytest.raises(HubError) as caught:
        safe_target(tmp_path / "library", name)
    assert "was skipped: " in str(caught.value)
    str(caught.value).encode()


@pytest.mark.parametrize("name", GOOD)
def test_a_good_name_lies_below_the_folder(name, tmp_path):
    target = safe_target(tmp_path, name)
    assert target == tmp_path.joinpath(*name.split("/"))


@given(st.text(alphabet=st.sampled_from("ab./\\:~ \0é\u202e*CON1"), max_size=30))
def test_what_passes_stays_below_any_folder(tmp_path_factory, name):
    folder = tmp_path_factory.getbasetemp() / "library"
    if name_problem(name) is None:
        target = safe_target(folder, name)
        assert os.path.commonpath([os.path.normpath(target), folder]) == str(folder)
        assert target != folder


def collect(*names):
    good, skipped = checked_files(RemoteFile(name, 1) for name in names)
    return [file.name for file in good], [file.name for file in skipped]


def test_names_that_meet_on_some_system_are_stored_once():
    assert collect("m.gguf", "M.GGUF") == (["m.gguf"], ["M.GGUF"])
    assert collect("e\u0301.gguf", "\u00e9.gguf") == (["e\u0301.gguf"], ["\u00e9.gguf"])
    assert collect("stra\u00dfe", "STRASSE") == (["stra\u00dfe"], ["STRASSE"])
    assert collect("a/b", "A") == (["a/b"], ["A"])
    assert collect("a", "A/b") == (["a"], ["A/b"])
    assert collect("a/b", "A/c", "nul") == (["a/b", "A/c"], ["nul"])


def test_every_hostile_name_of_a_repository_is_skipped_with_a_reason():
    good, skipped = checked_files(RemoteFile(name, 1) for name in itertools.chain(HOSTILE, GOOD))
    assert {file.name for file in skipped} == set(HOSTILE)
    assert [file.name for file in good] == GOOD
    assert all(str(file.reason) for file in skipped)


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no links here")
def test_a_link_in_the_library_is_not_followed(tmp_path):
    library, outside = tmp_path / "library", tmp_path / "outside"
    for folder in (library / "repo", outside):
        folder.mkdir(parents=True)
    (library / "repo" / "folder").symlink_to(outside, target_is_directory=True)
    (library / "repo" / "m.gguf").symlink_to(outside / "m.gguf")
    for name in ("folder/m.gguf", "m.gguf"):
        with pytest.raises(HubError, match="leads elsewhere"):
            safe_target(library / "repo", name)
    (tmp_path / "linked").symlink_to(library, target_is_directory=True)
    assert safe_target(tmp_path / "linked", "x.gguf")  # the folder itself is the person's own choice
