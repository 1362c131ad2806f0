"""`digitline automations`: what Prefect's server does by itself when something happens."""

from cyclopts import App

from flows.commands.shell import check_settings

automations = App(name="automations", help="Set up what Prefect's server does by itself.")


@automations.command
def apply() -> None:
    """Let drift start a retraining, and runs that fall silent be taken for crashed.

    `digitline serve` does this whenever it starts. Given again, nothing is made twice.
    """
    settings = check_settings()
    from digitline.errors import OrchestrationError
    from flows.orchestration import connect, is_server_named, prepare

    prepare(settings.places)
    if not is_server_named():
        raise OrchestrationError(
            "no server of Prefect's is running", todo="Start one with `digitline server start`"
        )
    connect()
    from flows.automations import apply_automations

    for applied in apply_automations():
        print(f"{applied.outcome:<10}{applied.name}")
