"""Reading the faults that a gateway starts with."""

from pathlib import Path
from typing import Any

import yaml

from engine.sim.faults.book import Faults, FaultsFileError, checked_value


def load_faults(path: Path) -> Faults:
    """The faults a YAML or JSON file starts a gateway with.

    Raises:
        FaultsFileError: The file cannot be read or says something unknown.
    """
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        named: Any = yaml.safe_load(text)
    except OSError as error:
        message = f"{path}: cannot be read: {error.strerror}"
        raise FaultsFileError(message) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        message = f"{path}: is neither YAML nor JSON: {error}"
        raise FaultsFileError(message) from error
    faults = Faults()
    if root is None:
        return faults
    if not isinstance(root, yaml.MappingNode):
        message = f"{path}: must hold names and values, one per line"
        raise FaultsFileError(message)
    seen: set[str] = set()
    for key_node, _ in root.value:
        name = str(key_node.value)
        where = f"{path}, line {key_node.start_mark.line + 1}"
        if name in seen:
            message = f"{where}: {name} is given twice"
            raise FaultsFileError(message)
        seen.add(name)
        checked_value(name, named.get(name), where)
    # The chances of single lines are added to the table, whichever comes first.
    faults.change({key: named[key] for key in sorted(named, key=lambda key: key != "chances")})
    return faults
