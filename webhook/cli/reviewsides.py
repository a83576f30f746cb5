"""Both sides of a review made ready: their files laid out, and an OPA with the rules of each."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from webhook.cli.child import own_opa
from webhook.cli.replaying import ours
from webhook.decision.binary import find_opa
from webhook.decision.bundle import Bundle, read_policies
from webhook.decision.catalogue import RulePage, read_catalogue
from webhook.decision.opa import LocalOpa
from webhook.errors import PolicyError, ProposalError
from webhook.proposal.git import repository
from webhook.proposal.revisions import Compared, Side, lay_out, within
from webhook.settings import bundled_policies, environment
from webhook.tenancy.files import Loading, load_tree

READY_SECONDS = 30.0
POLICIES = "policies_rego"


@dataclass(frozen=True, slots=True)
class Folders:
    """What is compared, relative to the folder that is reviewed; empty for what is not."""

    policies: str
    tenancy: str
    manifests: tuple[str, ...]

    @property
    def every(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(filter(None, (self.policies, self.tenancy, *self.manifests)))


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one side, and an OPA that has them."""

    opa: LocalOpa
    bundle: Bundle
    catalogue: tuple[RulePage, ...]


@dataclass(frozen=True, slots=True)
class Ready:
    """
    Both sides laid out, with the rules of each.

    `trouble` says why those of the working tree cannot be asked, and `doubt` why those of the base cannot, so that the
    others stand in for them; both are empty where there is none.
    """

    compared: Compared
    folders: Folders
    opa: Path
    base: Rules | None
    head: Rules | None
    trouble: str = ""
    doubt: str = ""

    def loading(self, side: Side) -> Loading | None:
        """Return what a side's tree holds, None where there is none."""
        path = side.root / self.folders.tenancy
        return load_tree(path) if self.folders.tenancy and path.exists() else None


async def ready(here: Path, base: str, folders: Folders, stack: AsyncExitStack) -> Ready:
    """
    Lay both sides out and start an OPA for each; both are gone when `stack` ends.

    Raises `ProposalError` for what cannot be compared, `OpaError` where there is no OPA.
    """
    scratch = stack.enter_context(_scratch())
    compared = await asyncio.to_thread(_laid, here, base, folders, scratch)
    found = Folders(_policies(compared, folders.policies), folders.tenancy, folders.manifests)
    for each in (found.tenancy, *found.manifests):
        if each and not compared.base.has(each) and not compared.head.has(each):
            raise ProposalError(
                f"there is no manifest in {each}, neither in {base} nor in the working tree: name another"
            )
    binary = await asyncio.to_thread(find_opa, environment(), say=_say)
    starting = _Starting(binary, stack, found.policies)
    try:
        head = await starting.rules(compared.head)
    except PolicyError as error:
        return Ready(compared, found, binary, None, None, trouble=str(error))
    try:
        base_rules = await starting.rules(compared.base, known=head)
    except PolicyError as error:
        return Ready(compared, found, binary, None, head, doubt=str(error))
    return Ready(compared, found, binary, base_rules, head)


def named(here: Path, policies: Path | None, tenancy: Path | None, manifests: tuple[Path, ...]) -> Folders:
    """Return the folders that are named, relative to `here`; raises `ProposalError` for one that is not in it."""
    return Folders(
        within(policies, here, "--policies") if policies else "",
        within(tenancy, here, "--tenancy") if tenancy else "",
        tuple(dict.fromkeys(within(each, here, "--manifests") for each in manifests)),
    )


@contextmanager
def _scratch() -> Iterator[Path]:
    try:
        folder = TemporaryDirectory(prefix="portcullis-", ignore_cleanup_errors=True)
    except OSError as error:
        raise ProposalError(f"there is no place to lay both sides out in: {error}; set TMPDIR to one") from error
    with folder as name:
        yield Path(name).resolve()


def _laid(here: Path, base: str, folders: Folders, scratch: Path) -> Compared:
    git = repository(here, environment())
    return lay_out(git, base, list(dict.fromkeys([folders.policies or POLICIES, *folders.every])), scratch)


def _policies(compared: Compared, wanted: str) -> str:
    """Return the folder of the rules that is compared, empty where both sides have the bundled ones."""
    folder = wanted or POLICIES
    sides = (compared.base, compared.head)
    if any((side.root / folder / "portcullis").is_dir() for side in sides):
        return folder
    if wanted:
        raise ProposalError(f"--policies {wanted} holds no portcullis/ with Rego, neither in the base nor here")
    return ""


@dataclass(frozen=True, slots=True)
class _Starting:
    """Starts an OPA for the rules of a side."""

    binary: Path
    stack: AsyncExitStack
    folder: str

    async def rules(self, side: Side, *, known: Rules | None = None) -> Rules:
        """Return the rules of a side, `known` where they are the same; raises `PolicyError`."""
        own = side.root / self.folder if self.folder and side.has(self.folder) else bundled_policies()
        bundle = await asyncio.to_thread(read_policies, own)
        if known and known.bundle.policies == bundle.policies:
            return known
        opa, process = await self.stack.enter_async_context(own_opa(self.binary, ours(bundle), _keep_quiet))
        await process.ready(READY_SECONDS)
        return Rules(opa, bundle, _catalogue(bundle))


def _catalogue(bundle: Bundle) -> tuple[RulePage, ...]:
    try:
        return read_catalogue(bundle)
    except PolicyError:
        # What is wrong with it the gate tells; those that are shipped are the nearest.
        return read_catalogue(read_policies(bundled_policies()))


def _say(line: str) -> None:
    sys.stderr.write(f"portcullis: {line}\n")


def _keep_quiet(line: str) -> None:
    """Leave out what OPA says as it runs: if it does not start, the error has its last words."""
