"""A real Slurm on this machine alone, started for the tests and stopped after them.

Everything lies in one folder: configuration, key, state, sockets and logs. There is no accounting,
so that job states come from squeue. A job that takes more memory than it asked for is killed.
"""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "srun", "squeue", "scancel", "sinfo")
SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"

CONFIGURATION = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=2,batch_sched_delay=1
ReturnToService=2
MpiDefault=none
MinJobAge=3600
KillWait=2
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> list[str]:
    """Programs of Slurm that are not installed; Debian has them in slurm-wlm and munge."""
    return [name for name in PROGRAMS if _found(name) is None]


def _found(name: str) -> str | None:
    return shutil.which(name, path=_path())


def _path() -> str:
    return os.environ.get("PATH", "") + ":" + SYSTEM_PATH


def _free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


@contextmanager
def cluster(folder: Path, *, cpus: int | None = None) -> Iterator[Mapping[str, str]]:
    """Start the daemons in `folder`; gives the environment in which sbatch finds them."""
    environment = {**os.environ, "PATH": _path(), "SLURM_CONF": str(folder / "slurm.conf")}
    host = socket.gethostname().split(".")[0]
    described = subprocess.run(
        ["slurmd", "-C"], env=environment, capture_output=True, text=True, check=True
    ).stdout
    memory = int(described.split("RealMemory=")[1].split()[0])
    for name in ("state", "spool", "munge", "bin"):
        (folder / name).mkdir(parents=True, mode=0o755)
    # Snakemake clears Slurm's variables inside a job, where srun still has to find its cluster.
    step = folder / "bin/srun"
    step.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {_found("srun")} "$@"\n')
    step.chmod(0o755)
    environment["PATH"] = f"{folder}/bin:{environment['PATH']}"
    key = folder / "munge/key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    (folder / "slurm.conf").write_text(
        CONFIGURATION.format(
            host=host,
            user=getpass.getuser(),
            folder=folder,
            controller=_free_port(),
            daemon=_free_port(),
            cpus=cpus or os.cpu_count(),
            memory=memory - 1000,
        )
    )
    daemons: list[subprocess.Popen[bytes]] = []

    def start(*command: str) -> None:
        with (folder / f"{command[0]}.out").open("wb") as log:
            daemons.append(
                subprocess.Popen(
                    command, env=environment, stdout=log, stderr=log, start_new_session=True
                )
            )

    try:
        files = {
            "key-file": key,
            "socket": folder / "munge/socket",
            "pid-file": folder / "munge/pid",
            "log-file": folder / "munge/log",
            "seed-file": folder / "munge/seed",
        }
        start("munged", "--foreground", "--force", *(f"--{k}={v}" for k, v in files.items()))
        _until(lambda: (folder / "munge/socket").exists(), "munged", folder)
        start("slurmctld", "-D", "-c")
        start("slurmd", "-D", "-N", host)
        _until(lambda: "idle" in _states(environment), "slurmd", folder)
        yield environment
    finally:
        for daemon in reversed(daemons):
            try:
                os.killpg(daemon.pid, signal.SIGTERM)
                daemon.wait(10)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                daemon.kill()


def _states(environment: Mapping[str, str]) -> str:
    return subprocess.run(
        ["sinfo", "--noheader", "--format=%T"], env=environment, capture_output=True, text=True
    ).stdout


def _until(ready: object, what: str, folder: Path) -> None:
    deadline = time.monotonic() + 60
    while not ready():  # type: ignore[operator]
        if time.monotonic() > deadline:
            logs = "\n".join(
                f"{p.name}: {p.read_text(errors='replace')[-2000:]}"
                for p in sorted(folder.rglob("*"))
                if (p.is_file() and p.suffix in (".log", ".out")) or p.name == "log"
            )
            raise RuntimeError(f"{what} did not start within a minute\n{logs}")
        time.sleep(0.3)
