"""JSON merge patch (RFC 7396) of what a record's own source says. Pure."""

from collections.abc import Mapping
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from card_api.customers.rows import COLUMNS
from card_api.customers.schemas import Customer, CustomerBody


def patched(customer: Customer, patch: Mapping[str, Any]) -> CustomerBody:
    """The body with the patch in it; of the lists that are rows of their own, those the patch names. Raises
    RequestValidationError, with the fields, if that is no customer any more."""
    now = {name: value for name, value in customer.to_dict().items() if name in COLUMNS}
    try:
        return CustomerBody.model_validate(merge_patch(now, patch))
    except ValidationError as error:
        raise RequestValidationError([{**e, "loc": ("body", *e["loc"])} for e in error.errors()]) from None


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7396, section 2."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged
