"""Quantizes models through llama.cpp: what it will be first, then the file."""
