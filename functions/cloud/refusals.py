"""What an Azure service answered, in the loop's own words: the one translation of azure-core's exceptions."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from azure.core.exceptions import AzureError, HttpResponseError

from functions.errors import Refused, Transient

DENIED = (401, 403)


@dataclass(frozen=True, slots=True)
class Service:
    """A service, and what to do about its answers.

    Args:
        name: As people know it.
        role: What the app's identity needs, and where.
        patience: What to do about an answer that may be another one later.
        failing: How such an answer is put.
        final: Statuses besides 401 and 403 that no second try would change.
        refusing: How such a status is put.
        remedy: What to do about it.
    """

    name: str
    role: str
    patience: str
    failing: str = "did not answer as expected"
    final: tuple[int, ...] = ()
    refusing: str = "refused it"
    remedy: str = ""

    @contextmanager
    def asked(self, what: str) -> Iterator[None]:
        """Translate what the block's request fails with.

        Args:
            what: What was asked for, in the words of the domain.

        Raises:
            Refused: A person has to change something.
            Transient: The same request may succeed later.
        """
        try:
            yield
        except AzureError as problem:
            raise self._translated(problem, what) from problem

    def _translated(self, problem: AzureError, what: str) -> Refused | Transient:
        status, why = problem.status_code if isinstance(problem, HttpResponseError) else None, str(problem.message)
        if status in DENIED:
            fix = f"give the app's identity {self.role}"
            return Refused(f"{what}: {self.name} rejected our identity", why=why, fix=fix)
        if status in self.final:
            return Refused(f"{what}: {self.name} {self.refusing}", why=why, fix=self.remedy)
        return Transient(f"{what}: {self.name} {self.failing}", why=why, fix=self.patience)
