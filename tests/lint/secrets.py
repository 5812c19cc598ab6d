#!/usr/bin/env python3
"""Case 4: no secret is compared by a function that takes longer the more of it is right.

proof_equal() is the one that compares proofs; nothing else sees both sides
of a secret.  usage: secrets.py TOP
"""
import pathlib
import re
import sys

COMPARES = re.compile(r"\b(?:mem|str|strn|strcase|strncase)cmp\s*\(([^;]*)", re.S)
SECRETS = re.compile(r"\w*(?:token|secret|proof|spake|resume_key|password)\w*", re.I)
# Literals of everybody's knowledge, and the sizes of things.
PUBLIC = re.compile(r"SECRET_DEV|LOGIN_PROOF|LOGIN_SPAKE|\bsizeof\b[^,)]*|\"[^\"]*\"")

top, bad, seen = pathlib.Path(sys.argv[1]), 0, 0
for path in sorted((top / "src").rglob("*.[ch]")):
    text = path.read_text()
    for found in COMPARES.finditer(text):
        seen += 1
        given = found[1].split("\n\n")[0]
        if "SECRET_DEV" in given or not SECRETS.search(PUBLIC.sub("", given)):
            continue
        line = text.count("\n", 0, found.start()) + 1
        print(f"{path.relative_to(top)}:{line}: compares a secret, not by proof_equal(): "
              f"{given.splitlines()[0].strip()}")
        bad = 1
equal = (top / "src/auth/proof.c").read_text()
if not re.search(r"proof_equal\([^)]*\)\n\{\n\treturn CRYPTO_memcmp\(", equal):
    print("src/auth/proof.c: proof_equal() does not compare in constant time")
    bad = 1
sys.exit(bad or seen == 0)
