# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
# disks: 1
# Takes the last CPU off line and on line again while the others write, then writes from that CPU too.
last=$((CPUS - 1))
switch=/sys/devices/system/cpu/cpu$last/online
disk=$(disk test0)
write() {
    fio --name="$1" --filename="$disk" --ioengine=libaio --direct=1 --cpus_allowed="$2" --rw=randwrite --bs=4k \
        --iodepth=4 --size=16m --serialize_overlap=1 --number_ios=200 --minimal --output=/dev/null
}
for round in 1 2; do
    write before$round 0-$last || exit 1
    echo 0 >"$switch" || exit 1
    write without$round 0 || exit 1
    echo 1 >"$switch" || exit 1
    result cpus_online "\"$(cat /sys/devices/system/cpu/online)\""
    write after$round "$last" || exit 1
done
