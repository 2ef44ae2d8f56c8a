"""Widgets that know nothing of pages and of services."""
