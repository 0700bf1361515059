"""Agents as the API shows them."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from card_api.agents.directory import Agent

Role = Literal["agent", "supervisor", "admin"]


class AgentView(BaseModel):
    """An agent, as colleagues may see one."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "login": "101",
                    "name": "Анна Смирнова",
                    "extension": "101",
                    "role": "agent",
                    "language": "ru",
                }
            ]
        }
    )

    login: str
    name: str
    extension: str | None = None
    role: Role
    language: Literal["ru", "en"] | None = Field(None, description="null: the site's language")

    @classmethod
    def of(cls, agent: Agent) -> "AgentView":
        return cls.model_validate(
            {
                "login": agent.login,
                "name": agent.name,
                "extension": agent.extension,
                "role": agent.role,
                "language": agent.language,
            }
        )


class AgentList(BaseModel):
    items: list[AgentView]
