"""Validates JSON files by JSON schemas: SCHEMA INSTANCE [SCHEMA INSTANCE ...].

Prints a line for each instance that its schema accepts, and stops with an error at the first one that it refuses.
"""

import json
import sys

import fastjsonschema

paths = sys.argv[1:]
for schema, instance in zip(paths[::2], paths[1::2], strict=True):
    with open(schema, encoding="utf-8") as file:
        validate = fastjsonschema.compile(json.load(file))
    with open(instance, encoding="utf-8") as file:
        validate(json.load(file))
    print(instance)
