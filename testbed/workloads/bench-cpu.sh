# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
# A loop that leaves the processor to itself; three rounds, the host takes the shortest.
round() { awk 'BEGIN { for (i = 0; i < 250000; i++) x = (x + i * 7) % 1000003; print x }' >/dev/null; }
for number in 1 2 3; do timed cpu_loop round; done
