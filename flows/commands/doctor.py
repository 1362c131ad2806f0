"""`digitline doctor`: check everything under the home, and put right what can be put right."""

from typing import TYPE_CHECKING

from cyclopts import App

from digitline.names import printable
from flows.commands.shell import Switch, check_settings

if TYPE_CHECKING:
    from digitline.home import Home
    from digitline.keeping.fault import Checkup, Fault

doctor = App(name="doctor", help="Check everything under the home: digests, signatures, leftovers.")

AILING = 15


@doctor.default
def check_home(*, repair: Switch = False, json: Switch = False) -> int:
    """Check every file that Digitline has written under the home, and say what is wrong.

    Digests of all rows, reports and records, signatures and golden rows of all models, the
    champion, the keys, file modes, the index, and what was left behind by processes that were
    killed. Images and settings are yours, and are not looked at. Where something is wrong, the exit
    code is 15.

    Parameters
    ----------
    repair
        Put right what can be put right. Nothing that could be anybody's data is deleted: it goes to
        `.digitline/quarantine`.
    json
        Print it as JSON, for programs.
    """
    home = check_settings().places
    checkup = _examine(home)
    repaired: tuple[Fault, ...] = ()
    if repair and not checkup.healthy:
        from digitline.keeping.repair import repair as put_right

        repaired = put_right(checkup.faults, home)
        checkup = _examine(home)
    if json:
        _print_json(checkup, repaired)
    else:
        _print(checkup, repaired)
    return 0 if checkup.healthy else AILING


def _examine(home: "Home") -> "Checkup":
    from digitline.keeping.checkup import examine, list_exams
    from digitline.progress import showing

    exams = list_exams(home)
    with showing("check", sum(exam.files for exam in exams)) as advance:
        return examine(home, exams, advance)


def _print(checkup: "Checkup", repaired: "tuple[Fault, ...]") -> None:
    counts = ", ".join(f"{count:,} {kind}" for kind, count in checkup.checked.items())
    print(printable(f"Checked {checkup.home}: {counts}; {', '.join(checkup.besides)}."))
    for note in checkup.notes:
        print(f"note      {note}")
    for fault in repaired:
        print(f"repaired  {fault}")
    for fault in checkup.faults:
        print(f"{'wrong' if fault.remedy is None else 'mendable':<10}{fault}")
    if checkup.healthy:
        print("Nothing is wrong.")
        return
    mendable = sum(fault.remedy is not None for fault in checkup.faults)
    print(f"Wrong: {len(checkup.faults)}. `digitline doctor --repair` can put right: {mendable}.")


def _print_json(checkup: "Checkup", repaired: "tuple[Fault, ...]") -> None:
    import json

    told = {
        "healthy": checkup.healthy,
        **checkup.model_dump(mode="json"),
        "repaired": [fault.model_dump(mode="json") for fault in repaired],
    }
    print(json.dumps(told, indent=2))
