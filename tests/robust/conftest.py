"""What a test with a window needs."""

from tests.ui.conftest import no_windows_left, show, theme  # noqa: F401
