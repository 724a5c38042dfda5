"""The JSON schema of suites: editors must not refuse what `benchmnist run` takes, and find what it refuses."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import jsonschema
import pytest

from benchmnist.suites.files import package_suites
from benchmnist.suites.json_schema import packaged_schema, with_names

DOCS = Path(__file__).parent.parent.parent / "docs"
DOCUMENTED = [
    block
    for page in sorted(DOCS.glob("*.md"))
    for block in re.findall(r"^```toml\n(.*?)^```", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    if "[suite]" in block
]
SUITE = '[suite]\nname = "x"\n{}\n[[cases]]\nmodels = ["fc"]\noptimizers = ["sgd"]\n{}\n'


def mistakes(text: str) -> list[str]:
    """Returns the mistakes that the schema finds in a suite."""
    validator = jsonschema.Draft7Validator(packaged_schema())
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(tomllib.loads(text))]


def test_it_is_a_schema_and_each_key_has_its_meaning() -> None:
    schema = packaged_schema()
    jsonschema.Draft7Validator.check_schema(schema)
    for model in ("Header", "Settings", "Block", "Compare"):
        for key, value in schema["definitions"][model]["properties"].items():
            assert value.get("description"), f"{model}.{key} is missing in the tables of docs/suites.md"


@pytest.mark.parametrize("text", [path.read_text("utf-8") for path in package_suites().values()] + DOCUMENTED)
def test_it_takes_every_suite_of_the_package_and_of_the_documentation(text: str) -> None:
    assert mistakes(text) == []


@pytest.mark.parametrize(
    ("head", "tail", "where"),
    [
        ("[defaults]\nepoch = 3", "", "$.defaults"),
        ("[defaults]\nepochs = 0", "", "$.defaults.epochs"),
        ("[defaults]\nseeds = []", "", "$.defaults.seeds"),
        ('[defaults]\nprecision = "fp16"', "", "$.defaults.precision"),
        ("", 'epochs = "3"', "$.cases[0].epochs"),
        ("", 'datasets = "mnist"', "$.cases[0].datasets"),
        ('order = "random"', "", "$.suite.order"),
        ("[tune]\ntrial = 3", "", "$.tune"),
        ("[optimizers.sgd]\nspace.lr = { low = 1 }", "", "$.optimizers.sgd.space.lr"),
        ('[optimizers.sgd]\ngroups = [{ kind = "biases" }]', "", "$.optimizers.sgd.groups[0].kind"),
        ('[[compare]]\noptimizers = ["adam"]', "", "$.compare[0]"),
        ("[optimizer.sgd]\nlr = 1", "", "$"),
    ],
)
def test_it_finds_mistakes(head: str, tail: str, where: str) -> None:
    assert mistakes(SUITE.format("", "")) == []
    assert [said.partition(": ")[0] for said in mistakes(SUITE.format(head, tail))] == [where]


def test_it_proposes_the_names_of_what_is_installed_and_takes_others() -> None:
    schema = with_names(packaged_schema(), {"optimizer": ["sgd", "lion"], "schedule": ["cosine"]})
    properties = schema["definitions"]["Block"]["properties"]
    assert {"enum": ["lion", "sgd"]} in properties["optimizers"]["items"]["anyOf"]
    assert {"enum": ["cosine"]} in properties["schedule"]["anyOf"]
    made = SUITE.format("[optimizers.mine]\nuse = 'sgd'", "").replace('["sgd"]', '["mine"]')
    assert not [*jsonschema.Draft7Validator(schema).iter_errors(tomllib.loads(made))]
