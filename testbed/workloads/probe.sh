# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
# For choosing an accelerator: does this machine's processor offer SVM?
if grep -qw svm /proc/cpuinfo; then result svm true; else result svm false; fi
