"""Configuration: sections that apps register, a strict loader, versions in the database.

`configs/config.<profile>.yaml` makes version 1 at the first start. From then on the active stored version
runs and the file is only a candidate.
"""

from ops.config.loader import BadConfig, LoadedConfig, parse, register_section
from ops.config.sections import ControlConfig
from ops.config.versions import active, ensure_first_version, running_version

__all__ = [
    "BadConfig",
    "ControlConfig",
    "LoadedConfig",
    "active",
    "ensure_first_version",
    "parse",
    "register_section",
    "running_version",
]
