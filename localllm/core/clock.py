"""What a right clock cannot say; a computer whose battery is empty begins in the past."""

FIRST_RELEASE = 1_767_225_600.0  # 1 January 2026, in seconds since 1970
