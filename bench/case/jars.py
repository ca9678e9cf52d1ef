#!/usr/bin/env python3
"""jars.py create DIR COUNT SEED: real zip files of this machine's text and program files, named app-N.jar.
jars.py update DIR SEED: the next version of each: a tenth of the members changed, all of them with the new time."""

import os
import random
import sys
import zipfile

MEMBERS = 120
MEMBER_BYTES_MAX = 200_000
ROOTS = ("/usr/lib/python3", "/usr/share/perl", "/usr/share/doc", "/usr/lib/x86_64-linux-gnu/perl", "/usr/include")


def candidates():
    found = []
    for root in ROOTS:
        for folder, folders, names in os.walk(root):
            folders.sort()
            for name in sorted(names):
                path = os.path.join(folder, name)
                if os.path.isfile(path) and not os.path.islink(path) and os.path.getsize(path) <= MEMBER_BYTES_MAX:
                    found.append(path)
            if len(found) > 20_000:
                return found
    return found


def write(path, members, when):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as jar:
        for name, content in members:
            jar.writestr(zipfile.ZipInfo(name, when), content, zipfile.ZIP_DEFLATED)


def create(directory, count, seed):
    os.makedirs(directory, exist_ok=True)
    chance, files = random.Random(seed), candidates()
    for i in range(count):
        members = []
        for path in chance.sample(files, min(MEMBERS, len(files))):
            with open(path, "rb") as file:
                members.append((path.lstrip("/"), file.read()))
        write(os.path.join(directory, f"app-{i}.jar"), members, (2026, 3, 1, 10, 0, 0))


def changed(content, chance):
    at = chance.randrange(len(content) + 1)
    return content[:at] + b"// changed %d\n" % chance.randrange(1 << 30) + content[at + chance.randrange(40):]


def update(directory, seed):
    chance = random.Random(seed)
    for name in sorted(os.listdir(directory)):
        path = os.path.join(directory, name)
        with zipfile.ZipFile(path) as jar:
            members = [(info.filename, jar.read(info)) for info in jar.infolist()]
        write(path, [(member, changed(content, chance) if chance.random() < 0.1 else content)
                     for member, content in members], (2026, 4, 2, 11, 30, 0))


if __name__ == "__main__":
    if sys.argv[1:2] == ["create"]:
        create(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        update(sys.argv[2], int(sys.argv[3]))
