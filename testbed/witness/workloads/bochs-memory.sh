# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
# Every mode of the memory monitor for a short while, against pages that are touched in a known order
# (guest/touch_pages.cpp). Marks 3 and 4 are around the watch. No disks.
result cpus_online "\"$(cat /sys/devices/system/cpu/online)\""
# pass NAME N MICROSECONDS: lets the program go on, and waits. No more programs than needed are started: each writes hundreds of pages.
pass() {
    result "${1}_begin" "$2"
    next 500000 # it takes a millisecond
    result "${1}_end" "$2"
    usleep "$3"
}
with kinds touch_pages kinds 80 2 "$SEED" 0
result access "$(memory access --every 4s)"
usleep 500000
pass kinds 0 5000000
pass kinds 1 5000000
result access_status "$(memory status)"
result access_stopped "$(memory stop access)"
finish
# In one huge page: the mode need not look at what the kernel writes all the time.
echo 1 >/proc/sys/vm/nr_hugepages
with fill touch_pages fill 60 2 "$SEED" 1
first=$(sed -n 's/.*"addresses": \[\([0-9]*\).*/\1/p' /tmp/fill)
result written "$(memory written --delay 1s --budget 100% --range "$(printf '0x%x' "$first")+2M")"
usleep 500000
pass fill 0 3000000
pass fill 1 3000000
result written_status "$(memory status)"
result written_stopped "$(memory stop written)"
finish
with touched touch_pages kinds 80 2 "$SEED" 0
result touched_before 0
mark 3
result touched_watch "$(memory watch --budget 5%)"
sleep 3
pass touched 0 2000000
pass touched 1 2000000
result touched_status "$(memory status)"
result touched_stopped "$(memory stop watch)"
mark 4
finish
(while :; do cat /run.d/workload >/tmp/changing; done) &
result snapshot "$(memory snapshot --consistent --every 4s --rate 40M)"
tries=0
until memory status | sed 's/.*"snapshot"//; s/"watch".*//' | grep -q '"cycles": *[2-9]' || [ $tries -ge 60 ]; do
    sleep 1
    tries=$((tries + 1))
done
result snapshot_status "$(memory status)"
result snapshot_stopped "$(memory stop snapshot)"
kill %1
