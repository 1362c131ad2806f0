"""Tell somebody: a paragraph to a webhook, a command, or both; a run is never lost by it."""

import logging
import shlex
import subprocess
from collections.abc import Callable
from typing import TypeAlias

import httpx

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
    except (OSError, ValueError, httpx.HTTPError, subprocess.SubprocessError) as error:
        # Not the error's own words: they may hold the address, which is a secret.
        _log.warning("  notify     nobody could be told (%s)", type(error).__name__)
        return False
    return True


def _post(notify: Notify, subject: str, text: str) -> None:
    assert notify.webhook is not None
    content = {"text": f"{subject}\n{text}", "subject": subject}
    url = notify.webhook.get_secret_value()
    httpx.post(url, json=content, timeout=notify.timeout).raise_for_status()


def _run(notify: Notify, subject: str, text: str) -> None:
    subprocess.run(  # noqa: S603 - the command that the settings name
        shlex.split(notify.command),
        input=f"{subject}\n\n{text}\n".encode(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=notify.timeout,
        check=True,
    )
