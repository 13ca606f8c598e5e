"""A call's worth of work with the generated Python client: every answer is read into the generated types."""

import os
from uuid import UUID

from vca_client import AuthenticatedClient
from vca_client.api.ai_profiles import create_ai_profile, get_ai_profile, update_ai_profile
from vca_client.api.calls import get_call_transcript, list_calls
from vca_client.api.keys import create_tenant_key, get_identity
from vca_client.api.phone_numbers import create_phone_number
from vca_client.api.tenants import create_tenant, list_tenants
from vca_client.models import (
    AiProfile,
    CallPage,
    CreateAiProfileRequest,
    CreatedKey,
    CreateNumberRequest,
    CreateTenantKeyRequest,
    CreateTenantKeyRequestRole,
    CreateTenantRequest,
    Identity,
    PhoneNumber,
    Plan,
    Problem,
    ProfileSettings,
    Tenant,
    TenantPage,
    TenantStatus,
    Transcript,
    UpdateAiProfileRequest,
)

URL = os.environ["VCA_URL"]
CALLED = UUID(os.environ["VCA_TENANT"])


def read(kind, answer):
    """The answer, which is of this type."""
    if not isinstance(answer, kind):
        raise SystemExit(f"expected {kind.__name__}, got {answer!r}")
    return answer


def work():
    operator = AuthenticatedClient(base_url=URL, token=os.environ["VCA_KEY"])
    body = CreateTenantRequest(name="Python", plan=Plan.GROWTH)
    tenant, repeated = (
        read(Tenant, create_tenant.sync(client=operator, body=body, idempotency_key="python-1")) for _ in range(2)
    )
    assert tenant == repeated
    assert tenant.status == TenantStatus.ACTIVE
    assert tenant.id in [one.id for one in read(TenantPage, list_tenants.sync(client=operator)).items]

    body = CreateTenantKeyRequest(name="front office", role=CreateTenantKeyRequestRole.TENANT_ADMIN)
    key = read(CreatedKey, create_tenant_key.sync(tenant.id, client=operator, body=body))
    admin = AuthenticatedClient(base_url=URL, token=key.secret)
    assert read(Identity, get_identity.sync(client=admin)).key.id == key.id

    number = create_phone_number.sync(tenant.id, client=operator, body=CreateNumberRequest(did_number="+493055500777"))
    assert read(PhoneNumber, number).did_number == "+493055500777"
    taken = create_phone_number.sync(tenant.id, client=operator, body=CreateNumberRequest(did_number="+493055500777"))
    assert read(Problem, taken).code == "number_in_use"

    settings = ProfileSettings(greeting="Hello!", language="en")
    body = CreateAiProfileRequest(name="Desk", system_prompt="Be brief.", is_default=True, settings=settings)
    profile = read(AiProfile, create_ai_profile.sync(tenant.id, client=admin, body=body))
    body = UpdateAiProfileRequest(name="Front desk")
    changed = read(AiProfile, update_ai_profile.sync(tenant.id, profile.id, client=admin, body=body))
    assert (changed.name, changed.version) == ("Front desk", profile.version + 1)
    assert read(AiProfile, get_ai_profile.sync(tenant.id, profile.id, client=admin)) == changed

    calls = read(CallPage, list_calls.sync(CALLED, client=operator))
    transcript = read(Transcript, get_call_transcript.sync(CALLED, calls.items[0].id, client=operator))
    assert [turn.caller_text for turn in transcript.turns] == ["Do you have rolls?"]


work()
print("done")
