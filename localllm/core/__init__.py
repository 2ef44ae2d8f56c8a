"""What the product knows and does; no Qt, no llama_cpp, blocking calls."""
