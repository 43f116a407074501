"""Plain questions to Azure's services, by identity: for who wants to know what a service says, whatever it says."""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from azure.core import PipelineClient
from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.core.pipeline.policies import BearerTokenCredentialPolicy
from azure.core.rest import HttpRequest, HttpResponse

from functions.errors import Refused, Transient

SUCCEEDED = range(200, 300)
MOST_PAGES = 100
PATIENCE_S = 10


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service said.

    Args:
        status: HTTP status; 0 if nobody answered.
        headers: Names in lower case.
        body: As it came.
        silence: Why nobody answered; "" if somebody did.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    silence: str = ""

    @property
    def ok(self) -> bool:
        """Whether it was a yes."""
        return self.status in SUCCEEDED

    @property
    def json(self) -> dict[str, Any]:
        """The body as an object; empty if it is none."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def said(self) -> str:
        """The reason in the service's words, on one line."""
        error = self.json.get("error")
        message = error.get("message") if isinstance(error, dict) else self.json.get("Message")
        text = str(message or self.body[:300].decode(errors="replace"))
        return f"{self.status}: {' '.join(text.split())[:300]}" if self.status else self.silence


class Asker:
    """Asks with one identity, once: no retry, and no patience beyond seconds.

    Args:
        credential: Whose name to ask in.
    """

    def __init__(self, credential: TokenCredential) -> None:
        self._credential = credential

    def ask(
        self,
        method: str,
        url: str,
        *,
        audience: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """One request.

        Args:
            method: HTTP verb.
            url: Where.
            audience: Whom the token is for, such as https://storage.azure.com.
            headers: Besides the token.
            body: To be sent.
        """
        policies = [BearerTokenCredentialPolicy(self._credential, f"{audience}/.default")]
        question = HttpRequest(method, url, headers=dict(headers or {}), content=body)
        try:
            with PipelineClient[HttpRequest, HttpResponse](url, policies=policies) as client:
                answer = client.send_request(question, connection_timeout=PATIENCE_S / 2, read_timeout=PATIENCE_S)
                named = {name.lower(): text for name, text in answer.headers.items()}
                return Answer(answer.status_code, named, answer.read())
        except ClientAuthenticationError as problem:
            return Answer(0, silence=f"no token for {audience}: {str(problem.message).splitlines()[0]}")
        except AzureError as problem:
            return Answer(0, silence=str(problem.message))

    def claims(self, audience: str) -> Mapping[str, Any]:
        """What our token for an audience says about us.

        Raises:
            Refused: There is no token to be had.
        """
        try:
            token = self._credential.get_token(f"{audience}/.default").token
            middle = token.split(".")[1]
            found: Mapping[str, Any] = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
        except ClientAuthenticationError as problem:
            why = str(problem.message).splitlines()[0]
            fix = "in Azure give the app its identity (AZURE_CLIENT_ID); elsewhere az login, or refluent up"
            raise Refused(f"no token for {audience}", why=why, fix=fix) from problem
        except (IndexError, ValueError) as problem:
            why, fix = "it is no JSON web token", "ask whoever runs the identity endpoint"
            raise Refused(f"the token for {audience} cannot be read", why=why, fix=fix) from problem
        return found


class Manager:
    """Azure Resource Manager: what was deployed.

    Args:
        asker: In whose name to ask.
        endpoint: Its address.
    """

    def __init__(self, asker: Asker, endpoint: str) -> None:
        self._asker, self._endpoint = asker, endpoint.rstrip("/")

    def get(self, path: str, version: str) -> Answer:
        """One resource, or what the manager says instead."""
        return self._get(f"{self._endpoint}{path}{'&' if '?' in path else '?'}api-version={version}")

    def list(self, path: str, version: str) -> Iterator[dict[str, Any]]:
        """Every resource of a list.

        Raises:
            Refused: We may not look.
            Transient: The manager does not answer as it should.
        """
        answer = self.get(path, version)
        for _ in range(MOST_PAGES):
            if not answer.ok:
                kind = Transient if answer.status in (0, 429) or answer.status >= 500 else Refused  # noqa: PLR2004  # a server's fault
                fix = "az role assignment create --role Reader --assignee-object-id <ours> --scope " + _group(path)
                raise kind(f"{path} cannot be listed", why=answer.said, fix=fix)
            yield from answer.json.get("value", ())
            following = answer.json.get("nextLink")
            if not following or not str(following).startswith(f"{self._endpoint}/"):
                return
            answer = self._get(str(following))

    def _get(self, url: str) -> Answer:
        return self._asker.ask("GET", url, audience="https://management.azure.com")


def _group(path: str) -> str:
    return path.partition("/providers/")[0]
