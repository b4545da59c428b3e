"""Configs from plain data: what is taken, what is refused and how it is said."""

import dataclasses
import json
from typing import Any

import pytest

from mnist_ops.arch.zoo import MODELS, named_network
from mnist_ops.config import RECIPES, Augment, Config, Optimizer, Schedule, Tune, recipe
from mnist_ops.errors import ConfigError, UsageError
from mnist_ops.mapping import from_mapping, to_mapping

PARTS: dict[str, Any] = {"augment": Augment(), "optimizer": Optimizer(), "schedule": Schedule(), "tune": Tune()}
BOUNDED = [(part, field) for part, record in [("", Config()), *PARTS.items()]
           for field in dataclasses.fields(record) if field.metadata]


def placed(part: str, name: str, value: object) -> dict[str, Any]:
    return {part: {name: value}} if part else {name: value}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_survives_the_way_through_json(name):
    text = json.dumps(to_mapping(RECIPES[name]))
    assert from_mapping(Config(), json.loads(text), "config.json") == RECIPES[name]


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_bears_its_name_and_finds_its_rate_unless_muon_sets_it(name):
    assert recipe(name).recipe == name
    assert (recipe(name).lr == "auto") == (recipe(name).optimizer.name != "muon")


def test_the_seed_recipe_augments_as_the_reference_does():
    augment = recipe("seed").augment
    assert augment.degrees == 15
    assert augment.fill == "mean"
    assert augment.perspective > 0
    assert augment.brightness == augment.contrast == 0  # jitter is off by default


def test_the_references_recipe_and_network_go_by_its_name_too():
    assert recipe("reference") is RECIPES["seed"]
    assert named_network("reference") is MODELS["seed"]


def test_an_unknown_recipe_is_answered_with_the_nearest():
    with pytest.raises(UsageError, match=r"unknown recipe 'tinny'; did you mean tiny\?"):
        recipe("tinny")
    with pytest.raises(UsageError, match="expected one of default, seed"):
        recipe("xyzzy")


def test_only_the_fields_that_are_named_change():
    base = recipe("seed")
    changed = from_mapping(base, {"epochs": 3, "augment": {"degrees": 5}}, "mine.toml")
    assert changed == dataclasses.replace(base, epochs=3, augment=dataclasses.replace(base.augment, degrees=5.0))


def test_a_whole_number_will_do_where_a_number_is_wanted():
    lr = from_mapping(Config(), {"lr": 1}, "mine.toml").lr
    assert lr == 1.0
    assert isinstance(lr, float)


@pytest.mark.parametrize("lr", ["auto", 0.25])
def test_a_rate_is_a_number_or_auto(lr):
    assert from_mapping(Config(), {"lr": lr}, "command line").lr == lr


@pytest.mark.parametrize(("data", "message"), [
    ({"epoch": 3}, r"^mine.toml: epoch: unknown field; did you mean epochs\?"),
    ({"xyzzy": 3}, r"^mine.toml: xyzzy: unknown field; expected one of recipe, model, .*code$"),
    ({"augment": {"degree": 3}}, r"^mine.toml: augment: degree: unknown field; did you mean degrees\?"),
    ({"augment": 15}, "^mine.toml: augment: found 15, expected a table of fields"),
    ({"epochs": 2.5}, "^mine.toml: epochs: found 2.5, expected an integer from 1 to 100000"),
    ({"epochs": "12"}, "^mine.toml: epochs: found '12', expected an integer"),
    ({"epochs": True}, "^mine.toml: epochs: found True, expected an integer"),
    ({"deterministic": 1}, "^mine.toml: deterministic: found 1, expected true or false"),
    ({"lr": "fast"}, r"^mine.toml: lr: found 'fast', expected 'auto' or a number from 0 to 1e\+30"),
    ({"lr": float("nan")}, "^mine.toml: lr: found nan, expected 'auto' or a number"),
    ({"lr": 10**400}, r"^mine.toml: lr: found 10{76}\.\.\., expected 'auto' or a number"),
    ({"target": 101}, "^mine.toml: target: found 101, expected 'auto' or a number from 0 to 100"),
    ({"device": "tpu"}, "^mine.toml: device: found 'tpu', expected 'auto', 'cpu', 'cuda', 'mps'"),
    ({"device": None}, "^mine.toml: device: found None, expected 'auto', 'cpu'"),
    ({"model": 7}, "^mine.toml: model: found 7, expected a string"),
    ({"optimizer": {"name": "adam"}}, "^mine.toml: optimizer: name: found 'adam', expected 'sgd', 'adamw', 'muon'"),
    ({"augment": {"fill": "white"}}, "augment: fill: found 'white', expected 'auto', 'black', 'mean', 'edge'"),
    ({"tune": {"lowest": 2, "highest": 1}}, "^mine.toml: tune: lowest 2.0 is not below highest 1.0"),
])
def test_what_does_not_fit_is_refused_by_file_and_field(data, message):
    with pytest.raises(ConfigError, match=message):
        from_mapping(Config(), data, "mine.toml")


def test_plateau_needs_a_validation_part():
    with pytest.raises(ConfigError, match=r"plateau needs a validation set.*--validation"):
        from_mapping(Config(), {"schedule": {"name": "plateau"}}, "mine.toml")
    assert from_mapping(Config(), {"schedule": {"name": "plateau"}, "validation": 10}, "mine.toml").validation == 10


@pytest.mark.parametrize(("part", "field"), BOUNDED, ids=lambda one: getattr(one, "name", one))
def test_every_number_is_held_to_its_bounds(part, field):
    low, high = field.metadata["low"], field.metadata["high"]
    base = Config(validation=1)
    for value in (low - 1, high * 2 + 1):
        with pytest.raises(ConfigError, match=f"{field.name}: found .* from {low:g} to"):
            from_mapping(base, placed(part, field.name, value), "mine.toml")
    inside = {"lowest": low, "highest": high}.get(field.name, high)
    taken = to_mapping(from_mapping(base, placed(part, field.name, inside), "mine.toml"))
    assert (taken[part] if part else taken)[field.name] == inside


@pytest.mark.parametrize(("part", "field"), BOUNDED, ids=lambda one: getattr(one, "name", one))
def test_every_default_lies_within_its_own_bounds(part, field):
    assert field.default == "auto" or field.metadata["low"] <= field.default <= field.metadata["high"]
