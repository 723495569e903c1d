"""Checks the files of a folder against the schema in it (schema.json), and that the schema says of
every key what it is, where it comes from and, for numbers, in what unit. Prints each fault on a
line; exit 1 if there is any, 77 without the jsonschema package."""
import json
import pathlib
import sys

try:
    import jsonschema
except ImportError:
    print("python3-jsonschema is not installed")
    sys.exit(77)


def resolved(schema, part):
    merged = dict(part)
    while "$ref" in merged:
        name = merged.pop("$ref").rsplit("/", 1)[1]
        merged = {**schema["$defs"][name], **merged}
    return merged


def is_number(part):
    types = part.get("type", [])
    return bool({"integer", "number"} & set([types] if isinstance(types, str) else types))


def undocumented(schema):
    for name, definition in schema["$defs"].items():
        if definition.get("type") == "object" and definition.get("additionalProperties") is not False:
            yield f"{name}: allows keys that it does not describe"
        for key, part in properties_of(definition):
            for wanted in ["description", "source"]:
                if not isinstance(part.get(wanted), str):
                    yield f"{name}.{key}: has no {wanted}"
            if is_number(resolved(schema, part)) and "unit" not in resolved(schema, part):
                yield f"{name}.{key}: has no unit"


def properties_of(part):
    for key, value in part.get("properties", {}).items():
        yield key, value
        yield from properties_of(value)
    if isinstance(part.get("items"), dict):
        yield from properties_of(part["items"])


# Of the alternatives, the faults of the one that the output comes nearest to.
def explained(error):
    if not error.context:
        return f"{'/'.join(map(str, error.absolute_path))}: {error.message[:200]}"
    best = jsonschema.exceptions.best_match(error.context, key=lambda e: -len(e.absolute_path))
    return explained(best)


def main(folder):
    schema = json.loads((folder / "schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    faults = list(undocumented(schema))
    outputs = sorted(set(folder.glob("*.json")) - {folder / "schema.json"})
    for path in outputs:
        for error in validator.iter_errors(json.loads(path.read_text())):
            faults.append(f"{path.name}: {explained(error)}")
    for fault in faults:
        print(fault)
    print(f"{len(outputs)} outputs checked")
    return 1 if faults or not outputs else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
