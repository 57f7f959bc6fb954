# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
# Modes access and written against pages that are touched in a known order (guest/touch_pages.cpp, hammer_pages.cpp).
echo "$CONTROL_KEY" >/tmp/key
memory() { ucctl --key-file /tmp/key --json memory "$@" | tr -d '\n'; }
# with NAME COMMAND...: starts it with its input in our hands; `next` lets it go on.
with() {
    name=$1
    shift
    rm -f /tmp/go && mkfifo /tmp/go
    "$@" </tmp/go >"/tmp/$name" &
    exec 3>/tmp/go
    until grep -q addresses "/tmp/$name"; do usleep 100000; done
}
next() { echo >&3; usleep "${1:-1000000}"; }
finish() {
    echo >&3
    exec 3>&-
    wait
    report_file "$name" "/tmp/$name"
}
with kinds touch_pages kinds 300 3 "$SEED" 0
result access "$(memory access --every 4s)"
usleep 500000
for _ in 1 2 3; do next 5000000; done
result access_status "$(memory status)"
result access_stopped "$(memory stop access)"
finish
with hammer hammer_pages 8 6 "$TURN_MS"
result hammer "$(memory access --every 100ms)"
usleep 500000
next
wait
exec 3>&-
result hammer_stopped "$(memory stop access)"
report_file hammer /tmp/hammer
with fill touch_pages fill 300 3 "$SEED" 1
result written "$(memory written --delay 2s)"
usleep 500000
for _ in 1 2 3; do next 4000000; done
result written_status "$(memory status)"
result written_stopped "$(memory stop written)"
finish
