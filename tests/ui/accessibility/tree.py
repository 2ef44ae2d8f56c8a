"""What a screen reader is told: the accessibility tree as Qt hands it to the system."""

from PySide6.QtGui import QAccessible
from PySide6.QtWidgets import QWidget

from localllm.ui.widgets.basics import IconLabel

Role = QAccessible.Role
NAMED_ROLES = {  # what a person acts on or reads, which must say what it is
    Role.Button, Role.ButtonMenu, Role.ButtonDropDown, Role.CheckBox, Role.RadioButton, Role.ComboBox,
    Role.SpinBox, Role.Slider, Role.EditableText, Role.List, Role.Table, Role.Tree, Role.PageTab,
    Role.PageTabList, Role.ProgressBar, Role.MenuItem, Role.ListItem, Role.Cell, Role.TreeItem,
    Role.Dialog, Role.Graphic, Role.Chart, Role.ColumnHeader, Role.Link,
}  # fmt: skip
_MOST_CHILDREN = 60  # of a list: the rows of one kind are alike
_INNER = {Role.ScrollBar, Role.Grip, Role.Separator, Role.Indicator}


def walk(interface, depth=0):
    """Return every visible interface below one, with its depth."""
    yield interface, depth
    count = interface.childCount()
    for number in range(min(count, _MOST_CHILDREN)):
        child = interface.child(number)
        if child is None or not child.isValid():
            continue
        state = child.state()
        if state.invisible or child.role() in _INNER:
            continue
        yield from walk(child, depth + 1)


def nameless(root):
    """Return a line for each interface that ought to have a name and has none."""
    found = []
    for interface, _depth in walk(QAccessible.queryAccessibleInterface(root)):
        if interface.role() in NAMED_ROLES and not _name_of(interface) and not _is_part(interface):
            found.append(described(interface))
    return found


def described(interface):
    """Return role, class and place of an interface."""
    thing = interface.object()
    above = interface.parent()
    place = type(above.object()).__name__ if above is not None and above.object() is not None else "–"
    return f"{interface.role().name} {type(thing).__name__} in {place} {_name_of(interface)!r}"


def _name_of(interface):
    return interface.text(QAccessible.Text.Name).strip()


def _is_part(interface):
    """Return whether it is an inner part that its control speaks for, or an icon beside words."""
    thing = interface.object()
    if isinstance(thing, IconLabel) or (isinstance(thing, QWidget) and thing.objectName().startswith("qt_")):
        return True
    above = interface.parent()
    if interface.role() in (Role.EditableText, Role.List, Role.Button) and above is not None:
        return above.role() in (Role.SpinBox, Role.ComboBox)
    return False


def roles_in(root):
    """Return the roles that occur below a widget."""
    return {interface.role() for interface, _depth in walk(QAccessible.queryAccessibleInterface(root))}
