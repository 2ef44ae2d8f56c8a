"""What helps when something is wrong: a report without anything private, checks, logs, and ways back."""
