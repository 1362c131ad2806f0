"""Tell somebody: a paragraph to a webhook, a command, or both; a run is never lost by it."""

import http.client
import json
import logging
import shlex
import subprocess
import urllib.request
from collections.abc import Callable
from typing import TypeAlias

from digitline.keeping.unattended import Notify

_Teller: TypeAlias = Callable[[Notify, str, str], None]

_log = logging.getLogger("digitline")


def tell_somebody(notify: Notify, subject: str, text: str) -> bool:
    """Tell whoever is to be told; say whether that went well, as it does where nobody is."""
    tellers: list[_Teller] = []
    if notify.webhook is not None:
        tellers.append(_post)
    if notify.command:
        tellers.append(_run)
    told = [_try(teller, notify, subject, text) for teller in tellers]
    return all(told)


def _try(teller: _Teller, notify: Notify, subject: str, text: str) -> bool:
    try:
        teller(notify, f"Digitline: {subject}", text)
    except (OSError, ValueError, http.client.HTTPException, subprocess.SubprocessError) as error:
        # Not the error's own words: they may hold the address, which is a secret.
        _log.warning("  notify     nobody could be told (%s)", type(error).__name__)
        return False
    return True


def _post(notify: Notify, subject: str, text: str) -> None:
    assert notify.webhook is not None
    content = {"text": f"{subject}\n{text}", "subject": subject}
    url = notify.webhook.get_secret_value()
    request = urllib.request.Request(  # noqa: S310 - the address that the settings name
        url, json.dumps(content).encode(), {"Content-Type": "application/json"}
    )
    # Not by httpx, which tells a log the address, and that is a secret.
    with urllib.request.urlopen(request, timeout=notify.timeout):  # noqa: S310 - the same
        pass


def _run(notify: Notify, subject: str, text: str) -> None:
    subprocess.run(  # noqa: S603 - the command that the settings name
        shlex.split(notify.command.get_secret_value()),
        input=f"{subject}\n\n{text}\n".encode(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=notify.timeout,
        check=True,
    )
