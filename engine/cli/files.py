"""How the commands read the two files of an operator; loaded only by those that do.

Rule: a bad file is explained on stderr, problem by problem, and the exit code is 1.
"""

import json
import os
from pathlib import Path

from engine.cli.output import fail, note
from engine.config import engine as engine_file
from engine.config import risk as risk_file
from engine.config.engine import EngineConfig
from engine.config.strict_yaml import ConfigError
from engine.domain.risk import RiskPolicy, limits_view
from engine.domain.values import AccountId
from engine.domain.views import LimitsView


def read_config(file: Path) -> EngineConfig:
    """Read engine.yaml with the environment's overrides."""
    try:
        return engine_file.load_engine_config(file, os.environ)
    except ConfigError as error:
        note(str(error))
        fail(f"{file} cannot be used")


def read_policy(file: Path) -> RiskPolicy:
    """Read a limits file."""
    try:
        return risk_file.load_risk_policy(file)
    except ConfigError as error:
        note(str(error))
        fail(f"{file} cannot be used")


def read_limits(file: Path, account: str) -> LimitsView:
    """Read what a limits file says of one account."""
    return limits_view(read_policy(file).limits_for(AccountId(account)), file_error=None)


def config_schema() -> str:
    """The JSON schema of engine.yaml."""
    return json.dumps(engine_file.json_schema(), indent=2)


def risk_schema() -> str:
    """The JSON schema of risk.yaml."""
    return json.dumps(risk_file.risk_json_schema(), indent=2)
