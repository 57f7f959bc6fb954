# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
# A snapshot of all memory, while programs run. OPTIONS: more for `ucctl memory snapshot`; SECONDS_EACH (default 20).
# shellcheck disable=SC2086 # several words
result started "$(memory snapshot ${OPTIONS:---consistent})"
memory_load "${SECONDS_EACH:-20}" || exit 1
result status "$(memory status)"
result stopped "$(memory stop snapshot)"
