"""FastAPI's validators, made once for all the apps of a test process."""

from typing import Any, get_args

from pydantic import TypeAdapter


class RememberedValidators:
    """In the place of the `TypeAdapter` by which FastAPI checks one parameter or answer. The card API has two hundred,
    half of the time of making it, and hundreds of tests have one of their own."""

    def __init__(self) -> None:
        # With what each was made of: the name of a function that is gone would be given to another.
        self._made: dict[tuple[Any, str], tuple[Any, TypeAdapter[Any]]] = {}

    def __call__(self, annotation: Any, *, config: Any = None) -> TypeAdapter[Any]:
        kind, *about = get_args(annotation)
        # What makes a default is shown by a name that another may have, too.
        if config is not None or any(getattr(one, "default_factory", None) for one in about):
            return TypeAdapter(annotation, config=config)
        key = (kind, repr(about))
        if key not in self._made:
            self._made[key] = (annotation, TypeAdapter(annotation))
        return self._made[key][1]
