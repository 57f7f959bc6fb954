# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
# As many accesses as a budget allows, while programs run. OPTIONS: more for `ucctl memory watch`; SECONDS_EACH (default 20).
# shellcheck disable=SC2086 # several words
result started "$(memory watch --budget "${BUDGET:-5%}" ${OPTIONS:-})"
memory_load "${SECONDS_EACH:-20}" || exit 1
result status "$(memory status)"
result stopped "$(memory stop watch)"
