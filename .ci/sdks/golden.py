"""Every golden request, as the official SDKs send it and as we do: equal, or different where `differences.toml` says why."""
import fnmatch
import json
import pathlib
import re
import sys
import tomllib

from calls import ASK, Unsaid
from capture import Capture

HERE = pathlib.Path(__file__).parent
GOLDEN = HERE.parent.parent / "tests/golden"


def models():
    """The models that the test asks where a file names none."""
    text = (GOLDEN.parent / "provider/golden.rs").read_text()
    rows = text.split("ASKED: ", 1)[1].split("];")[0]
    return dict(json.loads(f"[{line.strip().strip(',').strip('()')}]") for line in rows.split("= &[")[1].splitlines() if "(" in line)


def differences(ours, theirs, at=""):
    """Where two values differ: pointer, our value, theirs."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name in sorted(ours.keys() | theirs.keys()):
            yield from differences(ours.get(name, ...), theirs.get(name, ...), f"{at}/{name}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for number, pair in enumerate(zip(ours, theirs)):
            yield from differences(*pair, f"{at}/{number}")
    elif ours != theirs or isinstance(ours, bool) != isinstance(theirs, bool):
        yield at, ours, theirs


def camel(value):
    """Google's JSON takes both spellings, and its SDK writes both; what is the caller's keeps its own."""
    own = ("args", "response", "parametersJsonSchema", "responseJsonSchema")
    spelled = lambda name: re.sub("_([a-z])", lambda it: it[1].upper(), name)
    if isinstance(value, dict):
        return {spelled(name): inner if spelled(name) in own else camel(inner) for name, inner in value.items()}
    return [camel(it) for it in value] if isinstance(value, list) else value


def shown(value):
    return "absent" if value is ... else json.dumps(value, ensure_ascii=False)[:160]


def allows(row, provider, case, at, theirs):
    return (provider in row["providers"] and any(fnmatch.fnmatch(case, it) for it in row["cases"]) and fnmatch.fnmatch(at, row["at"])
            and row.get("theirs", shown(theirs)) == shown(theirs))


def main():
    capture, asked = Capture(), models()
    allowed = tomllib.loads((HERE / "differences.toml").read_text())["allowed"]
    used, wrong = set(), []
    print(f"{'provider':<10} {'cases':>5} {'equal':>5} {'listed':>6} {'unsaid':>6} {'refused by us':>13}")
    for provider, ask in ASK.items():
        counts = dict.fromkeys(("equal", "listed", "unsaid", "refused"), 0)
        for path in sorted(GOLDEN.glob("*.json")):
            golden, case = json.loads(path.read_text()), path.stem
            sent = golden["sent"][provider]
            if "error" in sent:
                counts["refused"] += 1
                continue
            model = golden.get("models", {}).get(provider, asked[provider])
            try:
                theirs = capture.of(ask(capture.url, golden["request"], model))
                found = list(differences(sent["body"], camel(theirs.body) if provider == "gemini" else theirs.body))
                if theirs.path.removeprefix("/openai") != sent["path"].replace("%3A", ":").removeprefix("/openai"):
                    found.append(("path", sent["path"], theirs.path))
            except Unsaid as why:
                found = [("unsaid", ..., str(why))]
            except Exception as why:
                found = [("refused", ..., f"{type(why).__name__}: {why}"[:160])]
            listed = 0
            for at, ours, other in found:
                matching = [number for number, row in enumerate(allowed) if allows(row, provider, case, at, other)]
                used.update(matching)
                listed += bool(matching) and not any(allowed[number].get("means_nothing") for number in matching)
                if not matching:
                    wrong.append(f"{provider} {case} {at}: ours {shown(ours)}, the SDK's {shown(other)}")
            counts["equal" if not listed else "unsaid" if found[0][0] in ("unsaid", "refused") else "listed"] += 1
        cases = len(list(GOLDEN.glob("*.json")))
        print(f"{provider:<10} {cases:>5} {counts['equal']:>5} {counts['listed']:>6} {counts['unsaid']:>6} {counts['refused']:>13}")
    wrong += [f"`differences.toml` lists what does not differ: {row}" for number, row in enumerate(allowed) if number not in used]
    if wrong:
        print(f"{len(wrong)} differences:", *wrong, sep="\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
