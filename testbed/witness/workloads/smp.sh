# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
# disks: 1
# Disk accesses from every CPU at once, each CPU in its own part of the disk.
[ -n "$IDENTITY" ] && . /run.d/workloads/identity.sh
# The map that the kernel was given at its start.
[ -n "$MEMORY_MAP" ] && result memory_map "\"$(memory_map)\""
result cpus_online "\"$(cat /sys/devices/system/cpu/online)\""
disk=$(disk test0)
fio --name=smp --filename="$disk" --ioengine=libaio --direct=1 --numjobs="$CPUS" --cpus_allowed=0-$((CPUS - 1)) \
    --cpus_allowed_policy=split --offset_increment=16m --size=16m --rw=randrw --bssplit=4k/80:64k/20 --iodepth=8 \
    --serialize_overlap=1 --number_ios=400 --fsync=100 --minimal --output=/dev/null
