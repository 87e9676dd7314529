#!/usr/bin/env python3
"""Asks a coordinator about a target with Python's standard library alone, and tells what happens as it happens.

Prints the headline and ends with the exit code of the scope, as `onlyhere check` does.
Usage: ONLYHERE_COORDINATOR=URL ONLYHERE_TOKEN=TOKEN check.py TARGET
"""

import json
import os
import sys
import urllib.error
import urllib.request

CODES = {
    "ok": 0, "local": 10, "source": 11, "source_address": 12, "source_network": 13,
    "regional": 14, "target_address": 15, "global": 16, "inconclusive": 17,
}


def call(path, question=None):
    """An open answer of the coordinator; a question is sent with POST."""
    request = urllib.request.Request(os.environ["ONLYHERE_COORDINATOR"] + path)
    request.add_header("authorization", "Bearer " + os.environ["ONLYHERE_TOKEN"])
    if question is not None:
        request.add_header("content-type", "application/json")
        request.data = json.dumps(question).encode()
    return urllib.request.urlopen(request, timeout=70)


def events(answer):
    """Name and data of each server-sent event."""
    name, data = "", []
    for line in answer:
        key, _, value = line.decode().rstrip("\n").partition(": ")
        if key == "event":
            name = value
        elif key == "data":
            data.append(value)
        elif not key and data:
            yield name, json.loads("\n".join(data))
            name, data = "", []


def main(target):
    with call("/v1/checks", {"target": target}) as answer:
        check = json.load(answer)
    # A check may be over as soon as it has begun; then this is its report already.
    report = check if check["schema"].startswith("onlyhere.report/") else None
    if report is None:
        with call(check["links"]["events"]) as answer:
            for name, data in events(answer):
                if name == "observation":
                    print(f"{data['vantage']}: {data['stage']} {data['outcome']}", file=sys.stderr)
                elif name == "failed":
                    sys.exit(f"no report: {data['detail']}")
                elif name == "report":
                    report = data
    print(report["verdict"]["headline"])
    return CODES[report["verdict"]["scope"]]


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1]))
    except urllib.error.HTTPError as refused:
        print(json.load(refused)["detail"], file=sys.stderr)
        sys.exit(3)
