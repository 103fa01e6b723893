"""What every part of `engine.yaml` is made of."""

import re
from typing import Annotated, Final, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from engine.domain.values import AccountId

_ACCOUNT: Final = re.compile(r"[A-Z]{1,3}[0-9]{3,10}")


def _account(text: str) -> str:
    if _ACCOUNT.fullmatch(text) is None:
        raise ValueError
    return text


Account: TypeAlias = Annotated[
    AccountId,
    AfterValidator(_account),
    Field(description="an account id in capitals, such as DU1234567 or U1234567"),
]


class Section(BaseModel):
    """Part of the file: no unknown key, nothing converted, nothing changed later."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
