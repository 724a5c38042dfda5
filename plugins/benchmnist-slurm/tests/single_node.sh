#!/usr/bin/env bash
# A SLURM of one node on this machine, for the tests: as root, on a Debian with slurm-wlm and munge installed.
# It writes /etc/slurm/slurm.conf; never run it where there is a SLURM already.
set -euo pipefail

state=${1:-/var/tmp/benchmnist-slurm}
host=$(hostname -s)
if [ -e /etc/slurm/slurm.conf ] && ! grep -q '^ClusterName=benchmnist$' /etc/slurm/slurm.conf; then
  echo "/etc/slurm/slurm.conf is there already, and is not ours" >&2
  exit 1
fi
mkdir -p "$state/state" "$state/spool" /etc/slurm /run/munge
cat > /etc/slurm/slurm.conf <<CONF
ClusterName=benchmnist
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation=$state/state
SlurmdSpoolDir=$state/spool
SlurmctldPidFile=$state/slurmctld.pid
SlurmdPidFile=$state/slurmd.pid
SlurmctldLogFile=$state/slurmctld.log
SlurmdLogFile=$state/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
KillWait=5
MpiDefault=none
SchedulerParameters=sched_interval=2,batch_sched_delay=0
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=1000 State=UNKNOWN
PartitionName=short Nodes=$host Default=YES MaxTime=60 State=UP
CONF
# slurmd of Debian 12 wants to know which kind of control groups there is, also where it has no use for them.
if [ -d /sys/fs/cgroup/freezer ]; then kind=v1; else kind=v2; fi
printf 'CgroupPlugin=cgroup/%s\nIgnoreSystemd=yes\n' "$kind" > /etc/slurm/cgroup.conf
chown munge:munge /run/munge /etc/munge/munge.key
pgrep -x munged > /dev/null || runuser -u munge -- munged
slurmctld
slurmd
for _ in $(seq 20); do
  if sinfo --noheader --states=idle | grep -q .; then
    exec sinfo
  fi
  sleep 1
done
tail -n 5 "$state"/*.log >&2
exit 1
