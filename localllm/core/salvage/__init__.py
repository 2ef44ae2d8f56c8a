"""Saves rows from damaged SQLite files, page by page; SQLite gives up at the first bad one."""

from localllm.core.salvage.damage import is_damage
from localllm.core.salvage.rebuild import Salvage, salvage

__all__ = ["Salvage", "is_damage", "salvage"]
