"""Starts LocalLLM; the first start makes its environment in this folder."""

# pathlib would be a third of the time of every start
# ruff: noqa: PTH100, PTH120
import os
import sys

OLDEST_PYTHON = (3, 11)
TOO_OLD = "LocalLLM needs Python 3.11 or newer, and this is Python {}.{}: start main.py with a newer one."
TOO_OLD_SPANISH = (
    "LocalLLM necesita Python 3.11 o posterior y este es Python {}.{}: inicie main.py con uno más nuevo."
)
CHECKOUT = os.path.dirname(os.path.abspath(__file__))


def main() -> int:
    """Hand over to the environment's Python; this file must also compile on Pythons that are too old."""
    if sys.version_info < OLDEST_PYTHON:
        language = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or "en"
        sentence = TOO_OLD_SPANISH if language.startswith("es") else TOO_OLD
        sys.stderr.write(sentence.format(*sys.version_info[:2]) + "\n")
        return 1
    from localllm.bootstrap.start import start

    return start(CHECKOUT, sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
