"""Takes out of a report what belongs to nobody else: tokens, the user's name, where the home folder is."""

from __future__ import annotations

import contextlib
import getpass
import os
import re
from pathlib import Path

TOKEN_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACEHUB_API_TOKEN")
_HIDDEN = "[hidden]"
_TOKENS = re.compile(
    r"\b(?:hf|api_org|sk|ghp|gho|github_pat|glpat)[_-][A-Za-z0-9_-]{8,}"
    r"|(?i:\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{8,}"
    r"|(?i:\b(?:token|password|secret|api[_-]?key)[\"']?\s*[=:]\s*)[\"']?[^\s\"',;]{4,}"
    r"|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"
)
_LEAST = 3  # characters of a user's name that is no common word in itself
_COMMON = ("root", "user", "admin", "home")


def scrub(words: str) -> str:
    """Return a text without tokens, without the user's name, and with “~” for the home folder."""
    for secret in _secrets():
        words = words.replace(secret, _HIDDEN)
    words = _TOKENS.sub(_HIDDEN, words)
    for home in _homes():
        words = re.sub(re.escape(home) + r"(?![\w.-])", "~", words, flags=_flags())
    for name in _names():
        words = re.sub(
            rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", "[user]", words, flags=re.IGNORECASE
        )
    return words


def _secrets() -> list[str]:
    values = [os.environ.get(name, "").strip() for name in TOKEN_VARIABLES]
    return [value for value in values if len(value) >= 4]


def _homes() -> list[str]:
    """Return the home folder as it may be written, the longest first."""
    found: set[str] = set()
    with contextlib.suppress(RuntimeError, OSError):
        home = Path.home()
        found |= {str(home), str(home.resolve()), home.as_posix(), str(home).replace("\\", "\\\\")}
    return sorted((home for home in found if len(home) > 1), key=len, reverse=True)


def _names() -> list[str]:
    found: set[str] = set()
    with contextlib.suppress(OSError, KeyError, ImportError):
        found.add(getpass.getuser())
    with contextlib.suppress(RuntimeError):
        found.add(Path.home().name)
    return [name for name in found if len(name) >= _LEAST and name.lower() not in _COMMON]


def _flags() -> re.RegexFlag:
    return re.IGNORECASE if os.name == "nt" else re.NOFLAG
