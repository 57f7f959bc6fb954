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
result written "$(memory written --delay 1s --budget 100% --range "$(printf '0x%x' "$(first_page fill)")+2M")"
usleep 500000
pass fill 0 3000000
pass fill 1 3000000
result written_status "$(memory status)"
result written_stopped "$(memory stop written)"
finish
with touched touch_pages kinds 80 2 "$SEED" 0
result touched_before 0
mark 3
result touched_watch "$(memory watch --budget "$WATCH_BUDGET")"
sleep 3
pass touched 0 2000000
pass touched 1 2000000
result touched_status "$(memory status)"
result touched_stopped "$(memory stop watch)"
mark 4
finish
# A huge page of the program and what lies around it. Its second pass comes while the first consistent sweep is under way, which has
# a MiB or two before it still to copy; the live sweep comes when nothing is touched.
until_snapshot() {
    tries=0
    until memory status | sed 's/.*"snapshot"//; s/"watch".*//' | grep -q "$1" || [ $tries -ge 60 ]; do
        sleep 1
        tries=$((tries + 1))
    done
}
with swept touch_pages fill 60 2 "$SEED" 1
range="$(printf '0x%x' $(($(first_page swept) - 0x200000)))+6M"
next 500000
result snapshot "$(memory snapshot --consistent --every 5s --rate 40M --range "$range")"
next 500000
until_snapshot '"cycles": *[2-9]'
result snapshot_status "$(memory status)"
result snapshot_stopped "$(memory stop snapshot)"
result live "$(memory snapshot --rate 40M --range "$range")"
until_snapshot '"running": *false'
result live_status "$(memory status)"
finish
