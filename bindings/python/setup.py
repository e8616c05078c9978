# SPDX-License-Identifier: LGPL-2.1-or-later
"""One extension for every Python from 3.9 on (abi3).

In the tree it is linked with the library's position independent archive, which `make` of the tree builds where it is missing, so a wheel
needs liburcu alone. TIDEMARK_ARCHIVE names another one; TIDEMARK_LINK=shared links libtidemark.so, as pkg-config finds it.
"""
import os
import re
import subprocess

from setuptools import Extension, setup

here = os.path.dirname(os.path.abspath(__file__))
os.chdir(here)  # pip runs it from elsewhere
tree = os.path.dirname(os.path.dirname(here))
build = os.path.join(tree, os.environ.get("TIDEMARK_BUILD", "build"))
sources = sorted("src/" + name for name in os.listdir("src") if name.endswith(".c"))
flags = ["-std=gnu11", "-O3", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-missing-field-initializers"]
options = {"libraries": ["urcu-memb", "urcu-common", "m"], "extra_link_args": ["-Wl,--exclude-libs,ALL"]}
include = []


def pkg_config(*words):
    return subprocess.run(["pkg-config", *words, "tidemark"], check=True, stdout=subprocess.PIPE, text=True).stdout.split()


def archive():
    """The tree's archive, made where it is not there or older than the sources."""
    target = os.environ.get("TIDEMARK_ARCHIVE")
    if target:
        return os.path.join(tree, target)
    target = os.path.join(build, "obj/release/embed/libtidemark_pic.a")
    env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "CFLAGS", "LDFLAGS")}
    where = os.path.relpath(build, tree)
    subprocess.run(["make", "-s", "-C", tree, f"BUILD={where}", os.path.join(where, "obj/release/embed/libtidemark_pic.a")],
                   check=True, env=env)
    return target


if os.environ.get("TIDEMARK_LINK") == "shared":
    flags += pkg_config("--cflags")
    options = {"extra_link_args": pkg_config("--libs")}
    version = pkg_config("--modversion")[0]
else:
    include = [os.path.join(tree, "engine")]
    options["extra_objects"] = [archive()]
    with open(os.path.join(tree, "engine/tidemark.h")) as header:
        version = ".".join(re.findall(r"define TIDE_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", header.read()))

made = os.path.join(build, "python")  # nothing is left among the sources
os.makedirs(made, exist_ok=True)

setup(
    name="tidemark",
    version=version,
    description="A replicated key-value cache in the shared memory of one host",
    license="LGPL-2.1-or-later",
    python_requires=">=3.9",
    packages=["tidemark"],
    package_data={"tidemark": ["py.typed", "*.pyi"]},
    ext_modules=[
        Extension("tidemark._tidemark", sources, include_dirs=include, depends=["src/py.h"], extra_compile_args=flags,
                  py_limited_api=True, **options)
    ],
    options={
        "bdist_wheel": {"py_limited_api": "cp39"},
        "build": {"build_base": made},
        "egg_info": {"egg_base": made},
    },
)
