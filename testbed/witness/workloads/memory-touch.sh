# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
# Modes access and written against pages that are touched in a known order (guest/touch_pages.cpp, hammer_pages.cpp).
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
# In one huge page, so that the mode need not look at what the kernel writes all the time, which is more than can be sent.
echo 1 >/proc/sys/vm/nr_hugepages
with fill touch_pages fill 300 3 "$SEED" 1
result written "$(memory written --delay 2s --budget 100% --range "$(printf '0x%x' "$(first_page fill)")+2M")"
usleep 500000
for _ in 1 2 3; do next 4000000; done
result written_status "$(memory status)"
result written_stopped "$(memory stop written)"
finish
