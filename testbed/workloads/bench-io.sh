# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
# disks: 1
# Direct I/O on the raw disk. BENCH_JOBS chooses among the names below; each runs BENCH_SECONDS (default 4), or
# BENCH_IOS requests if that is set (for counts of VM exits per command).
: "${BENCH_JOBS:=4k-write-qd1 4k-read-qd1 4k-write-qd32 4k-read-qd32 1m-write 1m-read}" "${BENCH_SECONDS:=4}"
disk=$(disk test0)
for job in $BENCH_JOBS; do
    case $job in
    4k-write-qd1) shape="--rw=randwrite --bs=4k --iodepth=1" ;;
    4k-read-qd1) shape="--rw=randread --bs=4k --iodepth=1" ;;
    4k-write-qd32) shape="--rw=randwrite --bs=4k --iodepth=32" ;;
    4k-read-qd32) shape="--rw=randread --bs=4k --iodepth=32" ;;
    1m-write) shape="--rw=write --bs=1m --iodepth=4" ;;
    1m-read) shape="--rw=read --bs=1m --iodepth=4" ;;
    *) result error "\"no such job: $job\""; exit 1 ;;
    esac
    if [ -n "$BENCH_IOS" ]; then length="--number_ios=$BENCH_IOS"; else length="--time_based --runtime=$BENCH_SECONDS"; fi
    [ -x /run.d/ucctl ] && /run.d/ucctl counters >/tmp/before 2>&1 && report_file "counters-$job-before" /tmp/before
    fio --name="$job" --filename="$disk" --ioengine=libaio --direct=1 --norandommap $shape $length \
        --output-format=json --output=/tmp/fio.json || exit 1
    [ -x /run.d/ucctl ] && /run.d/ucctl counters >/tmp/after 2>&1 && report_file "counters-$job-after" /tmp/after
    report_file "fio-$job.json" /tmp/fio.json
done
