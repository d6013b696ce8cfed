"""The `zhenglian` command. `verify` works with the verifier alone; the rest needs the server."""

import sys

import typer
from pydantic import ValidationError

from api.commands import compromise, importing, packs
from api.commands import run as run_commands
from api.commands.audit import audit_command
from api.commands.backup import backup_app, ledger_app
from api.commands.changes import change_app
from api.commands.custody import custody_app, signer_command
from api.commands.document import document_app
from api.commands.mirror import mirror_commands
from api.commands.monitor import monitor_command
from api.commands.officers import key_app, officer_app
from api.commands.proposals import propose_app
from api.commands.witness import witness_commands
from api.errors import ServiceError
from keys.errors import ZhenglianError
from verifier import cli as verifier_cli

app = typer.Typer(
    name="zhenglian",
    help="证链：部门签发、账本留痕、人人可验。Licences signed by departments, checked by anyone.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    rich_markup_mode=None,
)
app.command("run")(run_commands.run)
app.command("serve")(run_commands.serve)
app.command("found")(run_commands.found_command)
app.add_typer(packs.app, name="pack")
app.command("export")(run_commands.export_command)
app.command("audit")(audit_command)
app.command("monitor")(monitor_command)
app.add_typer(mirror_commands)
app.command("import")(importing.import_command)
app.command("client")(run_commands.client_command)
app.command("signer")(signer_command)
app.add_typer(custody_app)
app.add_typer(document_app)
app.add_typer(backup_app)
app.add_typer(ledger_app)
app.add_typer(officer_app)
app.add_typer(witness_commands)
key_app.command("affected")(compromise.affected_command)
key_app.command("resign")(compromise.resign_command)
app.add_typer(key_app)
change_app.add_typer(propose_app)
app.add_typer(change_app)


@app.command(
    "verify",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
def verify(context: typer.Context) -> None:
    """核验二维码、图片或文书，不联网 Check a code, an image or a statement, offline."""
    raise typer.Exit(verifier_cli.main(context.args))


def main() -> None:
    """The console script: a refusal is one line on stderr, in both languages, and exit code 2."""
    try:
        app()
    except (ZhenglianError, ValidationError, OSError) as failure:
        error = _refusal(failure)
        detail = f" ({error.detail})" if error.detail else ""
        sys.stderr.write(f"{error.zh} {error.en}{detail} [{error.code}]\n")
        sys.exit(2)


def _refusal(failure: ZhenglianError | ValidationError | OSError) -> ZhenglianError:
    """Wrong settings and unusable files, as refusals. Values of settings are not repeated."""
    if isinstance(failure, ZhenglianError):
        return failure
    if isinstance(failure, OSError):
        return ServiceError("file-failed", f"{failure.filename or ''}: {failure.strerror}")
    faults = [
        f"{'.'.join(['ZHENGLIAN', *map(str, fault['loc'])]).replace('.', '_').upper()}: "
        f"{fault['msg']}"
        for fault in failure.errors(include_input=False, include_url=False)
    ]
    return ServiceError("settings-invalid", "; ".join(faults))


if __name__ == "__main__":
    main()
