"""The Hugging Face Hub: search, what a repository holds, safe names, headers read before a download."""
