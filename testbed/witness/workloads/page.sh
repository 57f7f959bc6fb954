# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
# disks: 1
# A steady 200 writes a second all over the disk, for as long as somebody looks at the page.
disk=$(disk test0)
stage page-writes
fio --name=page --filename="$disk" --ioengine=psync --direct=1 --rw=randrw --rwmixwrite=80 --bs=4k --rate_iops=50,200 --time_based \
    --runtime="$SECONDS_OF_WRITES" --size=48m --minimal --output=/dev/null
