# SPDX-License-Identifier: LGPL-2.1-or-later
"""compose.py FILE IMAGE: do by podman what a compose file says, with IMAGE for what it builds: volumes, users, environments, commands, and
that a service waits for the health of another. (podman-compose of Debian 12 knows neither a volume's options nor health.) The output is
that of the last service."""
import subprocess
import sys
import time

import yaml

PREFIX = "tidemark-compose-test-"


def podman(*words, **more):
    return subprocess.run(["podman", *words], text=True, check=True, **more)


def options(service):
    words = ["--network", "none", "--user", service["user"]]
    for name, value in service.get("environment", {}).items():
        words += ["--env", f"{name}={value}"]
    for volume in service.get("volumes", []):
        words += ["--volume", PREFIX + volume]
    return words


def create_volume(name, opts):
    words = [f"--opt={key}={value}" for key, value in opts.items()]
    if subprocess.run(["podman", "volume", "create", *words, name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode != 0:
        # Podman 4.3 takes a size for a quota of the disk.
        opts = {**opts, "o": ",".join(part for part in opts["o"].split(",") if not part.startswith("size="))}
        words = [f"--opt={key}={value}" for key, value in opts.items()]
        print("without a size of the volume, which this podman does not know of a tmpfs")
        podman("volume", "create", *words, name, stdout=subprocess.DEVNULL)


def command(service):
    text = service["command"]
    return ["sh", "-c", text[len("sh -c '"):-1]] if text.startswith("sh -c '") else text.split()


def await_health(name, service):
    test = service["healthcheck"]["test"]
    assert test[0] == "CMD"
    for _ in range(service["healthcheck"]["retries"] * 10):
        if subprocess.run(["podman", "exec", PREFIX + name, *test[1:]], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0:
            return
        time.sleep(0.1)
    raise SystemExit(f"{name} does not become healthy")


def main(file, image):
    with open(file) as text:
        project = yaml.safe_load(text)
    services = project["services"]
    started = []
    try:
        for name, volume in project["volumes"].items():
            create_volume(PREFIX + name, volume["driver_opts"])
        order = sorted(services, key=lambda name: len(services[name].get("depends_on", {})))
        for name in order[:-1]:
            podman("run", "--detach", "--name", PREFIX + name, *options(services[name]), image, *command(services[name]), stdout=subprocess.DEVNULL)
            started.append(name)
        last = services[order[-1]]
        for name, depends in last["depends_on"].items():
            assert depends["condition"] == "service_healthy"
            await_health(name, services[name])
        podman("run", "--rm", *options(last), image, *command(last))
    finally:
        for name in started:
            subprocess.run(["podman", "rm", "--force", "--time", "2", PREFIX + name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for name in project["volumes"]:
            subprocess.run(["podman", "volume", "rm", "--force", PREFIX + name], stdout=subprocess.DEVNULL)


main(*sys.argv[1:])
