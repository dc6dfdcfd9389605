# SPDX-License-Identifier: Apache-2.0
"""Results files of `qmm bench --format json`: read and checked, for plot.py and peers.py."""
import json


class Bad(Exception):
    """A file that is not of the schema: one line."""


def is_untimed(record):
    """A device's clock may be too coarse for a run, which then takes 0 seconds: there is nothing to divide by."""
    times = [record.get(name) for name in ("median", "quartile_1", "quartile_3")] if isinstance(record, dict) else []
    return any(type(seconds) in (int, float) and seconds == 0 for seconds in times)


def need(record, name, kind, where):
    """record[name], which has to be a str, bool, int (from 0) or float (above 0)."""
    if name not in record:
        raise Bad(f"{where} has no {name!r}")
    value = record[name]
    if kind in (str, bool):
        if isinstance(value, kind):
            return value
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        if kind is int and isinstance(value, int) and 0 <= value < 1 << 63:
            return value
        if kind is float and 1e-15 < value < 1e30:
            return float(value)
    wanted = {str: "a text", bool: "true or false", int: "a whole number from 0",
              float: "a number above 0 (from 1e-15 to 1e30)"}[kind]
    raise Bad(f"{where}: {name!r} is {json.dumps(value)[:40]}, not {wanted}")


def number_or_none(record, name, where):
    return None if record.get(name) is None else need(record, name, float, where)


def shown(text):
    """Text as it may stand in an SVG: no control characters, not endless."""
    return "".join(c if c.isprintable() else "?" for c in text)[:200]


def read_row(record, where):
    if not isinstance(record, dict):
        raise Bad(f"{where} is not an object")
    row = {name: shown(need(record, name, str, where)) for name in ("operation", "who", "kernel", "shape", "what")}
    row.update({name: need(record, name, int, where) for name in ("m", "n", "k", "batch")})
    row["chosen"] = need(record, "chosen", bool, where)
    row.update({name: need(record, name, float, where) for name in ("median", "quartile_1", "quartile_3")})
    for name in ("operations", "bytes"):
        value = record.get(name)
        row[name] = 0.0 if value == 0 and not isinstance(value, bool) else need(record, name, float, where)
    return row


def read_results(document):
    """What readers need of a results file, each part checked; None: a file of the older benchmark programs."""
    if not isinstance(document, dict):
        raise Bad("not a results file of `qmm bench`: it is not an object")
    if "tool" not in document and "results" in document:
        return None
    if document.get("tool") != "qmm bench" or document.get("schema") != 1:
        raise Bad("not a results file of `qmm bench`, schema 1")
    device, method, rows = (document.get(name) for name in ("device", "method", "rows"))
    if not isinstance(device, dict) or not isinstance(method, dict) or not isinstance(rows, list):
        raise Bad("'device' and 'method' have to be objects, 'rows' a list")
    result = {name: shown(need(document, name, str, "the file")) for name in ("version", "build", "date")}
    names = ("name", "description", "driver", "kind")
    result.update({name: shown(need(device, name, str, "device")) for name in names})
    result.update({name: shown(need(method, name, str, "method")) for name in ("clock", "cache", "fill")})
    result["simulated"] = need(device, "simulated", bool, "device")
    result["copy"] = number_or_none(device, "copy_bandwidth", "device")
    result["peak"] = number_or_none(device, "int8_peak", "device")
    result["cache_bytes"] = number_or_none(device, "cache_bytes", "device")
    result["rows"] = [read_row(record, f"rows[{i}]") for i, record in enumerate(rows) if not is_untimed(record)]
    return result


def no_constant(word):
    raise Bad(f"{word} is not JSON")


def load(path):
    """The JSON of a file, whatever it holds."""
    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=no_constant)
    except OSError as error:
        raise Bad(error.strerror) from error
    except RecursionError as error:
        raise Bad("not JSON: nested too deeply") from error
    except ValueError as error:  # JSON's and UTF-8's
        raise Bad(f"not JSON: {error}") from error
