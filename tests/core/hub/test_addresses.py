import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from localllm.core.hub.addresses import Address, is_address, parse_address
from localllm.errors import UsageError

MIRROR = "https://mirror.example:8443/hub"


@pytest.mark.parametrize(
    ("pasted", "expected"),
    [
        ("owner/repo", Address("owner/repo")),
        ("  owner/repo \n", Address("owner/repo")),
        ("owner/repo:Q4_K_M", Address("owner/repo", quant="Q4_K_M")),
        ("owner/repo:UD-Q4_K_XL", Address("owner/repo", quant="UD-Q4_K_XL")),
        ("owner/repo@v1:q8_0", Address("owner/repo", "v1", quant="q8_0")),
        ("owner/repo/x.gguf", Address("owner/repo", file="x.gguf")),
        ("owner/repo/Q4_K_M/x-00001-of-00002.gguf", Address("owner/repo", file="Q4_K_M/x-00001-of-00002.gguf")),
        ("hf.co/owner/repo", Address("owner/repo")),
        ("hf.co/owner/repo:Q4_0", Address("owner/repo", quant="Q4_0")),
        ("huggingface.co/owner/repo", Address("owner/repo")),
        ("https://huggingface.co/owner/repo", Address("owner/repo")),
        ("https://huggingface.co/owner/repo/", Address("owner/repo")),
        ("HTTPS://HuggingFace.co/owner/repo?library=gguf#files", Address("owner/repo")),
        ("https://huggingface.co/owner/repo/tree/main", Address("owner/repo")),
        ("https://huggingface.co/owner/repo/tree/v2/Q4_K_M", Address("owner/repo", "v2")),
        ("https://huggingface.co/owner/repo/blob/main/x.gguf", Address("owner/repo", file="x.gguf")),
        ("https://huggingface.co/owner/repo/blob/main/a%20b.gguf", Address("owner/repo", file="a b.gguf")),
        ("https://huggingface.co/owner/repo/resolve/main/d/x.gguf?download=true", Address("owner/repo", file="d/x.gguf")),
        (f"https://hf.co/owner/repo/resolve/{'c' * 40}/x.gguf", Address("owner/repo", "c" * 40, "x.gguf")),
        ("https://huggingface.co/owner/repo?show_file_info=x.gguf", Address("owner/repo", file="x.gguf")),
        ("hf://owner/repo", Address("owner/repo")),
        ("hf://owner/repo@v1/x.gguf", Address("owner/repo", "v1", "x.gguf")),
        ("hf://models/owner/repo", Address("owner/repo")),
        ("<https://huggingface.co/owner/repo>", Address("owner/repo")),
        (MIRROR + "/owner/repo/blob/main/x.gguf", Address("owner/repo", file="x.gguf")),
        ("mirror.example:8443/hub/owner/repo", Address("owner/repo")),
    ],
)  # fmt: skip
def test_what_people_paste(pasted, expected):
    assert parse_address(pasted, MIRROR) == expected


@pytest.mark.parametrize(
    "pasted",
    ["", "llama", "llama 3 8b", "qwen 3/4 b", "https://example.com/owner/repo", "https://huggingface.co/", "https://huggingface.co/owner",
     "https://huggingface.co/datasets/owner/repo", "https://huggingface.co/spaces/owner/repo", "ftp://huggingface.co/owner/repo",
     "owner/../repo", "../etc/passwd", "owner/repo/../../x", "/etc/passwd", "C:\\models\\x.gguf", "owner/re\0po", "own--er/repo",
     "https://huggingface.co@example.com/owner/repo", "https://huggingface.co.example.com/owner/repo", "javascript:alert(1)",
     "https://[/owner/repo", "owner/repo:Q4 K", "owner/repo:Q4/x", "owner/repo@../x", "./x.gguf", "~/x/y.gguf", "owner/repo/a/./b"],
)  # fmt: skip
def test_what_names_no_repository(pasted):
    with pytest.raises(UsageError):
        parse_address(pasted, MIRROR)
    assert not is_address(pasted, MIRROR)


NAME = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,20}", fullmatch=True).filter(
    lambda n: ".." not in n and "--" not in n
)
OWNER = NAME.filter(lambda n: n not in ("datasets", "spaces", "models", "kernels", "buckets", "collections", "papers", "blog", "docs", "hf.co"))  # fmt: skip
FILE = st.lists(st.from_regex(r"[A-Za-z0-9_é][A-Za-z0-9_.é-]{0,12}", fullmatch=True), min_size=1, max_size=3)


@given(OWNER, NAME, FILE, st.sampled_from(["blob", "resolve", "raw"]))
def test_every_form_of_a_file_means_the_same(owner, name, parts, view):
    assume(parts[0] not in ("blob", "resolve", "raw", "tree"))
    file = "/".join(parts)
    expected = Address(f"{owner}/{name}", file=file)
    assert parse_address(f"{owner}/{name}/{file}") == expected
    assert parse_address(f"hf://{owner}/{name}/{file}") == expected
    assert parse_address(f"https://huggingface.co/{owner}/{name}/{view}/main/{file}") == expected
    assert parse_address(str(expected)) == expected


@given(
    OWNER,
    NAME,
    st.none() | st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True).filter(lambda r: r != "main"),
    st.sampled_from(["", "Q4_K_M"]),
)
def test_the_short_form_reads_back(owner, name, revision, quant):
    address = Address(f"{owner}/{name}", revision, quant=quant)
    assert parse_address(str(address)) == address


@given(st.text(max_size=60) | st.from_regex(r"(https?|hf)://[\x20-\x7e]{0,60}", fullmatch=True))
def test_anything_else_is_refused_or_sound(pasted):
    try:
        found = parse_address(pasted, MIRROR)
    except UsageError:
        return
    assert found.repository.count("/") == 1
    assert not {"..", "."} & set(found.repository.split("/")) | ({"..", "."} & set(found.file.split("/")))
    assert not any(letter in found.repository for letter in " ?#%\\")
