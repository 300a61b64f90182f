#!/usr/bin/env python3
"""A real Slurm on this one machine, for tests: `cluster.py install | start | stop | status`.

Needs root on Debian 12 and nothing of Python beyond its standard library. `install` adds Debian's
packages; `start` brings up munge, MariaDB, slurmdbd, slurmctld and six slurmd, all of them below
ARENA_SLURM_DIR (default /var/tmp/arena-slurm) on ports that are free; `stop` ends these processes
and no others. Every action may be repeated. The one thing outside that folder is a link at
/etc/slurm/slurm.conf: SLURM_CONF would do for commands, but Snakemake's plugin drops SLURM_*
variables inside jobs. A machine that has a Slurm of its own there is refused.

Nodes and partitions, one line of slurm.conf each:

    gpu        n1 n2   the default; 16 GPUs of type a100 a node
    low        n3      high preempts it, and it is requeued
    scavenge   n6      high preempts it, and it is cancelled
    high       n3 n6
    frail      n4 n5   to be taken down by tests

A node is a slurmd in a namespace of process ids of its own: as on real ones, a process of one node
says nothing to another, and nothing of a node outlives its slurmd.

Its limits: jobs run as root, nodes share this machine's cores, memory and loopback (so two jobs of
different nodes can meet, which is the harder case), GPUs are counted but are not there, memory and
cores are accounted but not enforced. Where the machine has no freezer cgroup, slurmd follows
processes by their tree, and one that outlives its parent can be left behind.
"""

from __future__ import annotations

import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

STATE = Path(os.environ.get("ARENA_SLURM_DIR", "/var/tmp/arena-slurm"))
CONF = STATE / "slurm.conf"
LINK = Path("/etc/slurm/slurm.conf")  # where Debian's Slurm looks for it
PACKAGES = ("slurm-wlm", "slurmdbd", "munge", "mariadb-server")
NODES = ("n1", "n2", "n3", "n4", "n5", "n6")
GPUS = 16  # a node: eight judge servers of two, so that no test waits for another's
USABLE = ("idle", "plnd", "mix", "alloc", "comp")  # sinfo's states of a node that takes jobs
CLUSTER = "arena"
READY_S = 600  # every service is up in two seconds here; a machine under load may need more
APT_S = 300  # that another apt-get may take
FREEZER = Path("/sys/fs/cgroup/freezer")  # what proctrack/cgroup stands on
PASSWORD = "arena"  # of a database that listens on loopback only and lives as long as the tests


class ClusterError(Exception):
    """The cluster is not in the state asked for; the message says what to look at."""


def main(arguments: list[str]) -> int:
    actions = {"install": install, "start": start, "stop": stop, "status": status}
    if len(arguments) != 1 or arguments[0] not in actions:
        print(f"usage: cluster.py {' | '.join(actions)}", file=sys.stderr)
        return 2
    try:
        return actions[arguments[0]]() or 0
    except ClusterError as error:
        print(f"cluster.py: {error}", file=sys.stderr)
        return 1


def install() -> None:
    """Install the packages unless they are there; the services they bring are not started."""
    programs = ("slurmctld", "slurmd", "slurmdbd", "munged", "mariadbd")
    missing = [name for name in programs if not shutil.which(name)]
    if missing and not shutil.which("apt-get"):
        raise ClusterError(
            f"no {', '.join(missing)} here, and no apt-get to install them with: this needs Debian"
        )
    if os.geteuid() != 0:
        raise ClusterError("needs root: packages are installed and munged runs as its own user")
    if not missing:
        return
    apt_get("update")
    apt_get("install", "--no-install-recommends", *PACKAGES)


def apt_get(*action: str) -> None:
    """Again for five minutes: another may have the locks of lists and archives, for which apt-get
    does not wait."""
    wait = ("apt-get", "-qy", f"-oDPkg::Lock::Timeout={APT_S}")
    command = ("env", "DEBIAN_FRONTEND=noninteractive", *wait, *action)
    if not comes_true(lambda: call(*command, timeout=None).returncode == 0, APT_S):
        run(*command, timeout=None)  # for its words


def start() -> None:
    """Bring the cluster up from nothing, or leave one that answers as it is."""
    if up():
        print(f"already up: {CONF}")
        return
    if LINK.exists() and LINK.resolve() != CONF:
        raise ClusterError(f"{LINK} is there: this machine has a Slurm of its own")
    stop()
    shutil.rmtree(STATE, ignore_errors=True)
    for folder in ("log", "run", "ctld", "mysql", *(f"spool/{node}" for node in NODES)):
        (STATE / folder).mkdir(parents=True)
    services = ("mysql", "slurmdbd", "slurmctld", *NODES)
    ports = dict(zip(services, free_ports(len(services)), strict=True))
    start_munge()
    start_database(ports["mysql"])
    write_configuration(ports)
    LINK.parent.mkdir(exist_ok=True)
    LINK.symlink_to(CONF)
    start_slurm()
    print(f"up: {len(NODES)} nodes of {GPUS} GPUs; {LINK} -> {CONF}")


def start_munge() -> None:
    """munged refuses to run as root and wants its folders to be its own."""
    munge = pwd.getpwnam("munge")
    folder = STATE / "munge"
    folder.mkdir()
    (folder / "key-file").write_bytes(os.urandom(128))
    (folder / "key-file").chmod(0o400)
    for path in (folder, folder / "key-file"):
        os.chown(path, munge.pw_uid, munge.pw_gid)
    STATE.chmod(0o755)
    files = ("socket", "key-file", "pid-file", "log-file", "seed-file")
    options = [f"--{name}={folder / name}" for name in files]
    run("runuser", "-u", "munge", "--", "munged", *options)
    await_that((folder / "socket").exists, "munged", folder / "log-file")


def start_database(port: int) -> None:
    """A MariaDB of its own, on loopback; nobody keeps its data, so it need not survive a crash."""
    data, log = STATE / "mysql", STATE / "log" / "mariadb.log"
    shutil.chown(data, "mysql", "mysql")
    own = ("--no-defaults", "--user=mysql", f"--datadir={data}")
    normal = "--auth-root-authentication-method=normal"
    run("mariadb-install-db", *own, "--skip-test-db", normal)
    here = (f"--socket={data}/socket", f"--port={port}", "--bind-address=127.0.0.1")
    small = ("--innodb-buffer-pool-size=64M", "--innodb-flush-log-at-trx-commit=0")
    patient = ("--innodb-lock-wait-timeout=900", "--skip-name-resolve")  # of slow name servers
    background(log, "mariadbd", *own, *here, *small, *patient, f"--pid-file={data}/pid")
    client = ("mariadb", "--no-defaults", f"--socket={data}/socket", "-e")
    await_that(lambda: succeeds(*client, "select 1"), "mariadbd", log)
    run(*client, f"grant all on slurm_acct_db.* to slurm@'%' identified by '{PASSWORD}'")


def write_configuration(ports: dict[str, int]) -> None:
    host = socket.gethostname()
    shared = f"AuthType=auth/munge\nAuthInfo=socket={STATE}/munge/socket\nSlurmUser=root\n"
    dbd = f"""{shared}DbdHost=localhost
DbdPort={ports["slurmdbd"]}
LogFile={STATE}/log/slurmdbd.log
PidFile={STATE}/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={ports["mysql"]}
StorageUser=slurm
StoragePass={PASSWORD}
StorageLoc=slurm_acct_db
"""
    (STATE / "slurmdbd.conf").write_text(dbd)
    (STATE / "slurmdbd.conf").chmod(0o600)  # slurmdbd refuses to read one that others can
    nodes = "\n".join(
        f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[node]} CPUs=64 "
        f"RealMemory=1000000 Gres=gpu:a100:{GPUS} Feature={'nvlink' if node == 'n2' else 'pcie'}"
        for node in NODES
    )
    CONF.write_text(f"""ClusterName={CLUSTER}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports["slurmctld"]}
{shared}SlurmdUser=root
StateSaveLocation={STATE}/ctld
SlurmctldPidFile={STATE}/run/slurmctld.pid
SlurmctldLogFile={STATE}/log/slurmctld.log
SlurmdPidFile={STATE}/run/slurmd.%n.pid
SlurmdLogFile={STATE}/log/slurmd.%n.log
SlurmdSpoolDir={STATE}/spool/%n
# One machine stands for six: sizes come from this file.
SlurmdParameters=config_overrides
ProctrackType=proctrack/{"cgroup" if FREEZER.is_dir() else "linuxproc"}
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
# A job that says nothing must not take a whole node's memory, which is Slurm's default.
DefMemPerCPU=500
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=5
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={ports["slurmdbd"]}
# Not a password but where munge listens, as for AuthInfo.
AccountingStoragePass={STATE}/munge/socket
AccountingStorageTRES=gres/gpu
# As on most clusters: SIGTERM, then SIGKILL this many seconds later (Slurm's default is 30).
KillWait=10
SchedulerParameters=sched_interval=2,bf_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
{nodes}
PartitionName=gpu Nodes=n1,n2 Default=YES MaxTime=2-00:00:00 DefaultTime=30 PreemptMode=OFF
PartitionName=low Nodes=n3 PriorityTier=1 PreemptMode=REQUEUE
PartitionName=scavenge Nodes=n6 PriorityTier=1 PreemptMode=CANCEL
PartitionName=high Nodes=n3,n6 PriorityTier=10 PreemptMode=OFF
PartitionName=frail Nodes=n4,n5 PreemptMode=OFF
""")
    # A terminal stands for a GPU: it is there and makes Slurm set CUDA_VISIBLE_DEVICES.
    gpus = f"Name=gpu Type=a100 File=/dev/tty[0-{GPUS - 1}]"
    lines = "".join(f"NodeName={node} {gpus}\n" for node in NODES)
    (STATE / "gres.conf").write_text(lines)
    cgroup = "CgroupAutomount=no\nConstrainCores=no\nConstrainRAMSpace=no\n"
    (STATE / "cgroup.conf").write_text(cgroup)


def start_slurm() -> None:
    log = STATE / "log"
    background(log / "slurmdbd.out", "slurmdbd", "-D")
    manager = ("sacctmgr", "-i", "-n")
    await_that(lambda: succeeds(*manager, "list", "cluster"), "slurmdbd", log / "slurmdbd.log")
    run(*manager, "add", "cluster", CLUSTER)
    run(*manager, "add", "account", "research", f"Cluster={CLUSTER}", "Description=tests")
    run(*manager, "add", "user", "root", "Account=research", "DefaultAccount=research")
    start_controller()
    run(*manager, "add", "qos", "long")
    run(*manager, "modify", "user", "root", "set", "qos+=long")
    for node in NODES:
        # The shell is the namespace's first process, which has to wait for orphans.
        own = ("unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", 'slurmd -D -N "$0"; exit')
        background(log / f"slurmd.{node}.out", *own, node)
    await_that(up, "all nodes idle", log / "slurmctld.log")
    # Of a week that no test comes to, since others' jobs would have to keep away.
    when = ("starttime=now+7days", "duration=1:00:00", "nodes=n1", "users=root")
    run("scontrol", "create", "reservation", "reservationname=my_workshop", *when)


def start_controller() -> None:
    log = STATE / "log"
    background(log / "slurmctld.out", "slurmctld", "-D")
    await_that(lambda: succeeds("scontrol", "ping"), "slurmctld", log / "slurmctld.log")


def stop_controller() -> None:
    """It is away until `start_controller`; jobs run on."""
    pid = int((STATE / "run/slurmctld.pid").read_text())
    os.kill(pid, signal.SIGTERM)
    await_that(lambda: pid not in own_processes(), "slurmctld's end", STATE / "log/slurmctld.log")


def up() -> bool:
    """Whether every node of this cluster takes jobs and its accounting answers."""
    if LINK.resolve() != CONF or not CONF.exists():
        return False
    states = dict(line.split() for line in output("sinfo", "-hN", "-o", "%N %t").splitlines())
    usable = {node for node, state in states.items() if state in USABLE}
    return usable == set(NODES) and succeeds("sacct", "-n", "-X")


def absence() -> str | None:
    """Why there is no Slurm of the tests here, None where there is; ClusterError for a sick one."""
    if shutil.which("sinfo") is None:
        return "no Slurm here: as root, tests/slurm/cluster.py install, then start"
    if not own_processes():
        return "no Slurm of the tests runs here: tests/slurm/cluster.py start"
    if not comes_true(up, READY_S):  # another test may have taken a node down
        raise ClusterError("the tests' Slurm does not answer: see tests/slurm/cluster.py status")
    return None


def stop() -> None:
    """End this cluster's jobs and daemons."""
    if CONF.exists() and succeeds("scontrol", "ping"):
        succeeds("scancel", "--full", "--user=root")
        comes_true(lambda: not output("squeue", "-h"), 30)  # KillWait and some
    for sign in (signal.SIGTERM, signal.SIGKILL):
        for pid in own_processes():
            with suppress(ProcessLookupError):
                os.kill(pid, sign)
        comes_true(lambda: not own_processes(), 30)
    if LINK.is_symlink() and LINK.readlink() == CONF:
        LINK.unlink()
    if left := own_processes():
        raise ClusterError(f"processes {left} of {STATE} survived SIGKILL")


def status() -> int:
    if not up():
        print("down: start it with `tests/slurm/cluster.py start`")
        return 1
    print(output("sinfo", "-o", "%P %a %l %D %t %N %G"), end="")
    print(output("squeue", "-o", "%i %P %T %M %N %b %k"), end="")
    return 0


def own_processes() -> list[int]:
    """Ids of this cluster's daemons, told by SLURM_CONF or by its folder in their command line."""
    daemons = ("munged", "mariadbd", "slurmdbd", "slurmctld", "slurmd", "slurmstepd:", "slurmstepd")
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended, or is not ours to look at
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            surroundings = (entry / "environ").read_bytes().decode(errors="replace")
            ours = f"{STATE}/" in command or f"SLURM_CONF={CONF}" in surroundings
            if ours and Path(command.split(" ")[0]).name in daemons:
                found.append(int(entry.name))
    return found


def free_ports(count: int) -> list[int]:
    """Below those that the kernel gives to clients: a daemon that restarts finds its own free."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    found = []
    for port in random.sample(range(10_000, max(first, 20_000)), 1000):
        with socket.socket() as one, suppress(OSError):  # it is in use
            one.bind(("", port))
            found.append(port)
        if len(found) == count:
            return found
    raise ClusterError(f"no {count} free ports")


def environment() -> dict[str, str]:
    return os.environ | {"SLURM_CONF": str(CONF)}


def call(*command: str, timeout: float | None = READY_S) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=environment(), capture_output=True, text=True, timeout=timeout
    )


def succeeds(*command: str) -> bool:
    return call(*command).returncode == 0


def output(*command: str) -> str:
    return call(*command).stdout


def run(*command: str, timeout: float | None = READY_S) -> None:
    done = call(*command, timeout=timeout)
    if done.returncode:
        said = (done.stdout + done.stderr)[-3000:]
        raise ClusterError(f"{' '.join(command)}: exit {done.returncode}\n{said}")


def background(log: Path, *command: str) -> None:
    """Start a daemon in a session of its own, so that ending the caller does not end it."""
    streams = {"stdin": subprocess.DEVNULL, "stderr": subprocess.STDOUT}
    with log.open("ab") as out:
        subprocess.Popen(
            command, env=environment(), stdout=out, start_new_session=True, cwd="/", **streams
        )


def comes_true(condition: Callable[[], object], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return bool(found)


def await_that(condition: Callable[[], object], what: str, log: Path) -> None:
    if not comes_true(condition, READY_S):
        tail = log.read_text(errors="replace")[-3000:] if log.exists() else "(no log)"
        raise ClusterError(f"{what}: not ready after {READY_S} s; end of {log}:\n{tail}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
