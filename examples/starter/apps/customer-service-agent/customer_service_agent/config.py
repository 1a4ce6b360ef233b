"""What the agent is told by its environment, read once at the start."""

from collections.abc import Mapping
from dataclasses import dataclass

PORT = 8080  # AgentCore's HTTP protocol contract

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


@dataclass(frozen=True)
class Config:
    """Settings of one process."""

    environment: str = "local"
    log_level: str = "INFO"
    model_id: str = ""  # "" answers by rule, without a model
    region: str = ""


def load(environ: Mapping[str, str]) -> Config:
    """Read the settings; a wrong one ends the start instead of hiding."""
    level = environ.get("LOG_LEVEL", "").upper() or "INFO"
    if level not in LEVELS:
        raise ValueError(f"LOG_LEVEL is {level}, not one of {', '.join(LEVELS)}")
    return Config(
        environment=environ.get("ENVIRONMENT") or "local",
        log_level=level,
        model_id=environ.get("MODEL_ID", ""),
        region=environ.get("AWS_REGION", ""),
    )
