"""Values made for JSON schemas."""

import pytest

from portico.testing.examples import example

CASES = [
    ({"type": "string"}, str),
    ({"type": "STRING"}, str),
    ({"type": "integer", "minimum": 5, "maximum": 7}, int),
    ({"type": "integer", "exclusiveMinimum": 5, "exclusiveMaximum": 7}, int),
    ({"type": "number", "maximum": -3}, float),
    ({"type": ["null", "boolean"]}, bool),
    ({"type": "null"}, type(None)),
    ({"type": "array", "items": {"type": "integer"}, "minItems": 3}, list),
    ({"properties": {"a": {"type": "integer"}}}, dict),
    ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, int),
    ({"allOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]}, dict),
    (True, str),
]


@pytest.mark.parametrize(("schema", "kind"), CASES)
@pytest.mark.parametrize("seed", [0, 1, 96, 97, 2**32 - 1])
def test_a_value_has_the_type_asked_for_and_is_the_same_again(schema, kind, seed):
    made = example(schema, seed)
    assert type(made) is kind
    assert example(schema, seed) == made


@pytest.mark.parametrize("seed", range(200))
def test_numbers_stay_inside_their_bounds(seed):
    assert 5 <= example({"type": "integer", "minimum": 5, "maximum": 7}, seed) <= 7
    assert example({"type": "integer", "exclusiveMinimum": 5, "exclusiveMaximum": 7}, seed) == 6
    assert example({"type": "number", "maximum": -3}, seed) <= -3
    assert example({"type": "integer", "multipleOf": 7, "minimum": 1}, seed) % 7 == 0


def test_every_property_is_there_and_parts_are_merged():
    assert set(example({"allOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]}, 1)) == {"a", "b"}
    assert example({"enum": ["x"]}, 5) == "x"
    assert example({"const": 3}, 5) == 3
    assert len(example({"type": "string", "minLength": 40, "maxLength": 50}, 5)) in range(40, 51)
    assert len(example({"type": "string", "maxLength": 2}, 5)) == 2
    assert len(example({"type": "array", "items": {}, "minItems": 3}, 1)) == 3


def test_references_are_followed_and_a_schema_that_holds_itself_ends():
    tree = {
        "$ref": "#/$defs/node",
        "$defs": {
            "node": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "next": {"$ref": "#/$defs/node"}},
                "required": ["name"],
            }
        },
    }
    made = example(tree, 3)
    assert made["next"]["name"]
    assert 1 < repr(made).count("'next'") < 10
    assert example({"$ref": "#"}, 3) is not None
    many = {"type": "object", "properties": {}, "required": list("abcdefgh")}
    many["properties"] = {name: {"type": "array", "items": {"$ref": "#"}} for name in many["required"]}
    assert len(repr(example(many, 3))) < 1_000_000
