# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
# disks: 1
# Ordinary file activity, a pause, then bulk encryption of the same files.
. /run.d/workloads/files.sh
sleep "$PACE"
. /run.d/workloads/encrypt.sh
