#!/usr/bin/env python3
"""gotunnel-security(7) keeps its word.  usage: cases.py TOP BUILD [--write]

Every case has a test that names it (the docstring, in C the comment above a test or at the
top of its file, begins with "Case N" or "Cases N, M"); the page lists those tests and no others;
the numbers of its limits are those of the code. --write renews the page's list.
"""
import ast
import pathlib
import re
import subprocess
import sys

CASES = range(1, 43)
top, build = map(pathlib.Path, sys.argv[1:3])
page_path = top / "man" / "gotunnel-security.7.scd"
page = page_path.read_text()
bad = []


# --- tests and cases ------------------------------------------------------------------

def numbers(text):
    """The cases that a docstring or comment begins with."""
    found = re.match(r"Cases? (\d+(?:(?:,| and| to) ?\d+)*)", " ".join(text.split()))
    if not found:
        return []
    said = found[1].replace(" and", ",")
    out = []
    for part in said.split(","):
        first, _, last = part.partition(" to ")
        out += range(int(first), int(last or first) + 1)
    return out


def in_python(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node.name, ast.get_docstring(node) or ""


def in_c(path):
    """A comment belongs to the function right behind it, or to the file."""
    text = path.read_text()
    for comment in re.finditer(r"/\*(.*?)\*/\s*(?:static void (\w+)\()?", text, re.S):
        said = re.sub(r"^\s*\* ?", "", comment[1], flags=re.M).strip()
        yield comment[2] or path.stem, said


def all_tests():
    """(name of the file, of the test, what it says of itself)"""
    for path in sorted((top / "tests" / "e2e").glob("test_*.py")):
        for name, said in in_python(path):
            yield path.stem, name, said
    for folder in ("unit", "sim", "fuzz"):
        for path in sorted((top / "tests" / folder).glob("*.c")):
            for name, said in in_c(path):
                yield path.stem, name, said


shown = {number: {} for number in CASES}
for file, name, said in all_tests():
    for number in numbers(said):
        if number not in shown:
            bad.append(f"{file}: {name} names case {number}, which there is not")
        elif name not in shown[number].setdefault(file, []):
            shown[number][file].append(name)


def listed(number):
    """The lines of the page below a case."""
    lines = []
    for file, names in sorted(shown[number].items()):
        names = [n for n in sorted(names) if n != file]
        lines.append(f"\t{file}{': ' if names else ''}{', '.join(names)}" +
                     (";" if file != max(shown[number]) else ""))
    return "\n".join(lines)


head, _, rest = page.partition("# CASES\n")
body, _, tail = rest.partition("# SEE ALSO")
entry = re.compile(r"^(\*(\d+)\* [^\n]*\n)((?:\t[^\n]*\n)*)", re.M)
new = entry.sub(lambda m: m[1] + (listed(int(m[2])) + "\n" if int(m[2]) in shown and
                                  shown[int(m[2])] else ""), body)
if "--write" in sys.argv:
    page_path.write_text(f"{head}# CASES\n{new}# SEE ALSO{tail}")
elif new != body:
    have, want = body.splitlines(), new.splitlines()
    bad += [f"gotunnel-security(7) names, and no test does: {line.strip()}"
            for line in have if line not in want]
    bad += [f"gotunnel-security(7) does not name: {line.strip()}"
            for line in want if line not in have]
if [int(m[2]) for m in entry.finditer(body)] != list(CASES):
    bad.append("gotunnel-security(7) does not list the cases from 1 to 42")
bad += [f"no test says that it shows case {number}" for number in CASES if not shown[number]]


# --- numbers --------------------------------------------------------------------------

UNITS = {"": 1, "bytes": 1, "%": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30,
         "ms": 1000, "s": 10**6, "min": 60 * 10**6, "h": 3600 * 10**6}
SCALE = {"US": 1, "MS": 1000, "": 1}    # of what a constant counts, in microseconds


def sources():
    return [p for p in sorted((top / "src").rglob("*.[ch]"))]


def definition(name, files):
    """The text of a constant's value: of an enum or a #define."""
    for path in files:
        found = re.search(rf"(?:#define {name}\s+|\b{name} = )((?:[^,}}/\n(]|\([^)]*\))+)",
                          path.read_text())
        if found:
            return found[1].strip()
    return None


def value(name, files, depth=0):
    """A constant of the code, as a number; KeyError when there is none."""
    text = definition(name, files) or definition(name, sources())
    if text is None or depth > 8:
        raise KeyError(name)
    text = re.sub(r"\bU?INT\d+_C\b", "", text)
    text = re.sub(r"\b(\d+)[uUlL]+\b", r"\1", text)
    text = re.sub(r"\b[A-Z][A-Z0-9_]+\b", lambda m: str(value(m[0], files, depth + 1)), text)
    if not re.fullmatch(r"[\d\s()*+<-]+", text):
        raise KeyError(name)
    return eval(text)


def defaults():
    """--option: the defaults that the commands' help shows for it."""
    found = {}
    for command in ("server", "client"):
        text = subprocess.run([build / "gotunnel", command, "--help"], capture_output=True,
                              text=True).stdout
        for name, default in re.findall(r"^  (?:-\w, )?(--[a-z-]+) .*?(?:\[(.*)\])?$", text, re.M):
            found.setdefault(name, set()).add(default)
    return found


flags = defaults()
for name in set(re.findall(r"(?<![\w-])(--[a-z][a-z-]+)\b", head)) - {"--write"}:
    if name not in flags:
        bad.append(f"gotunnel-security(7) names {name}, which no command has")
rows = re.findall(r"^\|  (.*)\n:  (.*)\n:  (.*)$", head, re.M)
for what, limit, by in rows:
    source = re.fullmatch(r"fixed \((\w+) in ([\w.]+)\)", by)
    if not source:
        if not flags.get(by, {""}) & {limit, "", "0"}:
            bad.append(f"{what}: {by} has another default than {limit}")
        continue
    name, file = source.groups()
    files = [p for p in sources() if p.name == file]
    number = re.fullmatch(r"([\d,]+) ?(\S*)", limit)
    try:
        coded = value(name, files) if files else None
    except KeyError:
        coded = None
    if coded is None or not number or number[2] not in UNITS:
        bad.append(f"{what}: {name} in {file} or the number {limit} is not understood")
        continue
    unit = re.search(r"_(US|MS)(?:_|$)", name)
    if coded * SCALE[unit[1] if unit else ""] != int(number[1].replace(",", "")) * UNITS[number[2]]:
        bad.append(f"{what}: the page says {limit}, {name} in {file} is {coded}")
if len(rows) < 40:
    bad.append("too few limits were found in gotunnel-security(7)")
for line in bad:
    print(line)
sys.exit(bool(bad))
