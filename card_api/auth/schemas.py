"""Sign-in."""

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from card_api.agents.schemas import AgentView
from shared.contracts.base import Timestamp


class SignIn(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"login": "101", "password": "callcard-demo"}]})

    login: str = Field(min_length=1, max_length=64)
    password: SecretStr = Field(min_length=1, max_length=200)


class SignedIn(BaseModel):
    """The token goes into `Authorization: Bearer …` and into the push connection's first command."""

    token: str
    expires_at: Timestamp
    agent: AgentView
