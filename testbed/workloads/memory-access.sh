# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
# First accesses to pages after each arming, while programs run. OPTIONS: more for `ucctl memory access`; SECONDS_EACH (default 20).
# shellcheck disable=SC2086 # several words
result started "$(memory access --every "${EVERY:-300ms}" ${OPTIONS:-})"
memory_load "${SECONDS_EACH:-20}" || exit 1
result status "$(memory status)"
result stopped "$(memory stop access)"
