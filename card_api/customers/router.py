"""/customers: what CRM teams do with customers, one at a time."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from card_api.api_keys.repository import ApiKey
from card_api.auth.access import Access
from card_api.customers.actor import actor_of
from card_api.customers.examples import CREATE, MERGE, PATCH, PUT
from card_api.customers.requests import CustomerPage, CustomerPatch, MergeWrite
from card_api.customers.schemas import (
    Customer,
    CustomerBody,
    CustomerWrite,
    Key,
    Moment,
    Name,
    SourceName,
    Word,
)
from card_api.customers.search import Filters
from card_api.customers.service import CustomerService
from card_api.etag import ETAG, NOT_MODIFIED, IfMatch, IfNoneMatch, etag, if_none_match
from card_api.idempotency.service import Answer, Idempotency, IdempotencyKey
from card_api.paging import After, cursor, page, read_cursor
from shared.errors import (
    Conflict,
    Forbidden,
    NotFound,
    PreconditionFailed,
    PreconditionRequired,
    Problem,
    Unauthorised,
    Unavailable,
    Unprocessable,
    problem_responses,
)
from shared.phone import MAX_RAW, normalise

ALWAYS = problem_responses(Unauthorised, Forbidden, Unprocessable, Unavailable)
"""What any route here may answer."""
WITH_BODY = problem_responses(Problem)
"""What a route that takes a body may answer besides: no JSON."""


def customers_router(
    service: CustomerService, idempotency: Idempotency, access: Access, country: str
) -> APIRouter:
    """Single customers. Mount it after routers that have words in place of an id (`/customers/export`)."""
    router = APIRouter(prefix="/api/v1/customers", tags=["customers"], responses=ALWAYS)
    Reader = Annotated[ApiKey, Depends(access.scope("customers:read"))]  # noqa: N806 - types
    Writer = Annotated[ApiKey, Depends(access.scope("customers:write"))]  # noqa: N806

    @router.post(
        "",
        operation_id="createCustomer",
        summary="Add a customer",
        status_code=201,
        response_model=Customer,
        responses={201: ETAG, **WITH_BODY, **problem_responses(Conflict)},
    )
    async def create(
        given: Annotated[CustomerWrite, CREATE],
        request: Request,
        key: Writer,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        actor = actor_of(key)

        async def work(connection: AsyncConnection) -> Answer:
            customer = await service.create(connection, actor, given)
            return _answer(customer, 201, {"Location": f"/api/v1/customers/{customer.id}"})

        return (await idempotency.once(actor.id, idempotency_key, request, work)).response()

    @router.get(
        "",
        operation_id="listCustomers",
        summary="Customers in the order of their last change",
        description="All filters given must hold. To follow changes, ask on from the last page's end: nothing is "
        "missed, also while others load customers in mass.",
    )
    async def list_customers(
        key: Reader,
        source: Annotated[SourceName | None, Query(description="the system they came from")] = None,
        external_id: Annotated[Key | None, Query(description="their key there")] = None,
        number: Annotated[
            str | None,
            Query(min_length=1, max_length=MAX_RAW, description="one of their phones, in any writing"),
        ] = None,
        account: Annotated[Key | None, Query(description="number of one of their contracts")] = None,
        category: Annotated[Word | None, Query(description="code of their category")] = None,
        tag: Annotated[Word | None, Query()] = None,
        manager: Annotated[Name | None, Query()] = None,
        q: Annotated[
            Name | None, Query(description="beginning of the name, small letters or capitals")
        ] = None,
        updated_since: Annotated[
            Moment | None,
            Query(description="changed at or after this moment", examples=["2026-11-22T00:00:00Z"]),
        ] = None,
        merged: Annotated[bool | None, Query(description="those merged into others, or the rest")] = None,
        after: After = None,
        limit: Annotated[int, Query(ge=1, le=200, description="customers a page")] = 50,
    ) -> CustomerPage:
        e164 = None if number is None else _e164(number, country)
        filters = Filters(
            source, external_id, e164, account, category, tag, manager, q, updated_since, merged
        )
        at, id_ = read_cursor(after, datetime, UUID) if after else (None, None)
        place = (at, id_) if at and id_ else None
        found, places = await service.search(actor_of(key), filters, place, limit)
        _, following = page(places, limit, lambda place: cursor(place.updated_at, place.id))
        return CustomerPage(items=found, next=following)

    @router.get(
        "/{customer_id}",
        operation_id="getCustomer",
        summary="A customer with all that is known",
        response_model=Customer,
        responses={
            200: ETAG,
            **NOT_MODIFIED,
            **problem_responses(NotFound),
        },
    )
    async def get(
        customer_id: UUID,
        key: Reader,
        none_match: IfNoneMatch = None,
    ) -> Response:
        customer = await service.get(actor_of(key), customer_id)
        headers = {"ETag": etag(customer.revision), "Cache-Control": "private, no-cache"}
        if if_none_match(none_match, headers["ETag"]):
            return Response(status_code=304, headers=headers)
        return _answer(customer, 200, headers).response()

    @router.put(
        # A key of another system may have a slash in it.
        "/{source}/{external_id:path}",
        operation_id="putCustomer",
        summary="Make a customer as its source knows it now: add it, or replace what the source said before",
        response_model=Customer,
        responses={
            200: {"description": "Replaced, or already so", **ETAG},
            201: {"description": "Added", "model": Customer, **ETAG},
            **WITH_BODY,
            **problem_responses(PreconditionFailed),
        },
        dependencies=[Depends(_source_is_no_id)],
    )
    async def put(
        source: SourceName,
        external_id: Annotated[Key, Path(description="its key in the source")],
        given: Annotated[CustomerBody, PUT],
        key: Writer,
        match: IfMatch = None,
    ) -> Response:
        write = CustomerWrite.model_construct(
            **{name: getattr(given, name) for name in CustomerBody.model_fields},
            source=source,
            external_id=external_id,
        )
        async with service.transaction() as connection:
            customer, created = await service.upsert(connection, actor_of(key), write, match)
        location = {"Location": f"/api/v1/customers/{customer.id}"} if created else {}
        return _answer(customer, 201 if created else 200, location).response()

    @router.patch(
        "/{customer_id}",
        operation_id="patchCustomer",
        summary="Change some fields (JSON merge patch); If-Match says which version is meant",
        response_model=Customer,
        responses={
            200: ETAG,
            **WITH_BODY,
            **problem_responses(NotFound, PreconditionFailed, PreconditionRequired),
        },
    )
    async def patch(
        customer_id: UUID,
        given: Annotated[CustomerPatch, PATCH],
        key: Writer,
        match: IfMatch = None,
    ) -> Response:
        if match is None:
            raise PreconditionRequired(
                "Send If-Match with the ETag of the customer as you have read it, so that nobody's change is lost."
            )
        fields = given.model_dump(exclude_unset=True, mode="json")
        async with service.transaction() as connection:
            customer = await service.patch(connection, actor_of(key), customer_id, fields, match)
        return _answer(customer, 200).response()

    @router.delete(
        "/{customer_id}",
        operation_id="deleteCustomer",
        summary="Take a customer away; calls stay (to take out all that is personal: erase)",
        status_code=204,
        responses=problem_responses(NotFound, PreconditionFailed),
    )
    async def delete(customer_id: UUID, key: Writer, match: IfMatch = None) -> None:
        async with service.transaction() as connection:
            await service.delete(connection, actor_of(key), customer_id, match)

    @router.post(
        "/{customer_id}/merge",
        operation_id="mergeCustomers",
        summary="These are one customer: all of them show as this one, with what each knows",
        response_model=Customer,
        responses={200: ETAG, **WITH_BODY, **problem_responses(NotFound, Conflict)},
    )
    async def merge(
        customer_id: UUID,
        given: Annotated[MergeWrite, MERGE],
        request: Request,
        key: Writer,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        actor = actor_of(key)

        async def work(connection: AsyncConnection) -> Answer:
            return _answer(await service.merge(connection, actor, customer_id, given.duplicates), 200)

        return (await idempotency.once(actor.id, idempotency_key, request, work)).response()

    @router.post(
        "/{customer_id}/unmerge",
        operation_id="unmergeCustomer",
        summary="This is a customer of its own after all",
        response_model=Customer,
        responses={200: ETAG, **problem_responses(NotFound, Conflict)},
    )
    async def unmerge(
        customer_id: UUID, request: Request, key: Writer, idempotency_key: IdempotencyKey = None
    ) -> Response:
        actor = actor_of(key)

        async def work(connection: AsyncConnection) -> Answer:
            return _answer(await service.unmerge(connection, actor, customer_id), 200)

        return (await idempotency.once(actor.id, idempotency_key, request, work)).response()

    return router


def _source_is_no_id(request: Request) -> None:
    """`/{customer_id}/notes/{note_id}` looks like a key with slashes in it, and cannot be PUT."""
    try:
        UUID(request.path_params["source"])
    except ValueError:
        return
    raise HTTPException(405, "PUT takes /customers/{source}/{external_id}, not our ids: PATCH those.")


def _e164(number: str, country: str) -> str:
    found = normalise(number, country)
    if found is None:
        raise Unprocessable(
            "number is no phone number: write it with the country code, like +79001112233, or as it is dialled in "
            f"{country}."
        )
    return found


def _answer(customer: Customer, status: int, headers: dict[str, str] | None = None) -> Answer:
    return Answer(status, customer.to_json(), {"ETag": etag(customer.revision), **(headers or {})})
