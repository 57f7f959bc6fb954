# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
# Functions for init and workloads. `result NAME JSON` and `report_file NAME PATH` end up in the host's report.json.
uptime_seconds() { cut -d' ' -f1 /proc/uptime; }
stage() { echo "UNDERCROFT-STAGE {\"stage\":\"$1\",\"guest_uptime_s\":$(uptime_seconds)}"; }
result() { echo "UNDERCROFT-RESULT {\"name\":\"$1\",\"value\":$2,\"guest_uptime_s\":$(uptime_seconds)}"; }
report_file() {
    echo "UNDERCROFT-FILE {\"name\":\"$1\"}"
    gzip -c "$2" | base64
    echo "UNDERCROFT-END"
}
# mark N (0 ... 15): tells the counter outside the machine where a phase begins.
mark() {
    if [ "$POWER_OFF" = bochs ]; then printf "\\$(printf %o "$1")" | dd of=/dev/port bs=1 seek=$((0x8901)) 2>/dev/null
    else command mark "$1"
    fi
}
# The map that the kernel was given at its start: "FIRST LAST KIND;" for each range.
memory_map() { (cd /sys/firmware/memmap && for range in *; do echo "$(cat "$range/start") $(cat "$range/end") $(cat "$range/type");"; done | tr -d '\n'); }
# Of a physical address.
address_bits() { sed -n 's/^address sizes.*: \([0-9]*\) bits physical.*/\1/p' /proc/cpuinfo | head -n 1; }
# disk SERIAL: the device with this serial number; names such as sda change from boot to boot.
disk() { readlink -f "/dev/disk/by-serial/$1"; }
# Programs on the tools disk that busybox has too are called by their path: its shell prefers its own.
utc_now() { /tools/usr/bin/date -u +%Y-%m-%dT%H:%M:%S.%NZ; }
# timed NAME COMMAND...: runs it and reports how long it took.
timed() {
    name=$1
    shift
    started=$(uptime_seconds)
    "$@"
    status=$?
    result "$name" "{\"seconds\":$(awk "BEGIN{print $(uptime_seconds)-$started}"),\"status\":$status}"
    return $status
}
# memory_load SECONDS: memory that is written all the time, and the test disk, if there is one.
memory_load() {
    mixed=$(disk test0)
    if [ -b "$mixed" ]; then
        fio --name=mix --filename="$mixed" --rw=randrw --bs=4k --direct=1 --ioengine=libaio --iodepth=4 --time_based --runtime="$1" \
            --output-format=json --output=/tmp/fio.json &
    fi
    stress-ng --vm 2 --vm-bytes 48M --timeout "$1" --metrics-brief >/tmp/stress 2>&1 || return 1
    report_file stress /tmp/stress
    [ -b "$mixed" ] || return 0
    wait $! || return 1
    report_file fio-mix.json /tmp/fio.json
}
# memory COMMAND...: what `ucctl memory` answers, as JSON in one line. With CONTROL_KEY.
memory() {
    echo "$CONTROL_KEY" >/tmp/key
    ucctl --key-file /tmp/key --json memory "$@" | tr -d '\n'
}
# with NAME COMMAND...: starts a program that tells the addresses of its pages and then goes on with each line that it gets (touch_pages).
with() {
    program=$1
    shift
    rm -f /tmp/go && mkfifo /tmp/go
    "$@" </tmp/go >"/tmp/$program" &
    exec 3>/tmp/go
    until grep -q addresses "/tmp/$program"; do usleep 100000; done
}
# first_page NAME: the guest-physical address of its first page.
first_page() { sed -n 's/.*"addresses": \[\([0-9]*\).*/\1/p' "/tmp/$1"; }
# next [MICROSECONDS]: one line for it, and some time.
next() { echo >&3; usleep "${1:-1000000}"; }
# finish: its last line; what it said is reported under its name.
finish() {
    echo >&3
    exec 3>&-
    wait
    report_file "$program" "/tmp/$program"
}
