"""What is done to an object, as the request that the API server would send, and who does it."""

from dataclasses import dataclass
from typing import Any

from webhook.check.finding import Done, Thing
from webhook.check.kinds import split_version
from webhook.review.envelope import ReviewRequest

Json = dict[str, Any]

NOBODY = "portcullis:check"
"""Who asks where nobody is named: nobody in a cluster. The facts say that it holds every role."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who would apply the manifests; without one what is written is judged, and not who may write it."""

    user: str
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Deed:
    """What is done: `old` is the object that stands, `new` what it is to be; None is none, for one of the two."""

    thing: Thing
    new: Json | None
    old: Json | None

    @property
    def operation(self) -> Done:
        """As a review spells it."""
        if self.new is None:
            return "DELETE"
        return "CREATE" if self.old is None else "UPDATE"


def review_of(deed: Deed, caller: Caller | None) -> ReviewRequest:
    """Return the request; raises pydantic's `ValidationError` for an object that the API server would not take."""
    thing = deed.thing
    group, version = split_version(thing.api_version)
    who = caller or Caller(NOBODY)
    metadata = (deed.new or deed.old or {})["metadata"]
    return ReviewRequest.model_validate(
        {
            "uid": "check",
            "kind": {"group": group, "version": version, "kind": thing.kind},
            "operation": deed.operation,
            "name": metadata.get("name") or "",
            # The API server names a Namespace as its own, and what is in no namespace in none.
            "namespace": thing.name if (group, thing.kind) == ("", "Namespace") else thing.namespace,
            "userInfo": {"username": who.user, "groups": list(who.groups)},
            "object": deed.new,
            "oldObject": deed.old,
            # Whatever is done beside deciding, is not done for this.
            "dryRun": True,
        }
    )
