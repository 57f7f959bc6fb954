# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
# disks: 1
# Phases of direct I/O on the raw disk, each between two marks for the probe plugin (phase n: marks 2n and 2n + 1), and
# a CPU-bound loop. BENCH_JOBS names the phases; BENCH_SECONDS is how long each takes; with BENCH_COUNT=1 each makes a
# known number of requests instead. CPU_ROUNDS: how often the loop runs.
: "${BENCH_SECONDS:=4}" "${CPU_ROUNDS:=0}"
disk=$(disk test0)
shape_of() {
    case $1 in
    4k-write-qd1) echo "--rw=randwrite --bs=4k --iodepth=1 1000" ;;
    4k-write-qd32) echo "--rw=randwrite --bs=4k --iodepth=32 4000" ;;
    4k-read-qd1) echo "--rw=randread --bs=4k --iodepth=1 1000" ;;
    1m-write) echo "--rw=write --bs=1m --iodepth=4 64" ;;
    1m-read) echo "--rw=read --bs=1m --iodepth=4 64" ;;
    *) result error "\"no such job: $1\""; exit 1 ;;
    esac
}
round() { awk 'BEGIN { for (i = 0; i < 250000; i++) x = (x + i * 7) % 1000003; print x }' >/dev/null; }

cat "$disk" | head -c 1048576 >/dev/null
phase=0
for job in $BENCH_JOBS; do
    shape=$(shape_of "$job")
    count=${shape##* } shape=${shape% *}
    if [ "$BENCH_COUNT" = 1 ]; then length="--number_ios=$count"; else length="--time_based --runtime=$BENCH_SECONDS"; fi
    mark $((phase * 2))
    # shellcheck disable=SC2086
    fio --name="$job" --filename="$disk" --ioengine=libaio --direct=1 --norandommap --randrepeat=1 $shape $length \
        --output-format=json --output=/tmp/fio.json || exit 1
    mark $((phase * 2 + 1))
    report_file "fio-$job.json" /tmp/fio.json
    phase=$((phase + 1))
    sleep 0.5
done
number=0
while [ $number -lt "$CPU_ROUNDS" ]; do
    timed cpu_loop round
    number=$((number + 1))
done
if [ "$BENCH_COUNT" = 1 ]; then
    mark 14
    sleep 5
    mark 15
fi
