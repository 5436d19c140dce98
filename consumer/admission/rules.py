"""The rules of admission that follow from the settings, also for a producer that opens no ledger and no storage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from consumer.admission.policy import AdmissionPolicy
from consumer.callbacks.game import GameApi
from consumer.callbacks.signing import default_secret
from consumer.storage.factory import default_outputs
from pipelines.models.local_names import names_local
from pipelines.registry import PIPELINES, Pipeline
from providers.catalogue import Catalogue
from providers.http.policy import Policy
from providers.registry import catalogue_of
from schemas.envelope import Request
from schemas.errors import ConfigurationError
from schemas.settings import Settings
from schemas.tenants import Tenant, TenantRules
from schemas.trigger_requests import check_rules
from schemas.triggers import TriggerRules


def producer_policy(settings: Settings) -> AdmissionPolicy:
    """Return the rules of the doors without opening the ledger or the storage. Load the extensions first."""
    names = list(settings.callback_secrets) or (["default"] if settings.embedded else [])
    return rules_of(settings, names, PIPELINES, catalogue_of(settings), trigger_rules(settings))


def rules_of(
    settings: Settings,
    secret_names: Sequence[str],
    pipelines: Mapping[str, Pipeline],
    catalogue: Catalogue,
    triggers: TriggerRules,
) -> AdmissionPolicy:
    """Return the rules of the doors."""

    def check_models(request: Request) -> None:
        pipelines[request.type].check(request.data, request.type, catalogue)

    def role_of(request: Request) -> str:
        # A request that names a local model needs a worker that has local models.
        return "gpu" if names_local(request.data, catalogue) else pipelines[request.type].role

    return AdmissionPolicy(
        roles={name: pipeline.role for name, pipeline in pipelines.items()},
        secret_names=frozenset(secret_names),
        policy=outbound_policy(settings),
        max_message_bytes=settings.max_message_bytes,
        tenants=TenantRules(settings.tenants),
        queue_priorities=settings.queue_priorities,
        output=settings.output,
        triggers=triggers,
        default_signer=default_secret(secret_names),
        game=game_api(settings),
        check_models=check_models,
        role_of=role_of,
    )


def outbound_policy(settings: Settings) -> Policy:
    """Return which private addresses outbound HTTP may reach."""
    return Policy(allowed_hosts=frozenset(settings.allowed_private_hosts))


def trigger_rules(settings: Settings) -> TriggerRules:
    """Return the trigger rules. Load the extensions first: a rule may name their job types.

    Raises:
        ConfigurationError: a rule cannot make a valid request, would be triggered by its own results, or has
            no tenant that exists.
    """
    rules = check_rules(settings.triggers, default_outputs(settings))
    if settings.tenants:
        _check_trigger_tenants(rules, settings.tenants)
    return rules


def _check_trigger_tenants(triggers: TriggerRules, tenants: Mapping[str, Tenant]) -> None:
    """Check that every trigger rule can resolve to a tenant: from the rule, the queue or the uploaded request."""
    by_queue = any(tenant.queues for tenant in tenants.values())
    for number, rule in enumerate(triggers.rules, 1):
        if rule.tenant is None and not by_queue and not rule.manifest:
            raise ConfigurationError(
                f"trigger rule {number} ({rule}): tenant is missing, and no tenant has queues; "
                f"name one of {', '.join(sorted(tenants))}"
            )
        if rule.tenant is not None and rule.tenant not in tenants:
            raise ConfigurationError(
                f"trigger rule {number} ({rule}): tenant {rule.tenant!r} does not exist; "
                f"available: {', '.join(sorted(tenants))}"
            )


def game_api(settings: Settings) -> GameApi:
    """Return where callbacks in format ``game`` are sent, and their API key."""
    return GameApi(settings.callback_api_url, settings.game_api_key)
