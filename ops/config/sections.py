"""The frame's own section."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class ControlConfig(BaseModel):
    """quorum: people other than the requester who must agree to what increases risk; never zero."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    quorum: Annotated[int, Field(ge=1, le=5)]
