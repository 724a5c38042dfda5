"""`benchmnist describe MODEL`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from benchmnist.cli.options import block_option, data_root_option, debug_option, offered, option
from benchmnist.garbage import quick_imports
from benchmnist.suites.values import SHOWN
from benchmnist.text import one_line

if TYPE_CHECKING:
    from pathlib import Path


def _parameters(ctx: click.Context, param: click.Parameter, value: Any) -> dict[str, Any]:
    """`hidden_size=1000`: the values are TOML, as in a suite."""
    from benchmnist.suites.toml_statements import load_toml

    found: dict[str, Any] = {}
    for each in value:
        try:
            found |= load_toml(each)
        except ValueError as error:
            raise click.BadParameter(
                f"{one_line(repr(each), SHOWN)} is not NAME=VALUE with a TOML value, such as hidden_size=1000 or "
                'name="x"',
                ctx,
                param,
            ) from error
    return found


@click.command("describe")
@click.argument("model", shell_complete=offered("models"))
@click.argument("parameters", nargs=-1, callback=_parameters, metavar="[NAME=VALUE...]")
@option("--dataset", default="mnist", show_default=True, help="Dataset whose image shape the model is built for.")
@option(
    "--format",
    type=click.Choice(["rich", "markdown"]),
    default="rich",
    show_default=True,
    help="Format of the output.",
)
@data_root_option
@block_option
@debug_option
def command(
    *,
    model: str,
    parameters: dict[str, Any],
    dataset: str,
    format: str,  # noqa: A002 - as the option is called
    data_root: Path | None,
    block: tuple[str, ...],
) -> None:
    """List the layers of MODEL: shapes, parameters, multiply-adds.

    Shapes and multiply-adds are those of one image.

    Pass parameters of the model as in a suite: benchmnist describe fc hidden_size=1000
    """
    with quick_imports(ours=True):
        from benchmnist.cli.console import results_console
        from benchmnist.preflight.describe import describe_offer
        from benchmnist.reports.extra_tables import RichTable, markdown_extra_table, model_table

    table = model_table(describe_offer(model, parameters, dataset, data_root, block))
    if format == "markdown":
        click.echo(markdown_extra_table(table))
    else:
        results_console().print(RichTable(table))
